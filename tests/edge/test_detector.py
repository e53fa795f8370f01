"""From a frame to boxes: against plain formulas on the same network, in float and in int8, in every input form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.manifest import DarknetDecode, DarknetHead, ImageInput, Tensor
from edge.perception.decode import DarknetDecoder
from edge.perception.detector import Detector
from edge.perception.draw import draw
from edge.perception.geometry import CameraGeometry
from edge.perception.nms import iou, nms
from edge.perception.preprocess import Preprocessor
from edge.types import Detection
from robot.config import load
from robot.pinhole import Pinhole
from tests.edge.pictures import picture

MODELS = Path(__file__).parent / "models"


def greedy(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, limit: float) -> list[int]:
    """Suppression written out plainly."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        x, y, w, h = boxes[index]
        for other in kept:
            u, v, a, b = boxes[other]
            shared = max(0, min(x + w, u + a) - max(x, u)) * max(0, min(y + h, v + b) - max(y, v))
            if classes[index] == classes[other] and shared / (w * h + a * b - shared) > limit:
                break
        else:
            kept.append(index)
    return kept


def test_float_boxes_are_those_of_the_formulas() -> None:
    told = json.loads((MODELS / "expected.json").read_text())
    rows = np.array(told["before_nms"])
    boxes, scores, classes = rows[:, 2:], rows[:, 1], rows[:, 0].astype(int)
    kept = greedy(boxes, scores, classes, 0.45)
    assert len(kept) >= 10
    have, have_scores, have_classes = Detector(MODELS / "tiny.tflite", score=told["score"]).boxes(picture())
    np.testing.assert_allclose(have_scores, scores[kept], atol=1e-4)
    assert have_classes.tolist() == classes[kept].tolist()
    np.testing.assert_allclose(have, boxes[kept] * [64, 48, 64, 48], atol=0.01)


def test_int8_finds_the_same_within_its_rounding() -> None:
    float_boxes, float_scores, _ = Detector(MODELS / "tiny.tflite", score=0.45).boxes(picture())
    boxes, scores, _ = Detector(MODELS / "tiny-int8.tflite", score=0.35).boxes(picture())
    overlap = iou(float_boxes[:, None], boxes[None])
    assert (overlap.max(1) > 0.75).mean() > 0.8
    assert np.abs(float_scores - scores[overlap.argmax(1)])[overlap.max(1) > 0.75].max() < 0.1


def test_boxes_scale_with_the_frame() -> None:
    detector = Detector(MODELS / "tiny.tflite", score=0.45)
    small, _, _ = detector.boxes(picture())
    large, _, _ = detector.boxes(np.ascontiguousarray(picture().repeat(4, 0).repeat(2, 1)))
    assert len(large) and np.all(np.abs(large[0, 2:] / [128, 192] - small[0, 2:] / [64, 48]) < 0.1)
    again, _, _ = detector.boxes(picture())
    np.testing.assert_array_equal(small, again)


def test_detections_carry_labels_and_bearings() -> None:
    geometry = CameraGeometry(load().camera)
    for found in Detector(MODELS / "tiny.tflite", geometry=geometry).detect(picture()):
        assert found.label in ("person", "dog") and 0.4 < found.score < 1
        x, _, width, _ = found.box
        assert math.copysign(1, found.bearing) == math.copysign(1, 32 - (x + width / 2)) and found.height > 0
    assert all(one.bearing is None for one in Detector(MODELS / "tiny.tflite").detect(picture()))


@pytest.mark.parametrize(
    "bad", [np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_frames_that_are_none(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame must be uint8"):
        Detector(MODELS / "tiny.tflite").detect(bad)


# decode

HEADS = (
    DarknetHead(output=1, anchors=((30.0, 40.0), (60.0, 90.0)), scale_x_y=1.1),
    DarknetHead(output=0, anchors=((10.0, 12.0), (16.0, 30.0))),
)


def decoder(score: float, scale: float = 0.0, zero_point: int = 0, **changes: bool) -> DarknetDecoder:
    dtype = "int8" if scale else "float32"
    outputs = tuple(
        Tensor(name="h", shape=(1, rows, columns, 16), dtype=dtype, scale=scale, zero_point=zero_point)
        for rows, columns in ((6, 8), (3, 4))
    )
    heads = tuple(head.model_copy(update=changes) for head in HEADS)
    return DarknetDecoder(DarknetDecode(heads=heads, classes=3), outputs, 128, 96, score)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 0.9), st.floats(0.02, 0.2), st.integers(-100, 100), st.booleans())
def test_int8_decodes_as_its_real_values_would(
    seed: int, score: float, scale: float, zero_point: int, softmax: bool
) -> None:
    rng = np.random.default_rng(seed)
    stored = [rng.integers(-128, 128, (1, rows, columns, 16), np.int8) for rows, columns in ((3, 4), (6, 8))]
    real = [((head.astype(np.float32) - zero_point) * np.float32(scale)) for head in stored]
    one = decoder(score, scale, zero_point, softmax=softmax).decode(stored)
    other = decoder(score, softmax=softmax).decode(real)
    # A score on the very threshold may fall to either side by rounding.
    if len(one.scores) == len(other.scores):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-3, atol=1e-5)
        assert one.classes.tolist() == other.classes.tolist()
    else:
        assert min(np.abs(np.concatenate([one.scores, other.scores]) - score)) < 1e-4


def test_one_cell_by_hand() -> None:
    heads = [np.full((1, 3, 4, 16), -9.0, np.float32), np.full((1, 6, 8, 16), -9.0, np.float32)]
    heads[0][0, 1, 2, 8:16] = [0.5, -1.0, 0.2, 0.3, 2.0, -9.0, 3.0, -9.0]  # second anchor, second class

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    found = decoder(0.3).decode(heads)
    assert found.classes.tolist() == [1]
    assert found.scores[0] == pytest.approx(sigmoid(2.0) * sigmoid(3.0), rel=1e-5)
    width, height = math.exp(0.2) * 60 / 128, math.exp(0.3) * 90 / 96
    x = (2 + sigmoid(0.5) * 1.1 - 0.05) / 4 - width / 2
    y = (1 + sigmoid(-1.0) * 1.1 - 0.05) / 3 - height / 2
    np.testing.assert_allclose(found.boxes[0], [x, y, width, height], rtol=1e-5)
    chances = np.exp([-9.0, 3.0, -9.0]) / np.exp([-9.0, 3.0, -9.0]).sum()
    shared = decoder(0.3, softmax=True).decode(heads)  # the classes of a [region] head
    assert shared.scores.tolist() == [pytest.approx(sigmoid(2.0) * chances[1], rel=1e-5)]
    ready = [np.full_like(head, 0.01) for head in heads]
    ready[0][0, 0, 0, :8] = [0.5, 0.5, 0.4, 0.6, 0.9, 0.8, 0.1, 0.1]
    one = decoder(0.3, new_coords=True).decode(ready)
    assert one.scores[0] == pytest.approx(0.72)
    np.testing.assert_allclose(one.boxes[0, 2:], [0.8**2 * 30 / 128, 1.2**2 * 40 / 96], rtol=1e-5)


def test_nothing_and_extreme_values() -> None:
    nothing = [np.full((1, 3, 4, 16), -50.0, np.float32), np.full((1, 6, 8, 16), -50.0, np.float32)]
    assert len(decoder(0.3).decode(nothing).boxes) == 0
    lowest = [np.full((1, 3, 4, 16), -128, np.int8), np.full((1, 6, 8, 16), -128, np.int8)]
    assert len(decoder(0.3, 0.1, 0).decode(lowest).boxes) == 0
    # Every stored number is above the threshold: none may be lost at the end of the int8 range.
    assert len(decoder(0.001, 0.01, 0).decode(lowest).boxes) == (3 * 4 + 6 * 8) * 2 * 3
    with pytest.raises(ValueError, match="score"):
        decoder(0.0)


def test_a_head_of_another_shape() -> None:
    outputs = (Tensor(name="h", shape=(1, 3, 4, 15), dtype="float32"),) * 2
    with pytest.raises(ModelError, match=r"expected 1 x rows x columns x 16 \(2 anchors, 3 classes\)"):
        DarknetDecoder(DarknetDecode(heads=HEADS, classes=3), outputs, 128, 96, 0.5)


# suppression


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 40), st.floats(0.1, 0.9))
def test_suppression_is_the_plain_one(seed: int, count: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 30, (count, 2)), rng.uniform(5, 30, (count, 2))], 1)
    scores, classes = rng.random(count), rng.integers(0, 3, count)
    assert nms(boxes, scores, classes, limit).tolist() == greedy(boxes, scores, classes, limit)


@pytest.mark.parametrize(("limit", "kinds"), [(0.4, 1), (0.4, 40), (0.9, 2)])
def test_many_boxes_are_suppressed_alike(limit: float, kinds: int) -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 200, (600, 2)), rng.uniform(5, 60, (600, 2))], 1)
    scores, classes = rng.random(600).round(2), rng.integers(0, kinds, 600)  # some scores are alike
    plain = greedy(boxes, scores, classes, limit)
    assert len(plain) > 120
    for most in (None, 0, 1, 120):
        assert nms(boxes, scores, classes, limit, most=most).tolist() == plain[:most]


def test_a_box_without_end_leaves_the_others_alone() -> None:
    boxes = np.array([[0.1, 0.1, 0.2, 0.2], [0.0, 0.0, np.inf, 1.0], [0.5, 0.5, 0.2, 0.2]])
    assert nms(boxes, np.array([0.7, 0.9, 0.8]), np.array([0, 1, 0]), 0.5).tolist() == [1, 2, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 30), st.floats(-0.2, 0.8), st.floats(0.3, 1.2))
def test_suppression_by_distance_is_the_plain_one(seed: int, count: int, limit: float, beta: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 30, (count, 2)), rng.uniform(5, 30, (count, 2))], 1)
    scores, classes = rng.random(count), rng.integers(0, 3, count)

    def overlap(a: list[float], b: list[float]) -> float:
        (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
        wide, high = max(min(ax + aw, bx + bw) - max(ax, bx), 0), max(min(ay + ah, by + bh) - max(ay, by), 0)
        apart = (ax + aw / 2 - bx - bw / 2) ** 2 + (ay + ah / 2 - by - bh / 2) ** 2
        whole = (max(ax + aw, bx + bw) - min(ax, bx)) ** 2 + (max(ay + ah, by + bh) - min(ay, by)) ** 2
        return wide * high / (aw * ah + bw * bh - wide * high) - (apart / whole) ** beta

    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        rivals = [other for other in kept if classes[other] == classes[index]]
        if all(overlap(boxes[other].tolist(), boxes[index].tolist()) <= limit for other in rivals):
            kept.append(index)
    assert nms(boxes, scores, classes, limit, beta).tolist() == kept


# preprocessing


def prepared(spec: ImageInput, tensor: Tensor, frame: np.ndarray) -> tuple[np.ndarray, Preprocessor]:
    out = np.zeros(tensor.shape, tensor.dtype)
    made = Preprocessor(spec, tensor)
    made.write(frame, lambda: out)
    return out[0], made


def tensor(dtype: str = "float32", scale: float = 0.0, zero_point: int = 0, shape: tuple = (1, 24, 32, 3)) -> Tensor:
    return Tensor(name="image", shape=shape, dtype=dtype, scale=scale, zero_point=zero_point)  # type: ignore[arg-type]


def test_every_input_form_holds_the_same_picture() -> None:
    frame = picture(32, 24)
    plain, _ = prepared(ImageInput(), tensor(), frame)
    np.testing.assert_allclose(plain, frame / 255, atol=1e-6)
    flipped, _ = prepared(ImageInput(), tensor("int8", 1 / 255, -128), frame)
    np.testing.assert_array_equal(flipped, frame.astype(int) - 128)
    table, _ = prepared(ImageInput(scale=2 / 255, offset=-1.0), tensor("int8", 0.01, 5), frame)
    np.testing.assert_allclose((table.astype(float) - 5) * 0.01, np.clip(frame / 127.5 - 1, -1.33, 1.22), atol=0.0051)
    same, _ = prepared(ImageInput(), tensor("uint8", 1 / 255, 0), frame)
    np.testing.assert_array_equal(same, frame)
    signed, _ = prepared(ImageInput(scale=2 / 255, offset=-1.0), tensor(), frame)
    np.testing.assert_allclose(signed, frame / 127.5 - 1, atol=1e-6)
    blue, _ = prepared(ImageInput(colour="BGR"), tensor(), frame)
    np.testing.assert_allclose(blue, frame[..., ::-1] / 255, atol=1e-6)
    grey, _ = prepared(ImageInput(colour="GRAY"), tensor(shape=(1, 24, 32, 1)), frame)
    np.testing.assert_allclose(grey[..., 0], frame @ [0.299, 0.587, 0.114] / 255, atol=0.004)
    planes, _ = prepared(ImageInput(layout="NCHW"), tensor(shape=(1, 3, 24, 32)), frame)
    np.testing.assert_allclose(planes.transpose(1, 2, 0), frame / 255, atol=1e-6)


def test_letterbox_keeps_the_aspect_and_maps_back() -> None:
    frame = np.full((60, 20, 3), 200, np.uint8)
    out, made = prepared(ImageInput(resize="letterbox"), tensor(), frame)
    assert np.allclose(out[:, 12:20], 200 / 255) and np.allclose(out[:, :11], ImageInput().pad / 255)
    # The frame fills 24 x 8 of the input, at 12 from the left.
    np.testing.assert_allclose(made.to_frame(np.array([[12 / 32, 0, 8 / 32, 1]])), [[0, 0, 20, 60]], atol=1e-9)


def test_inputs_that_are_no_image() -> None:
    for shape in ((1, 6), (2, 24, 32, 3), (1, 24, 32, 4)):
        with pytest.raises(ModelError, match="expected one RGB image"):
            Preprocessor(ImageInput(), tensor(shape=shape))
    with pytest.raises(ModelError, match="int32"):
        Preprocessor(ImageInput(), tensor("int32"))


# geometry and drawing


def test_geometry_inverts_the_camera() -> None:
    config = load().camera
    geometry = CameraGeometry(config)
    pinhole = Pinhole.from_config(config)
    for ahead, left in ((2.0, 0.0), (3.0, 0.8), (4.0, -1.2)):
        (foot, head), _ = pinhole.project([[ahead, left, 0.0], [ahead, left, 1.7]])
        box = (float(foot[0]) - 5, float(head[1]), 10.0, float(foot[1] - head[1]))
        lens = ahead - config.x_m
        assert geometry.bearing(box) == pytest.approx(math.atan2(left, lens), abs=0.02)
        assert geometry.floor_distance(box) == pytest.approx(math.hypot(lens, left), rel=1e-6)
        away = math.hypot(lens, left)
        angle = math.atan2(1.7 - config.height_m, away) + math.atan2(config.height_m, away)
        assert geometry.apparent_height(box) == pytest.approx(angle, rel=0.02)
        half = tuple(value / 2 for value in box)
        assert geometry.bearing(half, 320, 240) == pytest.approx(geometry.bearing(box), abs=1e-9)


def test_no_distance_without_feet() -> None:
    geometry = CameraGeometry(load().camera)
    assert geometry.floor_distance((300, 200, 50, 280)) is None  # cut by the frame
    assert geometry.floor_distance((300, 10, 50, 50)) is None  # above the horizon


def test_drawing_stays_in_the_picture_and_leaves_the_original() -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    found = [Detection("person", 0.9, (-40, -30, 90, 300)), Detection("dog", 0.5, (150, 100, 400, 1e9))]
    out = draw(image, found, ("person", "dog"))
    assert (image == 90).all() and out.shape == image.shape and (out != 90).any()
    alone = [draw(image, [one], ("person", "dog")) for one in found]
    colours = [tuple(np.unique(one.reshape(-1, 3), axis=0, return_counts=True)[0][0]) for one in alone]
    assert colours[0] != colours[1]
