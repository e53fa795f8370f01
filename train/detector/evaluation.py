"""Judging a finished detector, a run or a `.tflite`, on whole photos or rendered rooms: for `eval` and `convert`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.errors import RobotError
from robot.pi.frames import read_image
from train.detector.dataset import Photo, read
from train.detector.evaluate import Marks, Report
from train.detector.examples import IGNORED
from train.detector.judge import MAY_DROP, scenes_judge, unseen_scenes
from train.detector.scenes import LABELS, PERSON
from train.runs import RunFolder

if TYPE_CHECKING:
    from convert.parity import Judge

ROOMS = "rooms"
"""Instead of a data set: rendered rooms that no training saw."""

CALIBRATION = 64
Predict = Callable[[NDArray[np.uint8]], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
"""From a frame to boxes (n, 4) x, y, width, height in its pixels, scores (n,), classes (n,)."""


def judge_photos(
    predict: Predict, photos: Sequence[Photo], labels: Sequence[str], advance: Callable[[], None] = lambda: None
) -> Report:
    """How good a detector is on photos; those that cannot be read are left out."""
    marks = Marks(labels)
    for photo in photos:
        try:
            frame = read_image(photo.path)
        except RobotError:
            continue
        finally:
            advance()
        _mark(marks, predict, frame, photo.boxes)
    return marks.report()


def judge_rooms(predict: Predict, rooms: int, advance: Callable[[], None] = lambda: None) -> Report:
    """How well a detector finds persons in rendered rooms."""
    marks = Marks(LABELS)
    for scene in unseen_scenes(rooms, 1):
        size = np.array([scene.image.shape[1], scene.image.shape[0]] * 2)
        boxes = scene.boxes / size
        boxes[:, :2] += boxes[:, 2:] / 2
        kinds = np.where(scene.asked(0.5), PERSON, IGNORED)
        _mark(marks, predict, scene.image, np.concatenate([boxes, kinds[:, None]], axis=1))
        advance()
    return marks.report()


def _mark(marks: Marks, predict: Predict, frame: NDArray[np.uint8], truth: NDArray[Any]) -> None:
    boxes, scores, classes = predict(frame)
    rows, columns = frame.shape[:2]
    marks.add((boxes / [columns, rows, columns, rows], scores, classes), truth)


def load_run(path: Path) -> tuple[Predict, tuple[str, ...], dict[str, Any]]:
    """A run's best network as a function, its labels, and where its pictures came from."""
    from convert.predict import Detect, keras_batch
    from edge.manifest import DarknetDecode, ImageInput

    run = RunFolder.open(path)
    model, said = run.load_policy(), run.settings.manifest
    _, rows, columns, _ = model.input_shape
    image, decode = ImageInput.model_validate(said["image"]), DarknetDecode.model_validate(said["decode"])
    return Detect(keras_batch(model), (rows, columns), image, decode), tuple(said["labels"]), run.settings.environment


def photos_for(labels: Sequence[str], data: Path, held_out: float = 0.1) -> list[Photo]:
    """The photos that judge, their classes numbered as `labels`. Raises `UsageError` where none of them is there."""
    found = read(data, held_out)
    known = {index: labels.index(name) for index, name in enumerate(found.labels) if name in labels}
    if not known:
        raise UsageError(f"{data} has none of the model's classes ({', '.join(labels[:10])}); give data with them")
    return [photo.renumbered(known) for photo in found.val]


def detector_judge(path: Path) -> Judge:
    """For `edgebot convert`: the AP of a run on its own pictures, and some to calibrate with."""
    run = RunFolder.open(path)
    origin, labels = run.settings.environment, tuple(run.settings.manifest["labels"])
    if "data" not in origin:
        return scenes_judge()
    from convert.parity import Judge

    found = read(Path(origin["data"]), origin["held_out"])
    photos = photos_for(labels, Path(origin["data"]), origin["held_out"])
    things = sum(int((photo.boxes[:, 4] >= 0).sum()) for photo in photos)

    @cache
    def calibration() -> list[NDArray[np.uint8]]:
        chosen = np.linspace(0, len(found.train) - 1, min(CALIBRATION, len(found.train))).astype(int)
        frames = []
        for index in np.unique(chosen):
            try:
                frames.append(read_image(found.train[index].path))
            except RobotError:
                continue
        return frames

    figure = f"AP@0.5 of {len(labels)} classes in {len(photos)} photos that training did not learn from"
    # In a small set a single box is more than a hundredth.
    may_drop = max(MAY_DROP, 2 / max(things, 1))
    return Judge(figure, lambda predict: judge_photos(predict, photos, labels).ap, calibration, may_drop)  # type: ignore[arg-type]
