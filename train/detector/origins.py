"""Where a detector's pictures come from: rendered rooms, or a data set of photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.source import Source
from edge.errors import UsageError
from robot.sim.rooms import EVALUATION_SEEDS
from train.detector import dataset
from train.detector.anchors import cluster
from train.detector.damage import Damage
from train.detector.dataset import Dataset
from train.detector.examples import IGNORED, Examples, Fitted
from train.detector.model import SCENE_ANCHORS, SCENES, build, photos, specification
from train.detector.scenes import LABELS, gather, render
from train.detector.settings import PhotoSettings, SceneSettings

CHECK_SEED = 900_000
"""Rooms from here choose the best weights; those below are learnt from, those from `EVALUATION_SEEDS` judge."""

CHECK_FRAMES = 5

Advance = Callable[[], None]


class Origin(Protocol):
    """A kind of pictures."""

    labels: tuple[str, ...]
    damage: Damage
    pictures: int
    """To learn from, as far as is known before they are read."""

    work: int
    """How often `examples` calls `advance`."""

    def untrained(self, seed: int) -> Source:
        """A network of the project's own for them."""

    def examples(self, source: Source, memory_mb: int, workers: int, advance: Advance) -> tuple[Examples, Examples]:
        """To learn from, and to choose the best weights by, as `source` takes them."""

    def as_json(self) -> dict[str, Any]:
        """For the run's settings: what `reopen` makes the same again from."""


class Scenes:
    """Persons in rendered rooms."""

    labels: tuple[str, ...] = LABELS

    def __init__(self, settings: SceneSettings) -> None:
        if settings.rooms > CHECK_SEED or settings.check_rooms > EVALUATION_SEEDS - CHECK_SEED:
            raise UsageError(f"there are {CHECK_SEED} rooms to learn from; expected fewer than rooms={settings.rooms}")
        self.settings, self.damage = settings, Damage()
        self.pictures, self.work = settings.rooms * settings.frames, settings.rooms + settings.check_rooms

    def untrained(self, seed: int) -> Source:
        return Source(build(SCENES, len(LABELS)), *specification(SCENE_ANCHORS, len(LABELS)), LABELS)

    def examples(self, source: Source, memory_mb: int, workers: int, advance: Advance) -> tuple[Examples, Examples]:
        if source.image.resize != "stretch":
            raise UsageError("--from a detector that takes its pictures letterboxed cannot learn from rendered rooms")
        _, height, width, _ = source.keras.input_shape
        made = []
        for first, count, frames in (
            (0, self.settings.rooms, self.settings.frames),
            (CHECK_SEED, self.settings.check_rooms, CHECK_FRAMES),
        ):
            parts = []
            for part in render(range(first, first + count), frames, width, height, workers):
                parts.append(part)
                advance()
            made.append(gather(parts))
        return made[0], made[1]

    def as_json(self) -> dict[str, Any]:
        return asdict(self.settings)


class Photos:
    """A data set of labelled photos."""

    def __init__(self, data: Path, classes: tuple[str, ...], settings: PhotoSettings) -> None:
        for name in ("width", "height"):
            if getattr(settings, name) % 32:
                raise UsageError(f"setting {name} is {getattr(settings, name)}; expected a multiple of 32, such as 320")
        self.data, self.settings = data.resolve(), settings
        found = dataset.read(data, settings.held_out)
        self._set = chosen_classes(found, classes) if classes else found
        self._classes, self._first = classes, 0
        self.labels, self.damage = self._set.labels, self._set.damage
        self.pictures, self.work = len(self._set.train), len(self._set.train) + len(self._set.val)

    def extend(self, known: tuple[str, ...]) -> None:
        """Number the classes behind those of a detector that knows some, and learn only those that it does not know."""
        self.labels = known + tuple(label for label in self._set.labels if label not in known)
        number = {old: self.labels.index(label) for old, label in enumerate(self._set.labels)}
        train, val = ([photo.renumbered(number) for photo in half] for half in (self._set.train, self._set.val))
        self._set, self._first = Dataset(self.labels, train, val, self.damage), len(known)

    def sizes(self) -> NDArray[np.float64]:
        """(n, 2) width and height of the boxes to learn, as fractions of their pictures."""
        sizes = [photo.boxes[photo.boxes[:, 4] >= self._first, 2:4] for photo in self._set.train]
        return np.concatenate([np.empty((0, 2)), *sizes])

    def untrained(self, seed: int) -> Source:
        plan = photos(self.settings.width, self.settings.height)
        counts = [level.anchors for level in plan.levels]
        anchors, _ = cluster(self.sizes() * [plan.width, plan.height], sum(counts), seed)
        split = np.split(anchors.round(1), np.cumsum(counts)[:-1])
        of_heads = [[(float(width), float(height)) for width, height in part] for part in split]
        labels = self.labels
        return Source(build(plan, len(labels)), *specification(of_heads, len(labels)), labels)

    def examples(self, source: Source, memory_mb: int, workers: int, advance: Advance) -> tuple[Examples, Examples]:
        _, height, width, _ = source.keras.input_shape
        fit = Fitted(source.image, width, height)
        train, val = (
            dataset.examples(half, fit, self.damage, memory_mb // 2, advance)
            for half in (self._set.train, self._set.val)
        )
        if self._first:  # things of known classes are background to the new heads
            asked = [truth[(truth[:, 4] >= self._first) | (truth[:, 4] == IGNORED)] for truth in train.truth]
            train = Examples(train.images, asked)
        for half, name in ((train, "learn from"), (val, "judge by")):
            if not any((truth[:, 4] >= 0).any() for truth in half.truth):
                raise UsageError(f"{self.data} leads to no picture with a box to {name}; look at its train and val")
        return train, val

    def as_json(self) -> dict[str, Any]:
        return {"data": str(self.data), "classes": list(self._classes)} | asdict(self.settings)


def chosen_classes(found: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The same data set with only these classes, in this order. Raises `UsageError` for one that it does not have."""
    for name in classes:
        if name not in found.labels:
            raise UsageError(f"--classes: the data has no class {name!r}; it has {', '.join(found.labels[:20])}")
    number = {found.labels.index(name): new for new, name in enumerate(classes)}

    train, val = ([photo.renumbered(number) for photo in half] for half in (found.train, found.val))
    return Dataset(classes, train, val, found.damage)


def reopen(said: dict[str, Any]) -> Origin:
    """What `as_json` told of."""
    said = dict(said)
    if "data" not in said:
        return Scenes(SceneSettings(**said))
    data, classes = Path(said.pop("data")), tuple(said.pop("classes"))
    return Photos(data, classes, PhotoSettings(**said))
