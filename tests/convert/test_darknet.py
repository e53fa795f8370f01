"""Darknet's files: read exactly, and refused in one sentence where they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from convert.darknet.grammar import parse
from convert.darknet.model import build, load
from convert.darknet.weights import read
from convert.errors import ConvertError
from tests.convert import small_darknet as small


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return small.write(tmp_path)


@pytest.mark.parametrize("layers", [small.LAYERS, small.GRAMMAR], ids=["detector", "grammar"])
def test_every_layer_is_what_darknet_computes(tmp_path: Path, layers: list) -> None:
    files = small.write(tmp_path, layers=layers)
    weights = small.draw_weights(layers=layers)
    image = np.random.default_rng(1).random((small.HEIGHT, small.WIDTH, 3), np.float32)
    model, network = build(parse(files[0]))
    for fill, values in zip(network.fills, read(files[1], network.shapes), strict=True):
        fill(values)
    every = keras.Model(model.input, network.tensors)
    for index, (want, have) in enumerate(zip(small.reference(image, weights, layers), every(image[None]), strict=True)):
        assert want.shape == have.shape[1:], (index, layers[index])
        assert np.abs(want - np.asarray(have)[0]).max() < 2e-5 * np.abs(want).max(), (index, layers[index])


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
        ("num = 6", "num = 9", "num=9 and 12 numbers in anchors=, expected 18"),
        ("anchors = 4,6, 8,9,", "anchors = 4,6, 8,", "num=6 and 11 numbers in anchors=, expected 12"),
        ("anchors = 4,6,", "anchors = 4,-6,", "expected numbers above 0"),
        ("num = 6", "num = 6\nnms_kind = best", "nms_kind=best, expected one of default, greedynms, diounms"),
        ("[yolo]\nmask = 3,4,5", "[region]\ncoords = 5", "coords=5, expected 4"),
        ("[yolo]\nmask = 3,4,5", "[region]\ntree = 9k.tree", "tree=9k.tree, which is not supported"),
        ("filters = 8", "xnor = 1\nfilters = 8", "xnor=1, which is not supported"),
        (
            "size = 3\nstride = 1\n\n[route]",
            "size = 3\npadding = 3\n\n[route]",
            "padding=3, expected a whole number of 0",
        ),
        ("[dropout]", "[reorg]\nstride = 3", "stride=3, which does not divide 32x24"),
        ("[dropout]", "[sam]\nfrom = -3", "multiplies 32x24x8 by 32x24x12"),
        ("[dropout]", "[scale_channels]\nfrom = -4", "scales 32x24x8 by 32x24x8, expected 1x1x8 before it"),
        ("[dropout]", "[upsample]\nstride = x", "stride=x, expected a number"),
        ("classes = 2", "classes = 3", "needs 24 filters"),
        ("channels=3", "channels=1", "channels=1"),
        ("width=64", "width=", "width=, expected a number"),
        ("size = 3", "size = 3000", "size=3000, expected a whole number of 1 to 63"),
        ("pad = 1", "dilation = 2", "dilation=2, which needs an odd size and pad=1"),
    ],
)
def test_wrong_settings_name_line_and_value(files: tuple[Path, Path, Path], old: str, new: str, said: str) -> None:
    edit(files[0], old, new)
    sentence = refusal(files)
    assert said in sentence and ", line " in sentence


def test_a_cfg_as_people_keep_them(files: tuple[Path, Path, Path]) -> None:
    """Windows line ends, a byte order mark, comments of any encoding, blanks, capitals, keys of training, doubles."""
    plain = load(*files)
    text = files[0].read_text().replace("[net]", "[net]  ; the net\nlearning_rate=0.001\npolicy=steps\nsteps=1,2")
    text = text.replace("[yolo]", "# \xe9\n[ Yolo ]\ncounters_per_class=1,2\niou_thresh=0.2\nmax_delta=5\nrandom=1\n")
    text = text.replace("filters = 8", "filters =8   # eight\nfilters=99\nstopbackward = 1", 1).replace("\n", "\r\n")
    files[0].write_bytes(b"\xef\xbb\xbf" + text.encode("latin-1"))
    files[2].write_bytes(b"\xef\xbb\xbfperson\r\ndog\r\n\r\n")
    odd = load(*files)
    assert odd.labels == plain.labels and odd.decode == plain.decode
    image = np.random.default_rng(3).random((1, small.HEIGHT, small.WIDTH, 3), np.float32)
    for one, other in zip(odd.keras(image), plain.keras(image), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_decoding_needs_is_in_the_manifest(files: tuple[Path, Path, Path]) -> None:
    edit(files[0], "num = 6", "num = 6\nnew_coords = 1\nscale_x_y = 2.0")
    text = files[0].read_text()
    files[0].write_text(text[::-1].replace("6 = mun", "7.0=smn_ateb\nsmnuoid=dnik_smn\n6 = mun", 1)[::-1])
    decode = load(*files).decode
    assert [(head.new_coords, head.scale_x_y) for head in decode.heads] == [(True, 2.0), (False, 1.0)]
    assert decode.nms_beta == 0.7, "Darknet asks its last head"


def test_a_region_heads_anchors_are_in_cells(tmp_path: Path) -> None:
    files = small.write(tmp_path, layers=small.GRAMMAR)
    decode = load(*files).decode
    (head,) = decode.heads
    rows, columns = 7, 9
    assert head.softmax and not head.new_coords and decode.nms_beta is None
    np.testing.assert_allclose(head.anchors, np.array([(0.5, 0.75), (2, 1.5)]) * (64 / columns, 48 / rows))


def test_keeping_a_label_of_heads_that_end_with_an_activation(files: tuple[Path, Path, Path]) -> None:
    old = "filters = 21\nsize = 1\nstride = 1\npad = 1\nactivation = linear"
    files[0].write_text(files[0].read_text().replace(old, old.replace("linear", "logistic")))
    image = np.random.default_rng(2).random((1, small.HEIGHT, small.WIDTH, 3), np.float32)
    for all_of_it, less in zip(load(*files).keras(image), load(*files, ("dog",)).keras(image), strict=True):
        assert np.min(less) > 0 and np.max(less) < 1
        fields = np.asarray(all_of_it).reshape(-1, 3, 7)[..., [0, 1, 2, 3, 4, 6]]
        np.testing.assert_allclose(np.asarray(less).reshape(-1, 3, 6), fields, atol=1e-5)


def test_text_that_is_no_cfg(files: tuple[Path, Path, Path]) -> None:
    files[0].write_text("hello\nworld\n")
    assert "line 1: 'hello' is neither" in refusal(files)
    files[0].write_bytes(b"\x80\x81\xff")
    assert "not UTF-8" in refusal(files)
    files[0].write_text("[convolutional]\nfilters=3\n")
    assert "does not begin with a [net]" in refusal(files)
    files[0].write_text("[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=3\n")
    assert "no [yolo] or [region] section" in refusal(files)
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


@pytest.mark.parametrize(
    ("version", "seen"),
    [((0, 1, 0), "<i4"), ((0, 2, 0), "<i8"), ((0, 2, 5), "<i8"), ((1, 0, 0), "<i8"), ((1001, 0, 0), "<i4")],
)
def test_headers_of_all_versions(files: tuple[Path, Path, Path], version: tuple[int, ...], seen: str) -> None:
    """From 0.2 on the count of images seen has 8 bytes; above 1000 (transposed) it has 4 again."""
    data = files[1].read_bytes()
    files[1].write_bytes(np.array(version, "<i4").tobytes() + np.array(7, seen).tobytes() + data[20:])
    image = np.zeros((1, small.HEIGHT, small.WIDTH, 3), np.float32)
    want = small.heads(small.LAYERS, small.reference(image[0], small.draw_weights()))
    np.testing.assert_allclose(np.asarray(load(*files).keras(image)[0])[0], want[0], atol=1e-4)


@pytest.mark.parametrize("text", ["person\n", "person\ndog\ncat\n", ""])
def test_labels_of_another_length(files: tuple[Path, Path, Path], text: str) -> None:
    files[2].write_text(text)
    sentence = refusal(files)
    assert f"hold {len(text.split())} labels, the cfg has 2 classes" in sentence
