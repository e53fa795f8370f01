"""Pictures of a detector's training: the curve, and a sheet of what it finds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import keras
import numpy as np

from edge.perception.draw import draw
from edge.types import Detection
from robot.files import write_atomically
from train.detector.evaluate import Reader
from train.detector.examples import Examples, Image

_TRUE, _IGNORED = (60, 220, 90), (140, 140, 140)
_COLUMNS, _ROWS, _WIDTH = 5, 4, 320


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
    right.set(ylabel="AP@0.5 on the pictures that choose the best", ylim=(0, 1))
    left.grid(alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    write_atomically(path, out.getvalue())


def sheet(
    path: Path, network: keras.Model, reader: Reader, examples: Examples, labels: Sequence[str], score: float = 0.4
) -> None:
    """Some pictures with what is there (thin, green), what need not be found (grey), and what was found."""
    # Mostly pictures with something on them: empty ones look alike.
    there = [number for number, truth in enumerate(examples.truth) if (truth[:, 4] >= 0).any()]
    none = sorted(set(range(len(examples))) - set(there))
    most = _COLUMNS * _ROWS
    chosen = [*there[: most * 3 // 4], *none, *there[most * 3 // 4 :]][:most]
    tiles = []
    for number, (boxes, scores, classes) in reader.look(network, examples, chosen):
        tile = _tile(examples.images[number])
        size = np.array([tile.shape[1], tile.shape[0]] * 2)
        for x, y, width, height, kind in examples.truth[number]:
            low, high = np.array([x - width / 2, y - height / 2]), np.array([x + width / 2, y + height / 2])
            corners = [tuple(int(part) for part in corner * size[:2]) for corner in (low, high)]
            cv2.rectangle(tile, corners[0], corners[1], _TRUE if kind >= 0 else _IGNORED, 1)
        found = [
            Detection(labels[kind], float(chance), tuple(float(part) for part in box * size))  # type: ignore[arg-type]
            for box, chance, kind in zip(boxes, scores, classes, strict=True)
            if chance > score
        ]
        tiles.append(draw(tile, found, labels))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    lines = [np.hstack(tiles[first : first + _COLUMNS]) for first in range(0, len(tiles), _COLUMNS)]
    done, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))
    assert done
    write_atomically(path, data.tobytes())


def _tile(image: Image) -> Image:
    factor = _WIDTH / image.shape[1]
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), np.uint8)
