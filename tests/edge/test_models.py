"""`edgebot models`: what is at hand, and downloads from a real server that cuts, corrupts, stalls and changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.errors import DownloadError, ModelError
from edge.store import catalogue, place
from edge.store.catalogue import PUBLISHED, Source
from edge.store.download import fetch
from tests.edge.web import Server, mirrored

DATA = bytes(range(256)) * 2000  # 512,000 bytes
SHA = hashlib.sha256(DATA).hexdigest()
SHIPPED = Path(__file__).parents[2] / "edge" / "models" / "person.tflite"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.files["/big.weights"] = DATA
    yield made
    made.release.set()
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def run(expected: str = SHA, size: int = len(DATA), urls: tuple[str, ...] = ("/big.weights",)) -> Path:
        source = Source("big.weights", tuple(server.url + url for url in urls), expected, size)
        path = tmp_path / "store" / "big.weights"
        assert (
            fetch(source, path, expected, timeout_s=0.4, pause_s=0.01) == hashlib.sha256(path.read_bytes()).hexdigest()
        )
        assert [one.name for one in path.parent.iterdir()] == ["big.weights"], "nothing is left beside it"
        return path

    return run


@pytest.mark.parametrize(
    "misdeeds",
    [[], ["cut"], ["cut", "cut", "cut", "cut", "cut", "cut"], ["stall"], ["hang up"], ["503", "429"], ["no length"]]
    + [["cut", "no ranges"], ["cut", "another part"], ["cut", "hang up", "stall", "500"]],
    ids=", ".join,
)
def test_whatever_the_line_does_the_file_comes_whole(
    server: Server, get: Callable[..., Path], misdeeds: list[str]
) -> None:
    server.misdeeds = list(misdeeds)
    assert get().read_bytes() == DATA
    assert not server.misdeeds
    if misdeeds[:1] in (["cut"], ["stall"]):
        assert server.ranges[1] == f"bytes={len(DATA) // 3}-", "it asks for the rest alone"


def test_a_broken_download_goes_on_in_the_next_run(server: Server, get: Callable[..., Path], tmp_path: Path) -> None:
    server.misdeeds = ["cut", *["500"] * 10]
    with pytest.raises(DownloadError, match="500 .*170666 bytes are kept: the same command goes on there"):
        get()
    assert (tmp_path / "store" / "big.weights.part").stat().st_size == len(DATA) // 3
    server.misdeeds, server.ranges = [], []
    assert get().read_bytes() == DATA
    assert server.ranges == [f"bytes={len(DATA) // 3}-"]


def test_a_file_that_changed_meanwhile_is_fetched_whole(server: Server, get: Callable[..., Path]) -> None:
    server.misdeeds = ["cut", *["500"] * 10]
    with pytest.raises(DownloadError):
        get(expected="")
    server.misdeeds, server.tag = [], '"two"'
    server.files["/big.weights"] = DATA[::-1]
    assert get(expected="").read_bytes() == DATA[::-1]


def test_a_part_that_was_whole_already(server: Server, get: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "big.weights.part").write_bytes(DATA)  # killed before it was renamed
    assert get().read_bytes() == DATA
    assert server.ranges == [f"bytes={len(DATA)}-"]


def test_corrupt_bytes_never_reach_the_store(server: Server, get: Callable[..., Path], tmp_path: Path) -> None:
    server.misdeeds = ["corrupt"]
    with pytest.raises(DownloadError, match=f"sha256 .* expected {SHA[:16]}; it was thrown away"):
        get()
    assert list((tmp_path / "store").iterdir()) == []
    server.misdeeds = ["cut", "corrupt"]
    with pytest.raises(DownloadError, match="thrown away"):
        get()
    assert get().read_bytes() == DATA


def test_another_address_where_the_first_has_it_not(server: Server, get: Callable[..., Path]) -> None:
    assert get(urls=("/gone.weights", "/big.weights")).read_bytes() == DATA
    with pytest.raises(DownloadError, match="404.*403"):
        server.misdeeds = ["404", "403"]
        get(urls=("/a", "/b"))
    server.misdeeds = ["page"]
    with pytest.raises(DownloadError, match="with a web page"):
        get()
    with pytest.raises(DownloadError, match="512000 bytes instead of 99"):
        get(size=99)


def test_nobody_at_the_other_end(get: Callable[..., Path], server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DownloadError, match="cannot be fetched"):
        get()


# the verb


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "models"
    monkeypatch.setenv("EDGEBOT_MODELS", str(root))
    return root


def test_the_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOT_MODELS", "/srv/models")
    assert place.root() == Path("/srv/models")
    monkeypatch.delenv("EDGEBOT_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert place.root() == Path("/srv/data/edgebot/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert place.root() == Path.home() / ".local/share/edgebot/models"


def test_list_show_and_verify(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["person"]["state"] == "here, int8" and rows["yolov4-tiny"]["state"] == "to fetch"
    assert set(rows) == {"person", *(one.name for one in PUBLISHED)}
    copied = store / "yolo-fastest-1.1" / "yolo-fastest-1.1.tflite"
    copied.parent.mkdir(parents=True)
    shutil.copy(SHIPPED, copied)
    assert main(["models", "list"]) == 0
    assert "here, int8" in capsys.readouterr().out
    for name in ("person", "yolo-fastest-1.1", str(copied)):
        assert main(["models", "show", name]) == 0
        assert "144 x 192 x 3 int8" in capsys.readouterr().out
        assert main(["models", "verify", name]) == 0
        capsys.readouterr()
    assert main(["models", "show", "person", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["person"]
    damaged = bytearray(copied.read_bytes())
    damaged[5000] ^= 1
    copied.write_bytes(damaged)
    assert main(["models", "verify"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("bad") and "1 of 1 files" in said.err
    assert main(["models", "list"]) == 0
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["show", "yolov3"], "model yolov3 is not here yet; fetch it: edgebot models pull yolov3"),
        (["show", "nothing"], "there is no model nothing"),
        (["show"], "show takes one model"),
        (["list", "person"], "list takes no model"),
        (["fetch"], "invalid choice"),
        (["pull", "yolo3"], "no published model 'yolo3'; did you mean 'yolov3'?"),
        (["pull", "yolov3", "--mirror", "ftp://x", "--files-only"], "begins with https"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    store: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["models", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_detect_takes_a_model_of_the_store_by_name(store: Path, tmp_path: Path) -> None:
    assert place.find("person") == SHIPPED
    with pytest.raises(ModelError, match="edgebot models pull yolov4-tiny"):
        place.find("yolov4-tiny")
    place.model("mine").parent.mkdir(parents=True)
    shutil.copy(SHIPPED, place.model("mine"))
    assert place.find("mine") == store / "mine" / "mine.tflite"


def test_files_alone_are_fetched_checked_and_recorded(
    server: Server, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published model whose files are stand-ins: the licence's sha256 is trusted on first use."""
    entry = next(one for one in PUBLISHED if one.name == "yolov3-tiny")
    contents = {source.file: f"the {source.file}\n".encode() for source in entry.sources}
    known = {file: hashlib.sha256(data).hexdigest() for file, data in contents.items() if file != "LICENSE"}
    sources = tuple(Source(one.file, one.urls, known.get(one.file, "")) for one in entry.sources)
    changed = type(entry)(entry.name, entry.about, entry.terms, sources)
    monkeypatch.setattr(catalogue, "PUBLISHED", (changed,))
    server.files = {mirrored(server, one): contents[one.file] for one in sources}
    argv = ["models", "pull", "yolov3-tiny", "--files-only", "--mirror", server.url]
    assert main(argv) == 0
    said = capsys.readouterr().err
    assert "free of conditions" in said and "LICENSE: nobody publishes its sha256; recorded" in said
    folder = store / "yolov3-tiny"
    assert (folder / "LICENSE").read_bytes() == contents["LICENSE"]
    assert (folder / "source" / "yolov3-tiny.weights").read_bytes() == contents["yolov3-tiny.weights"]
    asked = len(server.ranges)
    assert main(argv) == 0 and len(server.ranges) == asked, "what is there is not fetched again"
    assert main(["models", "verify"]) == 0
    (folder / "LICENSE").unlink()
    server.files[mirrored(server, sources[-1])] = b"another licence\n"
    assert main(argv) == 2
    assert "is not what was expected" in capsys.readouterr().err
    (folder / "source" / "yolov3-tiny.cfg").write_text("altered")
    assert main(["models", "verify", "yolov3-tiny"]) == 2
    assert "edgebot models pull yolov3-tiny fetches it again" in capsys.readouterr().err
