"""Recordings as a LeRobot data set, format v3.0: each run an episode, to train imitation policies on.

The layout is that of the LeRobot project (huggingface/lerobot, "LeRobotDataset v3.0"): info.json, stats.json, tasks and
episodes under meta/, one table of all frames under data/, one film an episode under videos/. Its rows stand on a
regular beat, so what the loop did between two beats is passed over, and what is older is held.

==========================  =========================================================================================
feature                     what it is
==========================  =========================================================================================
observation.state           the fitted senses in SI units, 0 where a sample is missing; for each of them 1 where it is
                            there, else 0; and the duties that the wheels had when the iteration began
observation.images.front    the camera's picture, where there is one
action                      v (m/s) and omega (rad/s) that the guard let pass: what was really sent
complementary_info.wanted   v and omega that the policy or the driver asked for
next.done                   true on an episode's last row
==========================  =========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.export.formats import Options
from edge.export.frames import beats, rate, same_size
from edge.messages import SENSES
from edge.recordings.reader import Moment, Recording
from robot.config import Drive
from robot.kinematics import twist_from_wheels
from robot.types import Command, Twist
from train.lerobot.files import CAMERA, CHUNK, VIDEO, Episode, write
from train.lerobot.stats import Array, of_pictures
from train.video import write_video

TASKS = {
    "light": "drive to the lamp",
    "range": "drive to the object and stop before it",
    "person": "drive to the person and stop before them",
}
KEY_EVERY = 2  # each second frame decodes alone: training reads at random

Pair = tuple[float, float]
Row = tuple[list[float], Pair, Pair]


def export(runs: Sequence[Recording], place: Path, options: Options, advance: Callable[[float], None]) -> str:
    """See `edge.export.formats.Writer`."""
    import pyarrow  # noqa: F401 (where it is missing, that is said before the work begins)

    cameras = {any(moment.picture is not None for moment in run.moments()) for run in runs}
    if len(cameras) > 1:
        raise UsageError("some of these runs have frames and some have none; export them apart")
    camera = cameras.pop()
    rates = {rate(run, options.fps, camera) for run in runs}
    if len(rates) > 1:
        raise UsageError(f"these runs have {sorted(rates)} frames a second; say one for all with --fps")
    fps = rates.pop()
    if fps != round(fps):
        raise UsageError(f"--fps is {fps:g}; a LeRobot data set has a whole number of frames a second")
    names = _fitted(runs)
    episodes: list[Episode] = []
    size: tuple[int, int] | None = None
    for number, run in enumerate(runs):
        film = place / VIDEO.format(video_key=CAMERA, chunk_index=number // CHUNK, file_index=number % CHUNK)
        episode, size = _episode(run, names, fps, film if camera else None, size, options.task, advance)
        episodes.append(episode)
    write(place, episodes, names, int(fps), size, runs[0].config.name)
    rows = sum(episode.length for episode in episodes)
    return f"{len(episodes)} episode{'s' if len(episodes) > 1 else ''}, {rows} frames at {fps:g} frames/s"


def _fitted(runs: Sequence[Recording]) -> tuple[str, ...]:
    """The senses that any of the runs has."""
    found = set[str]()
    for run in runs:
        for moment in run.moments(pictures=False):
            found |= {name for name in SENSES if getattr(moment.tick.senses, name) is not None}
    return tuple(name for name in SENSES if name in found)


def _episode(
    run: Recording,
    names: Sequence[str],
    fps: float,
    film: Path | None,
    size: tuple[int, int] | None,
    task: str,
    advance: Callable[[float], None],
) -> tuple[Episode, tuple[int, int] | None]:
    """One run's columns, its film written on the way."""
    rows: list[Row] = []
    colours = np.zeros((3, 256), np.int64)
    drive = run.config.drive

    def frames() -> Iterator[NDArray[np.uint8]]:
        nonlocal size
        for beat in beats(run, fps, camera=True, advance=advance):
            assert beat.picture is not None
            image = beat.picture.decode().image
            image = same_size(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], size)
            size = image.shape[0], image.shape[1]
            rows.append(_row(beat.moment, names, drive))
            for counts, plane in zip(colours, np.moveaxis(image[::4, ::4], 2, 0), strict=True):
                counts += np.bincount(plane.ravel(), minlength=256)
            yield image

    if film is None:
        rows += (_row(beat.moment, names, drive) for beat in beats(run, fps, camera=False, advance=advance))
    else:
        film.parent.mkdir(parents=True, exist_ok=True)
        write_video(film, frames(), fps, options=("-g", str(KEY_EVERY)))
    if not rows:
        raise UsageError(f"{run.path} holds no iteration; record a run with `edgebot run --record FILE`")
    count = len(rows)
    state, action, wanted = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    columns: dict[str, Array] = {
        "observation.state": state,
        "action": action,
        "complementary_info.wanted": wanted,
        "next.done": np.arange(count) == count - 1,
        "timestamp": (np.arange(count) / fps).astype(np.float32),
        "frame_index": np.arange(count, dtype=np.int64),
    }
    said = task or TASKS.get(run.metadata.get("task", ""), "") or "drive"
    episode = Episode(said, columns)
    if film is not None:
        episode.stats[CAMERA] = of_pictures(colours, count)
    return episode, size


def _row(moment: Moment, names: Sequence[str], drive: Drive) -> Row:
    """State, action and wanted motion of one beat. The state is one vector, since most policies read no other."""
    tick = moment.tick
    readings = [getattr(tick.senses, name) for name in names]
    there = [
        reading is not None and reading.value is not None and math.isfinite(reading.value) for reading in readings
    ]
    values = [reading.value if valid else 0.0 for reading, valid in zip(readings, there, strict=True)]
    state = [*values, *map(float, there), tick.before.left, tick.before.right]
    return state, _motion(tick.command, drive), _motion(tick.wanted, drive)


def _motion(command: Command, drive: Drive) -> Pair:
    """v and omega; what is not finite, which the guard answers by a stop, as one."""
    twist = command if isinstance(command, Twist) else twist_from_wheels(drive, command)
    return (twist.v, twist.omega) if math.isfinite(twist.v) and math.isfinite(twist.omega) else (0.0, 0.0)
