"""Pictures of a detector's training: the curve, and a sheet of what it finds."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import keras
import numpy as np

from robot.files import write_atomically
from train.detector.learn import decoder_of, example_scene
from train.detector.scenes import TRAINED, Examples

_FOUND, _TRUE, _IGNORED = (255, 90, 40), (60, 220, 90), (140, 140, 140)


def curve(path: Path, rows: list[dict[str, float]], title: str) -> None:
    """The losses, and the average precision at each check."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    steps = [row["step"] for row in rows]
    left.plot(steps, [row["loss"] for row in rows], color="tab:grey", label="loss")
    left.set(xlabel="step", ylabel="loss", title=title, yscale="log")
    checked = [row for row in rows if "ap" in row]
    right = left.twinx()
    right.plot([row["step"] for row in checked], [row["ap"] for row in checked], "o-", color="tab:blue", label="AP@0.5")
    right.set(ylabel="AP@0.5 on the rooms that choose the best", ylim=(0, 1))
    left.grid(alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    write_atomically(path, out.getvalue())


def sheet(
    path: Path, model: keras.Model, examples: Examples, columns: int = 5, rows: int = 4, score: float = 0.4
) -> None:
    """Some pictures with what is there (green), what need not be found (grey), and what was found (orange)."""
    from edge.perception.nms import nms

    decoder = decoder_of(model, score)
    # Persons in three of four: empty rooms look alike.
    there = (examples.kinds == 1).any(axis=1)
    some, none = np.flatnonzero(there)[: columns * rows * 3 // 4], np.flatnonzero(~there)
    chosen = np.concatenate([some, none])[: columns * rows]
    heads = model(examples.images[chosen].astype(np.float32) / 255.0, training=False).numpy()
    tiles = []
    for index, head in zip(chosen, heads, strict=True):
        image = examples.images[index]
        scene = example_scene(image, examples.boxes[index], examples.kinds[index])
        tile = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        for box, counts in zip(scene.boxes * 2, scene.asked(TRAINED), strict=True):
            _frame(tile, box, _TRUE if counts else _IGNORED, 1)
        found = decoder.decode([head[None]])
        for best in nms(found.boxes, found.scores, found.classes, 0.45):
            box = found.boxes[best] * [tile.shape[1], tile.shape[0], tile.shape[1], tile.shape[0]]
            _frame(tile, box, _FOUND, 2)
            at = (int(box[0]) + 3, max(14, int(box[1]) + 14))
            cv2.putText(tile, f"{found.scores[best]:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _FOUND, 1, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) < columns * rows:
        tiles.append(np.zeros_like(tiles[0]))
    lines = [np.hstack(tiles[i : i + columns]) for i in range(0, columns * rows, columns)]
    done, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))
    assert done
    write_atomically(path, data.tobytes())


def _frame(image: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], thick: int) -> None:
    x, y, width, height = (int(part) for part in box)
    cv2.rectangle(image, (x, y), (x + width, y + height), colour, thick)
