"""The files of a LeRobot data set: tables of frames, episodes and tasks, and what describes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from train.lerobot import stats
from train.lerobot.stats import Array, Stats

VERSION = "v3.0"
CAMERA = "observation.images.front"
CHUNK = 1000  # files in a folder, as LeRobot has it
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


@dataclass
class Episode:
    """One run on its beat: columns (rows, width) by feature, and the statistics of each."""

    task: str
    columns: dict[str, Array]
    stats: dict[str, Stats] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Rows."""
        return len(self.columns["timestamp"])


def write(
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
        episode.stats |= {name: stats.of_column(column) for name, column in episode.columns.items()}
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
    whole = {name: stats.together([episode.stats[name] for episode in episodes]) for name in features}
    for name, content in (("info", info), ("stats", whole)):
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
        for name, found in episode.stats.items():
            row |= {f"stats/{name}/{key}": values.tolist() for key, values in found.items()}
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
