"""How good a network is on labelled examples: average precision of each class, and their mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.predict import Detect
from edge.manifest import DarknetDecode, ImageInput
from train.detector.examples import IGNORED, Examples, Truth
from train.detector.judge import Tally, Verdict

_BATCH = 32

Seen = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Boxes (n, 4) x, y, width, height as fractions of the network's input, scores (n,), classes (n,)."""


@dataclass(frozen=True)
class Reader:
    """How one network is fed and read."""

    image: ImageInput
    decode: DarknetDecode

    def look(self, network: keras.Model, examples: Examples, chosen: Sequence[int] = ()) -> Iterator[tuple[int, Seen]]:
        """What `network` finds on examples (all of them, or those chosen), each with its number."""
        numbers = list(chosen) or list(range(len(examples)))
        _, height, width, _ = network.input_shape
        reader = Detect(lambda heads: [heads], (height, width), self.image, self.decode)  # only reads
        for begin in range(0, len(numbers), _BATCH):
            own = numbers[begin : begin + _BATCH]
            pictures = np.stack([examples.images[number] for number in own]).astype(np.float32)
            fed = pictures * np.float32(self.image.scale) + np.float32(self.image.offset)
            heads = network.predict_on_batch(fed)
            arrays = list(heads) if isinstance(heads, (list, tuple)) else [heads]
            for place, number in enumerate(own):
                yield number, reader.read([head[place : place + 1] for head in arrays])


@dataclass(frozen=True)
class Report:
    """`ap` is the mean over the classes that are there at all (AP@0.5); `classes` has each one's verdict."""

    ap: float
    classes: dict[str, Verdict]
    images: int

    def as_json(self) -> dict[str, Any]:
        """For evaluation.json and `--json`."""
        return {
            "ap": self.ap,
            "images": self.images,
            "classes": {label: verdict._asdict() for label, verdict in self.classes.items()},
        }

    def mean(self, figure: str) -> float:
        """Recall or precision, as a mean over the classes."""
        values = [getattr(verdict, figure) for verdict in self.classes.values()]
        return float(np.mean(values)) if values else float("nan")


class Marks:
    """Collects what is found, picture by picture, all classes together."""

    def __init__(self, labels: Sequence[str], at: float = 0.4) -> None:
        self.labels = tuple(labels)
        self._tallies = [Tally(at) for _ in self.labels]
        self._images = 0

    def add(self, seen: Seen, truth: Truth) -> None:
        """One picture: boxes and truth in fractions of it."""
        boxes, scores, classes = seen
        low, high = np.clip(boxes[:, :2], 0, 1), np.clip(boxes[:, :2] + boxes[:, 2:], 0, 1)
        boxes = np.concatenate([low, high - low], axis=1)
        own = np.concatenate([truth[:, :2] - truth[:, 2:4] / 2, truth[:, 2:4]], axis=1).astype(float)
        ignored = own[truth[:, 4] == IGNORED]
        for number, tally in enumerate(self._tallies):
            mine = classes == number
            tally.take(boxes[mine], scores[mine], own[truth[:, 4] == number], ignored)
        self._images += 1

    def report(self) -> Report:
        """The sum of it."""
        verdicts = {label: tally.verdict() for label, tally in zip(self.labels, self._tallies, strict=True)}
        there = {label: verdict for label, verdict in verdicts.items() if verdict.things}
        mean = float(np.mean([verdict.ap for verdict in there.values()])) if there else 0.0
        return Report(mean, there, self._images)


def judge_network(network: keras.Model, reader: Reader, examples: Examples, labels: Sequence[str]) -> Report:
    """How good a network is on examples."""
    marks = Marks(labels)
    for number, seen in reader.look(network, examples):
        marks.add(seen, examples.truth[number])
    return marks.report()
