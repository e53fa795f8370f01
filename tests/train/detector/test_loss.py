"""The loss: what it asks for is what the runtime reads; the same numbers on another backend, without TensorFlow."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge.manifest import DarknetDecode, DarknetHead, Tensor
from edge.perception.decode import DarknetDecoder
from train.detector.anchors import cluster, shape_iou
from train.detector.examples import IGNORED, NOBODY
from train.detector.loss import YoloLoss
from train.detector.overlap import ciou, iou

WIDTH, HEIGHT, CLASSES = 96, 64, 3
ROOT = Path(__file__).resolve().parents[3]


def spec(scale: float, ready: bool) -> DarknetDecode:
    heads = (
        DarknetHead(output=0, anchors=((8, 10), (16, 20)), scale_x_y=scale, new_coords=ready),
        DarknetHead(output=1, anchors=((30, 30), (60, 50)), scale_x_y=scale, new_coords=ready),
    )
    return DarknetDecode(heads=heads, classes=CLASSES)


GRIDS = [(8, 12), (4, 6)]

TRUTH = np.array(
    [
        [
            [0.31, 0.42, 0.12, 0.2, 0],
            [0.7, 0.55, 0.5, 0.6, 2],
            [0.9, 0.9, 0.1, 0.1, IGNORED],
            [0, 0, 0, 0, NOBODY],
        ]
    ],
    np.float32,
)


def asked(loss: YoloLoss, decode: DarknetDecode, truth: np.ndarray) -> list[np.ndarray]:
    """Heads filled in as the loss asks."""
    match, whom = (keras.ops.convert_to_numpy(part)[0] for part in loss.assign(truth))
    scale, ready = decode.heads[0].scale_x_y, decode.heads[0].new_coords
    raw = np.full((len(match), 5 + CLASSES), 1e-4 if ready else -9.0, np.float32)
    raw[:, :2] = 0.5 if ready else 0.0
    for cell in np.flatnonzero(match):
        x, y, width, height, kind = truth[0, whom[cell]]
        middle = ([x, y] * loss._grid[cell] - loss._cells[cell] + (scale - 1) / 2) / scale
        assert (middle > 0).all() and (middle < 1).all()
        size = np.array([width, height]) / loss._anchors[cell]
        raw[cell, :2] = middle if ready else np.log(middle / (1 - middle))
        raw[cell, 2:4] = np.sqrt(size) / 2 if ready else np.log(size)
        raw[cell, [4, 5 + int(kind)]] = 1 - 1e-4 if ready else 9.0
    sizes = [rows * columns * 2 for rows, columns in GRIDS]
    parts = np.split(raw, np.cumsum(sizes)[:-1])
    return [part.reshape(1, *grid, -1) for part, grid in zip(parts, GRIDS, strict=True)]


@pytest.mark.parametrize(("scale", "ready"), [(1.0, False), (1.05, False), (2.0, False), (2.0, True)])
def test_what_it_asks_for_is_what_the_runtime_reads(scale: float, ready: bool) -> None:
    decode = spec(scale, ready)
    loss = YoloLoss(decode, GRIDS, WIDTH, HEIGHT)
    heads = asked(loss, decode, TRUTH)
    outputs = tuple(Tensor(name="head", shape=head.shape, dtype="float32") for head in heads)
    found = DarknetDecoder(decode, outputs, WIDTH, HEIGHT, 0.5).decode(heads)
    truth = np.concatenate([TRUTH[0, :, :2] - TRUTH[0, :, 2:4] / 2, TRUTH[0, :, 2:]], axis=1)
    assert set(found.classes) == {0, 2}
    for box, kind in zip(found.boxes, found.classes, strict=True):
        np.testing.assert_allclose(box, truth[truth[:, 4] == kind][0, :4], atol=2e-4)
    right = loss(heads, TRUTH)
    assert float(right.box) < 1e-3 and float(right.objectness) < 0.05 and float(right.label) < 0.01
    other = [np.full_like(head, 0.3) for head in heads]
    wrong = loss(other, TRUTH)
    assert all(float(bad) > 5 * float(good) + 0.1 for bad, good in zip(wrong, right, strict=True))


def test_what_is_ignored_teaches_nothing_and_another_class_does() -> None:
    decode = spec(2.0, False)
    loss = YoloLoss(decode, GRIDS, WIDTH, HEIGHT)
    heads = asked(loss, decode, np.where(TRUTH[..., 4:] == IGNORED, TRUTH * [1, 1, 1, 1, 0], TRUTH).astype(np.float32))
    without = TRUTH.copy()
    without[0, 2, 4] = NOBODY
    assert float(loss(heads, TRUTH).objectness) < 0.2 * float(loss(heads, without).objectness)
    changed = TRUTH.copy()
    changed[0, 0, 4] = 1
    assert float(loss(heads, changed).label) > 1.0


def test_focal_loss_counts_what_is_nearly_right_for_less() -> None:
    heads = [np.full((1, *grid, 2 * (5 + CLASSES)), -2.0, np.float32) for grid in GRIDS]
    plain, focal = (YoloLoss(spec(1.0, False), GRIDS, WIDTH, HEIGHT, focus) for focus in (0.0, 2.0))
    assert float(focal(heads, TRUTH).objectness) < 0.5 * float(plain(heads, TRUTH).objectness)
    assert float(focal(heads, TRUTH).box) == pytest.approx(float(plain(heads, TRUTH).box))


def test_overlap() -> None:
    one = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    half, apart = (np.array([box], np.float32) for box in ([0.6, 0.5, 0.2, 0.4], [0.9, 0.5, 0.1, 0.1]))
    assert [float(iou(one, other)[0]) for other in (one, half, apart)] == pytest.approx([1, 1 / 3, 0], rel=1e-5)
    assert float(ciou(one, one)[0]) == pytest.approx(1.0)
    # By hand: same shape, middles 0.1 apart, diagonal of the hull sqrt(0.3^2 + 0.4^2).
    assert float(ciou(one, half)[0]) == pytest.approx(1 / 3 - 0.01 / 0.25, rel=1e-5)
    slope = np.arctan(1.0) - np.arctan(0.5)
    shape = 4 / np.pi**2 * slope**2
    square = np.array([[0.5, 0.5, 0.4, 0.4]], np.float32)
    assert float(ciou(one, square)[0]) == pytest.approx(0.5 - shape**2 / (0.5 + shape), rel=1e-4)


def test_anchors_are_the_clusters() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([[10.0, 20], [40, 40], [90, 30]])
    sizes = np.concatenate([group * rng.uniform(0.95, 1.05, (50, 2)) for group in groups])
    anchors, quality = cluster(sizes, 3)
    np.testing.assert_allclose(anchors[np.argsort(anchors[:, 0])], groups, rtol=0.03)
    assert quality > 0.93 and np.all(np.diff(anchors.prod(axis=1)) > 0)
    same, _ = cluster(np.array([[10.0, 20]] * 5), 4)
    assert len(same) == 4 and shape_iou(np.array([[10.0, 20]]), same).max() == 1


def test_training_needs_no_tensorflow() -> None:
    """Nothing that it imports does; `benchmarks/backends.py` runs it on another backend."""
    modules = "train", "session", "picture", "dataset", "transfer"
    waiting, seen = [f"train.detector.{name}" for name in modules], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = ROOT.joinpath(*name.split("."))
        tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8"))
        # What is imported when the module is; by the verb's own, later too.
        nodes = ast.walk(tree) if name == "train.detector.train" else tree.body
        for node in nodes:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [part for part in found if part.split(".")[0] == "tensorflow"], name
            waiting += [part for part in found if part.split(".")[0] in ("robot", "edge", "convert", "train")]
    assert "edge.manifest" in seen and "train.detector.overlap" in seen
