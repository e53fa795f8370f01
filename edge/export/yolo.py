"""A data set to train a detector on one's own rooms: pictures, and the recorded boxes as labels to be corrected.

The layout is that of Ultralytics: images/train, labels/train, images/val, labels/val, data.yaml; a label's line is
class, middle x, middle y, width, height as shares of the picture. Pictures that differ little from the one before are
left out, and so are those that nobody looked at: an empty label says that nothing is there. Of pictures without a
box no more are kept than asked for: a robot mostly sees walls. The last part of each run is kept for judging:
neighbours in time look alike, and would tell what was learnt by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.export.formats import Options
from edge.export.frames import no_frames, results
from edge.manifest import Manifest
from edge.messages import nanoseconds
from edge.perception.runner import FindsThings, make_detector
from edge.recordings.decode import Picture
from edge.recordings.reader import Recording
from edge.types import Detection

SMALL = (32, 24)  # in which pictures are compared: noise is gone, what moved is not
LEAST_PX = 2.0
ENDINGS = {"jpeg": ".jpg", "png": ".png"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture that is kept: written once, moved to its half of the set when the run is over."""

    name: str
    label: str


def export(runs: Sequence[Recording], place: Path, options: Options, advance: Callable[[float], None]) -> str:
    """See `edge.export.formats.Writer`."""
    labels: list[str] = []
    counts = {"train": 0, "val": 0}
    boxes = alike = empty = 0
    for half in counts:
        (place / "images" / half).mkdir(parents=True)
        (place / "labels" / half).mkdir(parents=True)
    for number, recording in enumerate(runs):
        kept: list[Sample] = []
        prefix = recording.path.stem if len(runs) == 1 else f"{number:02d}-{recording.path.stem}"
        for picture, image, items in _looked_at(recording, options, labels, advance):
            shown = [item for item in items if options.score is None or item.score > options.score]
            lines = [line for item in shown if (line := _line(item, image, labels))]
            name = f"{prefix}-{len(kept):06d}{ENDINGS[picture.format]}"
            (place / "images" / "train" / name).write_bytes(picture.data)
            kept.append(Sample(name, "".join(lines)))
            boxes += len(lines)
        alike += len(results(recording)) - len(kept) if options.detector is None else 0
        some = _fewer(kept, options.empty)
        for sample in set(kept) - set(some):
            (place / "images" / "train" / sample.name).unlink()
            empty += 1
        kept = some
        judged = _judged(len(kept), options.val)
        for index, sample in enumerate(kept):
            half = "train" if index < len(kept) - judged else "val"
            if half == "val":
                (place / "images" / "train" / sample.name).rename(place / "images" / "val" / sample.name)
            (place / "labels" / half / f"{Path(sample.name).stem}.txt").write_text(sample.label)
            counts[half] += 1
    if not sum(counts.values()):
        raise no_frames(runs[0], "frame with detections")
    names = "".join(f"  {index}: {_quoted(label)}\n" for index, label in enumerate(labels))
    (place / "data.yaml").write_text(
        f"# Made by `edgebot recording export --format yolo`. The boxes are a detector's guess: correct them.\n"
        f"train: images/train\nval: images/val\nnc: {len(labels)}\nnames:\n{names}",
        encoding="utf-8",
    )
    return (
        f"{counts['train']} pictures to train and {counts['val']} to judge by, {boxes} boxes of "
        f"{', '.join(labels)}; left out: {alike} near-duplicates, {empty} without a box"
    )


def _looked_at(
    recording: Recording, options: Options, labels: list[str], advance: Callable[[float], None]
) -> Iterator[tuple[Picture, NDArray[np.uint8], tuple[Detection, ...]]]:
    """Pictures that differ from the one kept before, with what is on them; adds to `labels` what is new there."""
    found = results(recording)
    detector: FindsThings | None = None
    if options.detector is not None:
        detector = make_detector(options.detector, options.score or 0.4, recording.config)
        _add(labels, detector.labels)  # type: ignore[attr-defined]
    elif (manifest := recording.attachments.get("detector.json")) is not None:
        _add(labels, Manifest.model_validate_json(manifest).labels)
    _add(labels, sorted({item.label for result in found.values() for item in result.items}))
    last: NDArray[np.int16] | None = None
    for moment in recording.moments(advance=advance):
        picture = moment.picture
        if picture is None:
            continue
        result = found.get(nanoseconds(picture.stamp))
        if result is None and detector is None:
            continue
        image = picture.decode().image
        grey = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), SMALL, interpolation=cv2.INTER_AREA))
        small = grey.astype(np.int16)
        if last is not None and float(np.abs(small - last).mean()) < options.change:
            continue
        last = small
        yield picture, image, detector.detect(image) if detector is not None else result.items  # type: ignore[union-attr]


def _line(item: Detection, image: NDArray[np.uint8], labels: list[str]) -> str:
    """A label's line, the box cut to the picture; empty where next to nothing is left of it."""
    rows, columns = image.shape[:2]
    x, y, width, height = item.box
    left, right = (float(np.clip(value, 0, columns)) for value in (x, x + width))
    top, bottom = (float(np.clip(value, 0, rows)) for value in (y, y + height))
    if not (right - left >= LEAST_PX and bottom - top >= LEAST_PX):
        return ""
    shares = (left + right) / 2 / columns, (top + bottom) / 2 / rows, (right - left) / columns, (bottom - top) / rows
    return f"{labels.index(item.label)} {' '.join(f'{share:.6f}' for share in shares)}\n"


def _fewer(kept: Sequence[Sample], share: float) -> list[Sample]:
    """At most this share of pictures without a box, evenly chosen; all of them where no picture has one."""
    empty = [sample for sample in kept if not sample.label]
    boxed = len(kept) - len(empty)
    most = len(empty) if share >= 1 or not boxed else min(len(empty), round(boxed * share / (1 - share)))
    chosen = {empty[index].name for index in np.linspace(0, len(empty) - 1, most).round().astype(int)}
    return [sample for sample in kept if sample.label or sample.name in chosen]


def _judged(count: int, share: float) -> int:
    """How many of `count` pictures are kept for judging: at least one of two."""
    return min(max(round(count * share), 1), count - 1) if count > 1 and share > 0 else 0


def _add(labels: list[str], more: Sequence[str]) -> None:
    labels.extend(label for label in more if label not in labels)


def _quoted(label: str) -> str:
    return "'" + label.replace("'", "''") + "'"
