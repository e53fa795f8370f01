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

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.export.formats import Options
from edge.export.frames import Beat, beats, rate, same_size
from edge.messages import SENSES
from edge.recordings.reader import Moment, Recording
from robot.config import Drive
from robot.kinematics import twist_from_wheels
from robot.types import Command, Twist
from train.video import write_video

VERSION = "v3.0"
CAMERA = "observation.images.front"
CHUNK = 1000  # files in a folder, as LeRobot has it
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
TASKS = {
    "light": "drive to the lamp",
    "range": "drive to the object and stop before it",
    "person": "drive to the person and stop before them",
}
KEY_EVERY = 2  # each second frame decodes alone: training reads at random

Array = NDArray[Any]
Stats = dict[str, dict[str, Array]]


@dataclass
class Episode:
    """One run on its beat: columns (rows, width) by feature, and the film of it."""

    task: str
    columns: dict[str, Array]
    stats: Stats = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Rows."""
        return len(self.columns["timestamp"])


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
    _write(place, episodes, names, int(fps), size, runs[0].config.name)
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
    rows: list[Beat] = []
    sampled: list[Array] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        nonlocal size
        for beat in beats(run, fps, camera=True, advance=advance):
            assert beat.picture is not None
            image = beat.picture.decode().image
            image = same_size(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], size)
            size = image.shape[0], image.shape[1]
            rows.append(Beat(beat.time, beat.moment, None))
            # Every tenth frame, every fourth pixel: enough for means and quantiles, and little memory.
            if (len(rows) - 1) % 10 == 0:
                sampled.append(image[::4, ::4].copy())
            yield image

    if film is None:
        rows += beats(run, fps, camera=False, advance=advance)
    else:
        film.parent.mkdir(parents=True, exist_ok=True)
        write_video(film, frames(), fps, options=("-g", str(KEY_EVERY)))
    if not rows:
        raise UsageError(f"{run.path} holds no iteration; record a run with `edgebot run --record FILE`")
    drive = run.config.drive
    count = len(rows)
    columns: dict[str, Array] = {
        "observation.state": np.array([_state(beat.moment, names) for beat in rows], np.float32),
        "action": np.array([_motion(beat.moment.tick.command, drive) for beat in rows], np.float32),
        "complementary_info.wanted": np.array([_motion(beat.moment.tick.wanted, drive) for beat in rows], np.float32),
        "next.done": np.arange(count) == count - 1,
        "timestamp": (np.arange(count) / fps).astype(np.float32),
        "frame_index": np.arange(count, dtype=np.int64),
    }
    said = task or TASKS.get(run.metadata.get("task", ""), "") or "drive"
    episode = Episode(said, columns)
    if sampled:
        episode.stats[CAMERA] = _image_stats(sampled, count)
    return episode, size


def _state(moment: Moment, names: Sequence[str]) -> list[float]:
    """Values, whether each is there, and the wheels: one vector, since most policies read no other."""
    readings = [getattr(moment.tick.senses, name) for name in names]
    there = [
        reading is not None and reading.value is not None and math.isfinite(reading.value) for reading in readings
    ]
    values = [reading.value if valid else 0.0 for reading, valid in zip(readings, there, strict=True)]
    return [*values, *map(float, there), moment.tick.before.left, moment.tick.before.right]


def _motion(command: Command, drive: Drive) -> tuple[float, float]:
    """v and omega; what is not finite, which the guard answers by a stop, as one."""
    twist = command if isinstance(command, Twist) else twist_from_wheels(drive, command)
    return (twist.v, twist.omega) if math.isfinite(twist.v) and math.isfinite(twist.omega) else (0.0, 0.0)


def _write(
    place: Path, episodes: Sequence[Episode], names: Sequence[str], fps: int, size: tuple[int, int] | None, robot: str
) -> None:
    """All tables and the two JSON files."""
    tasks = list(dict.fromkeys(episode.task for episode in episodes))
    features = _features(names, fps, size)
    start = 0
    for number, episode in enumerate(episodes):
        count = episode.length
        episode.columns |= {
            "episode_index": np.full(count, number, np.int64),
            "index": np.arange(start, start + count, dtype=np.int64),
            "task_index": np.full(count, tasks.index(episode.task), np.int64),
        }
        episode.stats |= {name: _stats(column) for name, column in episode.columns.items()}
        start += count
    first = {"chunk_index": 0, "file_index": 0}
    _parquet(place / DATA.format(**first), [_data_table(episode, features) for episode in episodes])
    _parquet(place / EPISODES.format(**first), [_episodes_table(episodes, fps, size is not None)])
    _parquet(place / "meta/tasks.parquet", [_tasks_table(tasks)])
    info = {
        "codebase_version": VERSION,
        "robot_type": robot,
        "total_episodes": len(episodes),
        "total_frames": start,
        "total_tasks": len(tasks),
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA,
        "video_path": VIDEO if size is not None else None,
        "features": features,
    }
    stats = {name: _together([episode.stats[name] for episode in episodes]) for name in features}
    for name, content in (("info", info), ("stats", stats)):
        text = json.dumps(content, indent=4, default=lambda array: array.tolist())
        (place / "meta" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _features(names: Sequence[str], fps: int, size: tuple[int, int] | None) -> dict[str, dict[str, Any]]:
    def vector(*parts: str) -> dict[str, Any]:
        return {"dtype": "float32", "shape": [len(parts)], "names": list(parts)}

    def one(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [1], "names": None}

    features = {
        "observation.state": vector(*names, *(f"{name}_valid" for name in names), "wheel_left", "wheel_right"),
        "action": vector("v_mps", "omega_radps"),
        "complementary_info.wanted": vector("v_mps", "omega_radps"),
        "next.done": one("bool"),
    }
    if size is not None:
        features[CAMERA] = {
            "dtype": "video",
            "shape": [size[0], size[1], 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": size[0],
                "video.width": size[1],
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    whole = dict.fromkeys(("frame_index", "episode_index", "index", "task_index"))
    return features | {"timestamp": one("float32")} | {name: one("int64") for name in whole}


def _stats(column: Array) -> dict[str, Array]:
    """Minimum, maximum, mean, deviation, count and quantiles over the rows; each a vector, of one for a scalar."""
    values = column.reshape(len(column), -1).astype(np.float64)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
    }
    return found | {f"q{round(100 * share):02d}": np.quantile(values, share, axis=0) for share in QUANTILES}


def _image_stats(sampled: Sequence[Array], count: int) -> dict[str, Array]:
    """The same for pictures: each colour over all pixels, 0..1, in the shape (3, 1, 1)."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in sampled]) / 255.0
    found = {name: values.reshape(3, 1, 1) for name, values in _stats(pixels).items() if name != "count"}
    return found | {"count": np.array([count])}


def _together(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """The statistics of all episodes; quantiles are averaged by weight, which is how LeRobot joins them too."""
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()

    def mean(name: str) -> Array:
        return np.asarray(sum(weight * part[name] for weight, part in zip(weights, parts, strict=True)))

    middle = mean("mean")
    spread = sum(
        weight * (part["std"] ** 2 + (part["mean"] - middle) ** 2) for weight, part in zip(weights, parts, strict=True)
    )
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": middle,
        "std": np.sqrt(spread),
        "count": np.array([int(counts.sum())]),
        **{name: mean(name) for name in parts[0] if name.startswith("q")},
    }


def _data_table(episode: Episode, features: dict[str, dict[str, Any]]) -> Any:
    """One episode's rows as an arrow table: vectors as lists of fixed length."""
    import pyarrow as pa

    kinds = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
    columns = {}
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue
        values, kind = episode.columns[name], kinds[feature["dtype"]]
        width = feature["shape"][0]
        flat = pa.array(values.reshape(-1), kind)
        columns[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, width)
    return pa.table(columns)


def _episodes_table(episodes: Sequence[Episode], fps: int, camera: bool) -> Any:
    """Where each episode is found, and its statistics."""
    import pyarrow as pa

    rows, start = [], 0
    for number, episode in enumerate(episodes):
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [episode.task],
            "length": episode.length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": start,
            "dataset_to_index": start + episode.length,
        }
        if camera:
            row |= {
                f"videos/{CAMERA}/chunk_index": number // CHUNK,
                f"videos/{CAMERA}/file_index": number % CHUNK,
                f"videos/{CAMERA}/from_timestamp": 0.0,
                f"videos/{CAMERA}/to_timestamp": episode.length / fps,
            }
        for name, stats in episode.stats.items():
            row |= {f"stats/{name}/{key}": values.tolist() for key, values in stats.items()}
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        start += episode.length
    return pa.Table.from_pylist(rows)


def _tasks_table(tasks: Sequence[str]) -> Any:
    """Tasks by number, the text as the index of a data frame, which pandas learns from the schema's metadata."""
    import pyarrow as pa

    def column(name: str, kind: str, numpy: str) -> dict[str, Any]:
        return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}

    text = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    described = {
        "index_columns": ["task"],
        "column_indexes": [text | {"metadata": {"encoding": "UTF-8"}}],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(list(tasks))})
    return table.replace_schema_metadata({b"pandas": json.dumps(described).encode()})


def _parquet(path: Path, tables: Sequence[Any]) -> None:
    """One file, a row group a table."""
    import pyarrow.parquet as parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    with parquet.ParquetWriter(path, tables[0].schema, compression="snappy", use_dictionary=True) as writer:
        for table in tables:
            writer.write_table(table)
