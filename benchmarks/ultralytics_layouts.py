"""Ultralytics' predictor and ours on the files of its own exporter: random networks, from pictures to boxes.

    python benchmarks/ultralytics_layouts.py --python build/venvs/ultralytics/bin/python

Needs an environment apart (docs/detector.md). Prints a table; ends with 1 where a box differs. Two boxes that overlap
by just the limit, to a few parts in a million, may be one to them and two to us, or the other way round: a picture may
therefore be read with a limit that is `TIE` less or more, which is told.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from edge.bench.detect import pictures  # noqa: E402
from edge.perception.detector import Detector  # noqa: E402

NETS = ("yolov8n", "yolo11n", "yolov10n", "yolo26n")
MADE = ROOT / "build" / "benchmarks-detect" / "ultralytics"
WORKER = Path(__file__).parent / "ultralytics_worker.py"
SCORE, FRAMES = 0.25, 4
TIE = 1e-4  # of the intersection over union; they compare in float32 after adding up to 600,000 to the corners


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with ultralytics and litert-torch")
    parser.add_argument("--nets", nargs="+", default=NETS, help="of those that the worker exports")
    args = parser.parse_args()
    MADE.mkdir(parents=True, exist_ok=True)
    frames = np.stack(pictures(None)[:FRAMES])
    print("| network | output | boxes | worst score | worst corner | differing labels | ties |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "frames.npy", frames)
        for net in args.nets:
            model, saved = MADE / f"{net}.tflite", folder / "frames.npy"
            if not model.is_file():
                subprocess.run([args.python, WORKER, "export", net, MADE, saved], check=True, stdout=sys.stderr)
            job = [args.python, WORKER, "predict", model, saved, str(SCORE), folder / "theirs.npz"]
            subprocess.run(job, check=True, stdout=sys.stderr)
            detector = Detector(model, score=SCORE)
            with np.load(folder / "theirs.npz") as theirs:
                pairs = [nearest(detector, frame, theirs[f"boxes{index}"]) for index, frame in enumerate(frames)]
            counts, scores, corners, labels, ties = (list(column) for column in zip(*pairs, strict=True))
            shape = "x".join(map(str, detector.manifest.outputs[0].shape))
            told = f"{sum(counts)} | {max(scores):.1e} | {max(corners):.3f} px | {sum(labels)} | {sum(ties)}"
            print(f"| {net} | {shape} | {told} |", flush=True)
            wrong += max(scores) > 1e-3 or max(corners) > 0.1 or sum(labels) > 0
    return int(wrong > 0)


def nearest(detector: Detector, frame: np.ndarray, theirs: np.ndarray) -> tuple[int, float, float, int, bool]:
    """`compare` at the limit of suppression, or where nearer a tie below or above it; and whether that was so."""
    decode, found = detector._decode, []
    limits = (0.0, -TIE, TIE) if decode.nms_iou else (0.0,)  # or the network suppresses by itself
    for more in limits:
        limit = {"nms_iou": decode.nms_iou + more} if more else {}
        with mock.patch.object(detector, "_decode", decode.model_copy(update=limit)):
            found.append((*compare(detector, frame, theirs), more != 0.0))
    return min(found, key=lambda one: one[2])  # the first of equals


def compare(detector: Detector, frame: np.ndarray, theirs: np.ndarray) -> tuple[int, float, float, int]:
    """Number of boxes, worst difference of scores and of corners (pixels), labels that differ; all boxes must pair."""
    boxes, scores, classes = detector.boxes(frame)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    corners = np.clip(corners, 0, [frame.shape[1], frame.shape[0]] * 2)  # they cut at the picture's edge
    if len(theirs) != len(boxes):
        return len(theirs), abs(len(theirs) - len(boxes)), np.inf, 0
    ours = np.column_stack([corners, scores, classes])
    # Equal scores come in any order, so each of theirs is paired with the nearest of ours that is left.
    apart = np.abs(ours[None] - theirs[:, None].astype(np.float64))
    cost = apart[..., :4].max(2) + 1e3 * apart[..., 4] + 1e3 * (apart[..., 5] > 0)
    pairs = np.empty((len(theirs), 6))
    for index in range(len(theirs)):
        nearest = int(cost[index].argmin())
        pairs[index], cost[:, nearest] = apart[index, nearest], np.inf
    return len(theirs), float(pairs[:, 4].max()), float(pairs[:, :4].max()), int((pairs[:, 5] > 0).sum())


if __name__ == "__main__":
    sys.exit(main())
