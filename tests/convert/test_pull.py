"""`edgebot models pull`: from a local server to a calibrated int8 model, its licence beside it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

pytest.importorskip("tensorflow")

from convert.images import noise
from edge.cli import main
from edge.manifest import read
from edge.store import catalogue
from edge.store.catalogue import CALIBRATION, PUBLISHED, Published, Source
from tests.convert import small_darknet as small
from tests.edge.web import Server, mirrored


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def photos() -> bytes:
    """A zip archive like coco128's; one member means to land elsewhere."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index, image in enumerate(noise(10, (60, 80))):
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            archive.writestr(f"coco128/images/train2017/{index:012}.jpg" if index else "../../../away.jpg", jpeg)
        archive.writestr("coco128/LICENSE", "text")
    return out.getvalue()


def test_a_published_model_is_fetched_converted_and_calibrated(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """yolov4-tiny's entry, with a small detector's files behind its addresses."""
    root = tmp_path / "models"
    monkeypatch.setenv("EDGEBOT_MODELS", str(root))
    files = dict(zip((".cfg", ".weights", ".names"), small.write(tmp_path), strict=True))
    real = next(one for one in PUBLISHED if one.name == "yolov4-tiny")
    sources = []
    for source in real.sources:
        path = files.get(Path(source.file).suffix)
        data = path.read_bytes() if path else b"do what you like\n"
        server.files[mirrored(server, source)] = data
        sources.append(Source(source.file, source.urls, hashlib.sha256(data).hexdigest() if path else ""))
    server.files[mirrored(server, CALIBRATION)] = photos()
    entry = Published(real.name, real.about, real.terms, tuple(sources))
    monkeypatch.setattr(catalogue, "PUBLISHED", (entry,))
    server.misdeeds = ["", "cut"]
    argv = ["models", "pull", "yolov4-tiny", "--mirror", server.url]
    assert main(argv) == 0
    folder = root / "yolov4-tiny"
    manifest = read(folder / "yolov4-tiny.tflite")[1]
    assert manifest.inputs[0].dtype == "int8" and manifest.labels == ("person", "dog")
    assert manifest.provenance["weights"]["sha256"] == hashlib.sha256(files[".weights"].read_bytes()).hexdigest()
    assert (folder / "LICENSE").read_text() == "do what you like\n"
    assert len(list((root / "photos" / "coco128").glob("*.jpg"))) == 10
    assert not list(tmp_path.glob("**/away.jpg"))[1:], "nothing lands outside"
    assert "edgebot detect photo.jpg --model yolov4-tiny" in capsys.readouterr().err
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.count("good") == 5
