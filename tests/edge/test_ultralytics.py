"""Ultralytics' own post-processing on the raw outputs of its own networks, and ours on the same numbers.

`tests/edge/data/ultralytics.npz` was made by `benchmarks/ultralytics_worker.py heads` with ultralytics 8.4.190 and
yolov5 7.0.14: five random networks, of each the raw tensor and the boxes (corners, score, class) that their
`non_max_suppression` left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.manifest import Tensor, UltralyticsDecode
from edge.perception.decoders import find, make_decoder, suppress
from edge.perception.metadata import Said
from edge.perception.recognise import IOU, _readings

DATA = Path(__file__).parent / "data" / "ultralytics.npz"
SCORE, CLASSES = 0.25, 4


@pytest.mark.parametrize(
    ("name", "side", "layout"),
    [
        ("yolov5n", 160, "v5"),
        ("yolov8n", 256, "v8"),
        ("yolo11n", 256, "v8"),
        ("yolov10n", 256, "end2end"),
        ("yolo26n", 256, "end2end"),
    ],
)
def test_boxes_are_those_that_ultralytics_leaves(name: str, side: int, layout: str) -> None:
    with np.load(DATA) as data:
        raw, want = data[f"{name}_raw"], data[f"{name}_boxes"]
    ((read, (axis, classes)),) = _readings(raw.shape, Said(), CLASSES, side, side, None).items()
    assert (read, classes) == (layout, CLASSES)
    spec = UltralyticsDecode(layout=layout, classes=CLASSES, fields_axis=axis, pixels=True, nms_iou=IOU[layout])
    tensor = Tensor(name="x", shape=raw.shape, dtype="float32")
    decoder = make_decoder(spec, (tensor,), side, side, SCORE)
    candidates = decoder.decode([raw])
    assert len(candidates.scores) >= (300 if layout == "end2end" else 600) and len(want) == 300
    kept = suppress(candidates, spec)
    found = find(decoder, spec, [raw])  # reads only as many as it needs
    np.testing.assert_array_equal(found.boxes, candidates.boxes[kept])
    np.testing.assert_array_equal(found.scores, candidates.scores[kept])
    np.testing.assert_array_equal(found.classes, candidates.classes[kept])
    boxes = found.boxes.astype(np.float64) * side
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    have = np.column_stack([corners, found.scores, found.classes])
    assert (np.diff(have[:, 4]) <= 0).all()  # ours come best first, and theirs of end2end as the network left them
    have, want = (rows[np.lexsort((rows[:, 1].round(1), rows[:, 0].round(1), -rows[:, 4]))] for rows in (have, want))
    np.testing.assert_allclose(have[:, 4], want[:, 4], rtol=1e-6)
    np.testing.assert_array_equal(have[:, 5], want[:, 5])
    np.testing.assert_allclose(have[:, :4], want[:, :4], atol=2e-3)


def test_candidates_of_one_score_are_read_piece_by_piece_too() -> None:
    """Scores of a network that is sure of everything are all 1: a piece stays as small, in the boxes' order."""
    raw = np.zeros((1, 4 + CLASSES, 1000), np.float32)
    raw[0, 0], raw[0, 2:4], raw[0, 5] = np.arange(1000), 8.0, 1.0
    raw[0, 5, ::10] = 0.5
    spec = UltralyticsDecode(layout="v8", classes=CLASSES, fields_axis=1, pixels=True, nms_iou=0.7)
    decoder = make_decoder(spec, (Tensor(name="x", shape=raw.shape, dtype="float32"),), 1000, 1000, SCORE)
    pieces = list(decoder.ranked([raw]))
    assert max(len(piece.scores) for piece in pieces) < 300
    middles = np.concatenate([piece.boxes[:, 0] + piece.boxes[:, 2] / 2 for piece in pieces])
    order = [index for index in range(1000) if index % 10] + list(range(0, 1000, 10))
    np.testing.assert_allclose(1000 * middles, order, atol=1e-2)
