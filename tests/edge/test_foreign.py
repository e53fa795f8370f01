"""Detectors that edgebot did not make: each layout against plain formulas, and every doubt in one sentence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.errors import ModelError, UsageError
from edge.flatbuffer import Contents
from edge.interpreter import Interpreter, dequantise, quantise
from edge.manifest import SsdDecode, Tensor, UltralyticsDecode
from edge.perception.decoders import make_decoder, suppress
from edge.perception.detector import Detector
from edge.perception.metadata import Said, parse_names, read
from edge.perception.model_file import ModelFile
from edge.perception.recognise import _readings
from tests.edge.pictures import picture
from tests.edge.test_detector import greedy

MODELS = Path(__file__).parent / "models"
SCORE = 0.3


def without_appendix(name: str, folder: Path) -> Path:
    """The model alone, as a converter leaves it that writes no metadata."""
    data = (MODELS / name).read_bytes()
    with zipfile.ZipFile(MODELS / name) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
    path = folder / name
    path.write_bytes(data[:start])
    return path


def outputs_of(name: str, frame: np.ndarray, stretch: bool = False) -> list[np.ndarray]:
    """Real outputs for a frame, prepared in the plainest way: letterbox on 114, or a stretch."""
    interpreter = Interpreter((MODELS / name).read_bytes())
    tensor = interpreter.inputs[0]
    inside = (64, 64) if stretch else (64, round(64 * frame.shape[0] / frame.shape[1]))
    canvas = np.full((64, 64, 3), 114, np.uint8)
    top = (64 - inside[1]) // 2
    canvas[top : top + inside[1]] = cv2.resize(frame, inside)
    real = canvas / 127.5 - 1 if stretch else canvas / 255
    real = real.transpose(2, 0, 1) if tensor.shape[1] == 3 else real
    interpreter.set(quantise(real[None], tensor))
    interpreter.invoke()
    return [dequantise(interpreter.get(index), one) for index, one in enumerate(interpreter.outputs)]


def plain(rows: np.ndarray, objectness: bool, limit: float) -> list[tuple[int, float, list[float]]]:
    """Centre boxes and class scores to label, score and box in the input's fractions, best first."""
    found = []
    for row in rows:
        chances = row[5:] * row[4] if objectness else row[4:]
        label = int(np.argmax(chances))
        if chances[label] > SCORE:
            found.append((label, float(chances[label]), [row[0] - row[2] / 2, row[1] - row[3] / 2, row[2], row[3]]))
    boxes, scores = np.array([one[2] for one in found]), np.array([one[1] for one in found])
    return [found[index] for index in greedy(boxes, scores, np.array([one[0] for one in found]), limit)]


@pytest.mark.parametrize(("name", "limit"), [("foreign-v8.tflite", 0.7), ("foreign-v5-int8.tflite", 0.45)])
def test_ultralytics_boxes_are_those_of_the_formulas(name: str, limit: float) -> None:
    frame = picture(96, 64)
    detector = Detector(MODELS / name, score=SCORE)
    assert detector.labels == ("person", "dog")
    raw = outputs_of(name, frame)[0][0]
    want = plain(raw.T if "v8" in name else raw, "v5" in name, limit)
    boxes, scores, classes = detector.boxes(frame)
    assert len(want) > 10 and len({one[0] for one in want}) == 2
    assert classes.tolist() == [one[0] for one in want]
    np.testing.assert_allclose(scores, [one[1] for one in want], atol=1e-6)
    # 96 x 64 fills 64 x 43 of the input, 10 below the top.
    shown = np.array([one[2] for one in want]) * 64 - [0, 10, 0, 0]
    np.testing.assert_allclose(boxes, shown * [96 / 64, 64 / 43, 96 / 64, 64 / 43], atol=1e-3)


def test_end_to_end_boxes_come_as_they_are() -> None:
    frame = picture(96, 64)
    rows = outputs_of("foreign-end2end.tflite", frame)[0][0]
    rows = rows[rows[:, 4] > SCORE]
    detector = Detector(MODELS / "foreign-end2end.tflite", score=SCORE)
    assert detector.manifest.decode.pixels and detector.manifest.decode.nms_iou is None
    boxes, scores, classes = detector.boxes(frame)
    assert len(rows) > 5 and classes.tolist() == rows[:, 5].astype(int).tolist()
    np.testing.assert_allclose(scores, rows[:, 4], atol=1e-6)
    corners = (rows[:, :4] - [0, 10, 0, 10]) * [96 / 64, 64 / 43, 96 / 64, 64 / 43]
    np.testing.assert_allclose(boxes[:, :2], corners[:, :2], atol=1e-3)
    np.testing.assert_allclose(boxes[:, 2:], corners[:, 2:] - corners[:, :2], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "labels"), [("foreign-ssd.tflite", ("person", "dog")), ("foreign-ssd-bare.tflite", ("class 0", "class 1"))]
)
def test_the_four_tensors_of_ssd(name: str, labels: tuple[str, ...]) -> None:
    """Whatever their order: with TFLite Metadata, uint8 in; and without any, float in, classes from the operation."""
    frame = picture(96, 64)
    found = outputs_of(name, frame, stretch=True)
    corners = next(one[0] for one in found if one.ndim == 3)
    flat = [one[0] for one in found if one.ndim == 2]
    scores, kinds = sorted(flat, key=lambda one: np.array_equal(one, np.round(one)))
    keep = scores > SCORE
    detector = Detector(MODELS / name, score=SCORE)
    boxes, have, classes = detector.boxes(frame)
    assert detector.labels == labels and keep.sum() > 4
    assert classes.tolist() == kinds[keep].astype(int).tolist()
    np.testing.assert_allclose(have, scores[keep], atol=1e-6)
    top, left, bottom, right = corners[keep].T
    want = np.stack([left, top, right - left, bottom - top], 1) * [96, 64, 96, 64]
    np.testing.assert_allclose(boxes, want, atol=1e-3)


def test_input_settings_are_what_the_file_says() -> None:
    image = Detector(MODELS / "foreign-ssd.tflite").manifest.image
    assert (image.resize, image.scale, image.offset) == ("stretch", pytest.approx(1 / 127.5), pytest.approx(-1.0))
    manifest = Detector(MODELS / "foreign-v8.tflite").manifest
    assert manifest.image.layout == "NCHW" and manifest.image.pad == 114 and manifest.provenance["stride"] == "32"


# what tells one layout from another


@pytest.mark.parametrize(
    ("shape", "side", "labels", "said", "asked", "want"),
    [
        ((1, 84, 8400), 640, 0, Said(), None, {"v8": (1, 80)}),
        ((1, 84, 2100), 320, 80, Said(), None, {"v8": (1, 80)}),
        ((1, 84, 84), 64, 80, Said(), None, {"v8": (1, 80)}),
        ((1, 25200, 85), 640, 0, Said(), None, {"v5": (2, 80)}),
        ((1, 6300, 6), 320, 0, Said(), None, {"v5": (2, 1)}),
        ((1, 2535, 85), 416, 0, Said(), None, {"v5": (2, 80)}),  # v3-tiny: two strides
        ((1, 85, 25200), 640, 0, Said(), None, {"v5": (1, 80)}),
        ((1, 300, 6), 640, 80, Said(), None, {"end2end": (2, 80)}),
        ((1, 300, 38), 640, 80, Said(end2end=True), None, {"end2end": (2, 80)}),
        ((1, 116, 8400), 640, 80, Said(task="segment"), None, {"v8": (1, 80)}),
        ((1, 8400, 85), 640, 0, Said(), None, {"v5": (2, 80), "v8": (2, 81)}),
        ((1, 8400, 85), 640, 80, Said(), None, {"v5": (2, 80)}),
        ((1, 8400, 85), 640, 0, Said(), "v5", {"v5": (2, 80)}),
        ((1, 1000, 7), 640, 0, Said(), None, {}),
        ((1, 1000, 7), 640, 0, Said(), "v8", {"v8": (2, 3)}),
        ((1, 84, 8400), 640, 5, Said(), None, {}),
    ],
)
def test_readings(
    shape: tuple[int, ...], side: int, labels: int, said: Said, asked: str | None, want: dict[str, tuple[int, int]]
) -> None:
    assert _readings(shape, said, labels, side, side, asked) == want


def sentence(file: Path | ModelFile) -> str:
    with pytest.raises((ModelError, UsageError)) as caught:
        Detector(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    bare = without_appendix("foreign-v8.tflite", tmp_path)
    assert Detector(bare).labels == ("class 0", "class 1")  # 6 x 84 can be nothing else
    names = tmp_path / "names.txt"
    names.write_text("cat\nmouse\n\n")
    assert Detector(ModelFile(bare, names=names)).labels == ("cat", "mouse")
    names.write_text("cat\n")
    told = sentence(ModelFile(bare, names=names))
    assert "1x6x84 float32 for an input of 64 x 64 and has 1 labels" in told and "--layout v5, v8" in told
    ready = without_appendix("foreign-end2end.tflite", tmp_path)
    assert "does not say what it finds; give its labels" in sentence(ready)
    names.write_text("cat\nmouse\n")
    assert Detector(ModelFile(ready, names=names), score=SCORE).boxes(picture(96, 64))[0].shape[0] > 5


def test_words_that_do_not_fit(tmp_path: Path) -> None:
    assert "does not fit --layout v5" in sentence(ModelFile(MODELS / "foreign-v8.tflite", layout="v5"))
    assert "expected the four tensors" in sentence(ModelFile(MODELS / "foreign-v8.tflite", layout="ssd"))
    assert "says by itself how to read it" in sentence(ModelFile(MODELS / "tiny.tflite", layout="v8"))
    names = tmp_path / "none.txt"
    assert "cannot be read (No such file" in sentence(ModelFile(MODELS / "foreign-v8.tflite", names=names))
    names.write_text("one\n\ntwo\n")
    assert "has an empty line" in sentence(ModelFile(MODELS / "foreign-v8.tflite", names=names))


def test_models_of_another_kind(tmp_path: Path) -> None:
    told = sentence(without_appendix("tiny.tflite", tmp_path))
    assert "1x6x8x21 float32, 1x12x16x21 float32" in told and "edgebot convert darknet" in told
    told = sentence(without_appendix("tiny-policy.tflite", tmp_path))
    assert "takes 1x6 float32" in told and "a detector takes one image" in told
    (tmp_path / "x.tflite").write_bytes(b"hello")
    assert "is not a TFLite model" in sentence(tmp_path / "x.tflite")
    assert "cannot be read" in sentence(tmp_path / "none.tflite")


def test_a_model_that_no_interpreter_takes(shared_data: Path) -> None:
    told = sentence(shared_data / "tflite_person_detect" / "person_detect.tflite")
    assert "is not accepted by" in told and "quantized_dimension" in told


def test_damage_is_told_and_never_a_crash(tmp_path: Path) -> None:
    """Whatever byte is wrong: something is read, or one sentence says what is not."""
    data = (MODELS / "foreign-ssd.tflite").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.integers(0, len(data), 600):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        try:
            read(bytes(changed), Contents(bytes(changed), "x"), "x")
        except ModelError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10
    path = tmp_path / "cut.tflite"
    for size in (9000, len(data) - 30):
        path.write_bytes(data[:size])
        sentence(path)


def appended(tmp_path: Path, text: str, file: str = "metadata.json") -> Path:
    path = without_appendix("foreign-v8.tflite", tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(file, text)
    return path


def test_metadata_of_ultralytics(tmp_path: Path) -> None:
    assert Detector(appended(tmp_path, "{'names': ['a', 'b']}", "temp_meta.txt")).labels == ("a", "b")
    for bad in ("{", "[]", '{"names": {"1": "a"}}', "__import__('os')", '{"names": 7}'):
        assert "Ultralytics metadata that cannot be read" in sentence(appended(tmp_path, bad))
    assert "turned boxes" in sentence(appended(tmp_path, '{"task": "obb", "names": {"0": "a"}}'))
    assert "no layout of a detector" in sentence(appended(tmp_path, '{"task": "classify"}'))


def test_label_files() -> None:
    assert parse_names("???\nperson\nbicycle\n???\ncar\n") == ("person", "bicycle", "???", "car")
    assert parse_names(" person \r\ndog\n\n\n") == ("person", "dog")


# decoding


def yolo(layout: str, scale: float = 0.0, zero_point: int = 0, axis: int = 2) -> tuple[UltralyticsDecode, tuple]:
    """Three classes, 200 boxes."""
    fields = {"v5": 8, "v8": 7, "end2end": 6}[layout]
    shape = (1, 200, fields) if axis == 2 else (1, fields, 200)
    tensor = Tensor(name="x", shape=shape, dtype="int8" if scale else "float32", scale=scale, zero_point=zero_point)
    limit = None if layout == "end2end" else 0.6
    return UltralyticsDecode(layout=layout, classes=3, fields_axis=axis, nms_iou=limit), (tensor,)


@pytest.mark.parametrize("layout", ["v5", "v8", "end2end"])
@pytest.mark.parametrize("axis", [1, 2])
def test_quantised_decodes_as_its_real_values_would(layout: str, axis: int) -> None:
    rng = np.random.default_rng(5)
    total = 0
    for _ in range(20):
        score = float(rng.uniform(0.05, 0.9))
        spec, tensors = yolo(layout, 1 / 255, -128, axis)
        stored = rng.integers(-128, 128, tensors[0].shape, np.int8)
        one = make_decoder(spec, tensors, 64, 64, score).decode([stored])
        real, real_tensors = yolo(layout, axis=axis)
        other = make_decoder(real, real_tensors, 64, 64, score).decode([dequantise(stored, tensors[0])])
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(suppress(one, spec), suppress(other, real))
        total += len(one.scores)
    assert total > 500


def test_outputs_that_gave_up_counting() -> None:
    for layout in ("v5", "v8", "end2end"):
        spec, tensors = yolo(layout)
        raw = np.full(tensors[0].shape, 0.9, np.float32)
        for field, value in ((4, np.nan), (1, np.inf)):
            bad = raw.copy()
            bad[0, 3, field] = value
            with pytest.raises(ValueError, match="not finite"):
                make_decoder(spec, tensors, 64, 64, 0.5).decode([bad])
        assert len(make_decoder(spec, tensors, 64, 64, 0.95).decode([np.zeros_like(raw)]).boxes) == 0


def test_what_ssd_says_beyond_its_count_or_labels() -> None:
    spec = SsdDecode(boxes=0, labels=1, scores=2, count=3, classes=2)
    tensors = tuple(Tensor(name="x", shape=shape, dtype="float32") for shape in ((1, 10, 4), (1, 10), (1, 10), (1,)))
    raw = [np.zeros(tensor.shape, np.float32) for tensor in tensors]
    raw[2][0, :3] = 0.9
    decoder = make_decoder(spec, tensors, 64, 64, 0.5)
    assert len(decoder.decode(raw).boxes) == 0  # the count is 0: what lies behind it is left over from before
    for count in (np.nan, -1.0, 11.0):
        raw[3][0] = count
        with pytest.raises(ValueError, match="things, of 10 at most"):
            decoder.decode(raw)
    raw[3][0] = 2.0
    raw[1][0, 0] = 7.0  # a class that it has no name for
    assert len(decoder.decode(raw).boxes) == 1


# the verbs


def test_detect_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), picture(96, 64))
    for name in ("v8", "v5-int8", "end2end", "ssd"):
        assert main(["detect", str(photo), "--model", str(MODELS / f"foreign-{name}.tflite"), "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        labels = {one["label"] for one in json.loads(line)["detections"]}
        assert labels and labels <= {"person", "dog"}
    bare = str(without_appendix("foreign-v8.tflite", tmp_path))
    assert main(["detect", str(photo), "--model", bare, "--layout", "ssd"]) == 2
    assert "--layout ssd; try --layout v5, v8 or end2end" in capsys.readouterr().err
    assert main(["detect", str(photo), "--layout", "v8"]) == 2
    assert "name its file" in capsys.readouterr().err


def test_a_robot_looks_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    detector = str(MODELS / "foreign-v8.tflite")
    argv = ["run", "--sim", "--policy", "person", "--seed", "3", "--duration", "1", "--detector", detector, "--json"]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["ended"] == "duration"
