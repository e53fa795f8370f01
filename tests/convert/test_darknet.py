"""Darknet's files: read exactly, and refused in one sentence where they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.darknet.model import load
from convert.errors import ConvertError
from tests.convert import small_darknet as small


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return small.write(tmp_path)


def test_heads_are_what_darknet_computes(files: tuple[Path, Path, Path]) -> None:
    model = load(*files)
    image = np.random.default_rng(1).random((small.HEIGHT, small.WIDTH, 3), np.float32)
    want = small.reference(image, small.draw_weights())
    have = [np.asarray(head)[0] for head in model.keras(image[None])]
    assert [head.shape for head in have] == [(6, 8, 21), (12, 16, 21)]
    for one, other in zip(want, have, strict=True):
        assert np.abs(one - other).max() < 2e-5 * np.abs(one).max()


def test_decode_and_labels(files: tuple[Path, Path, Path]) -> None:
    model = load(*files)
    assert model.labels == ("person", "dog")
    assert [head.anchors[0] for head in model.decode.heads] == [(14.0, 20.0), (4.0, 6.0)]
    assert model.decode.classes == 2 and model.image.resize == "stretch"


def test_keeping_one_label_keeps_its_numbers(files: tuple[Path, Path, Path]) -> None:
    image = np.random.default_rng(2).random((1, small.HEIGHT, small.WIDTH, 3), np.float32)
    whole, part = load(*files), load(*files, ("dog",))
    assert part.labels == ("dog",) and part.decode.classes == 1
    for all_of_it, less in zip(whole.keras(image), part.keras(image), strict=True):
        fields = np.asarray(all_of_it).reshape(-1, 3, 7)[..., [0, 1, 2, 3, 4, 6]]
        np.testing.assert_allclose(np.asarray(less).reshape(-1, 3, 6), fields, atol=1e-5)
    with pytest.raises(ConvertError, match="'cat'"):
        load(*files, ("cat",))


def refusal(files: tuple[Path, Path, Path]) -> str:
    with pytest.raises(ConvertError) as caught:
        load(*files)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def edit(path: Path, old: str, new: str) -> int:
    """Replace once; the line on which it stands."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_unknown_section_names_its_line(files: tuple[Path, Path, Path]) -> None:
    line = edit(files[0], "[dropout]", "[dropin]")
    assert f"line {line}: [dropin] is unknown" in refusal(files)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("filters = 8", "filters = many", "filters=many, expected a number"),
        ("filters = 8", "filters = 8.5", "expected a whole number"),
        ("stride = 2", "stride = 0", "expected a whole number of 1 to 63"),
        ("activation = leaky", "activation = sneaky", "activation=sneaky, expected one of linear, leaky"),
        ("groups = 12", "groups = 5", "groups=5, which does not divide"),
        ("from = -5", "from = -50", "from=-50, expected layers before this one"),
        ("from = -5", "from = -4", "different shapes"),
        ("layers = -1,-3,-4", "layers = -1,0", "different width and height"),
        ("filters = 21", "filters = 22", "needs 21 filters before it, there are 22"),
        ("mask = 3,4,5", "mask = 3,4,6", "mask=3,4,6, which does not fit its 6 anchors"),
        ("classes = 2", "classes = 3", "needs 24 filters"),
        ("channels=3", "channels=1", "channels=1"),
        ("width=64", "width=", "width=, expected a number"),
        ("size = 3", "size = 3000", "size=3000, expected a whole number of 1 to 63"),
        ("pad = 1", "dilation = 2", "dilation=2, which is not supported"),
    ],
)
def test_wrong_settings_name_line_and_value(files: tuple[Path, Path, Path], old: str, new: str, said: str) -> None:
    edit(files[0], old, new)
    sentence = refusal(files)
    assert said in sentence and ", line " in sentence


def test_text_that_is_no_cfg(files: tuple[Path, Path, Path]) -> None:
    files[0].write_text("hello\nworld\n")
    assert "line 1: 'hello' is neither" in refusal(files)
    files[0].write_bytes(b"\x80\x81\xff")
    assert "not UTF-8" in refusal(files)
    files[0].write_text("[convolutional]\nfilters=3\n")
    assert "does not begin with a [net]" in refusal(files)
    files[0].write_text("[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=3\n")
    assert "no [yolo] section" in refusal(files)
    files[0].write_text("[net\nwidth=32\n")
    assert "line 1" in refusal(files)


@pytest.mark.parametrize("change", [-4, -3, 4, 4000])
def test_weights_that_do_not_fit_give_both_counts(files: tuple[Path, Path, Path], change: int) -> None:
    data = files[1].read_bytes()
    files[1].write_bytes(data[:change] if change < 0 else data + bytes(change))
    needed = (len(data) - 20) // 4
    sentence = refusal(files)
    assert f"the cfg needs {needed}" in sentence
    assert f"hold {needed + change / 4:.10g} numbers" in sentence


def test_weights_that_are_missing_empty_or_not_finite(files: tuple[Path, Path, Path]) -> None:
    data = files[1].read_bytes()
    files[1].write_bytes(data[:-4] + np.array([np.nan], "<f4").tobytes())
    assert "not finite" in refusal(files)
    files[1].write_bytes(b"")
    assert "hold 0 numbers" in refusal(files)
    files[1].unlink()
    assert "cannot be read" in refusal(files)


def test_old_header_of_16_bytes(files: tuple[Path, Path, Path]) -> None:
    data = files[1].read_bytes()
    files[1].write_bytes(np.array([0, 1, 0, 7], "<i4").tobytes() + data[20:])
    image = np.zeros((1, small.HEIGHT, small.WIDTH, 3), np.float32)
    want = small.reference(image[0], small.draw_weights())
    np.testing.assert_allclose(np.asarray(load(*files).keras(image)[0])[0], want[0], atol=1e-4)


@pytest.mark.parametrize("text", ["person\n", "person\ndog\ncat\n", ""])
def test_labels_of_another_length(files: tuple[Path, Path, Path], text: str) -> None:
    files[2].write_text(text)
    sentence = refusal(files)
    assert f"hold {len(text.split())} labels, the cfg has 2 classes" in sentence
