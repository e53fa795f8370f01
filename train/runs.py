"""A run folder: everything that a training run was given and found.

    settings.json     task, algorithm, seed, every setting, versions, what the model's manifest will say
    checkpoint.keras  the best policy so far: what eval and convert read
    resume.npz        weights, optimiser, step count and history: what --resume continues from
    evaluation.json   the policy's greedy evaluation, on episodes that training never saw
    curve.png, progress.csv, tensorboard/

Files that must not be lost are written beside their place and renamed.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.files import write_atomically

if TYPE_CHECKING:
    import keras

SETTINGS, CHECKPOINT, RESUME, EVALUATION = "settings.json", "checkpoint.keras", "resume.npz", "evaluation.json"
PROGRESS = "progress.csv"


@dataclass(frozen=True)
class RunSettings:
    """What a run was asked to do; `agent` and `environment` hold every setting, not only those changed."""

    task: str
    algo: str
    seed: int
    steps: int
    agent: dict[str, Any]
    environment: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)  # kind, name, observation, actions; {}: not for a robot
    versions: dict[str, str] = field(default_factory=dict)
    curiosity: dict[str, Any] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """The installed versions that a result depends on."""
    found = {}
    other_backends = [name for name in ("jax", "torch") if name in sys.modules]  # of Keras, where one is at work
    for name in ("edgebot", "numpy", "tensorflow", "tensorflow-cpu", "keras", "gymnasium", *other_backends):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


class RunFolder:
    """One folder under `runs/`."""

    def __init__(self, path: Path, settings: RunSettings) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> RunFolder:
        """Begin a run. Raises `UsageError` where a run is there already, or the folder cannot be made."""
        if (path / SETTINGS).exists():
            raise UsageError(f"{path} already holds a run; continue it with --resume, or give another --run")
        run = cls(path, settings)
        try:
            run.write_text(SETTINGS, json.dumps(asdict(settings), indent=2))
        except OSError as error:
            raise UsageError(f"run folder {path} cannot be written ({error.strerror}); give another --run") from None
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run. Raises `UsageError` where there is none, or its settings are damaged."""
        path = Path(path)
        try:
            data = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
            if "agent" not in data and "task" in data:
                raise UsageError(f"{path} is a run of {data['task']}, not of a policy; give a run of light, say")
            settings = RunSettings(**data)
        except OSError:
            raise UsageError(
                f"{path} is not a run folder (no {SETTINGS}); make one with `edgebot train light --algo ppo`"
            ) from None
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path / SETTINGS} is damaged ({error}); train again with another --run") from None
        return cls(path, settings)

    def save_resume(self, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        """Keep `arrays` and `meta` (JSON) as the point to resume from, whole or not at all."""
        out = io.BytesIO()
        np.savez(out, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        write_atomically(self.path / RESUME, out.getvalue())

    def load_resume(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What `save_resume` kept. Raises `UsageError` where there is none, or it is damaged."""
        path = self.path / RESUME
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files}
            meta = json.loads(arrays.pop("meta").tobytes())
        except FileNotFoundError:
            raise UsageError(
                f"run folder {self.path} has no checkpoint to resume from ({RESUME}); train it first, without --resume"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path} is damaged ({error}); train again with another --run") from None
        return arrays, meta

    def save_policy(self, model: keras.Model) -> None:
        """Keep `model` as this run's policy, whole or not at all."""
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / CHECKPOINT
            model.save(temporary)
            write_atomically(self.path / CHECKPOINT, temporary.read_bytes())

    def load_policy(self) -> keras.Model:
        """The best policy as a Keras model. Raises `UsageError` where there is none, or it is damaged."""
        import keras

        path = self.path / CHECKPOINT
        if not path.exists():
            raise UsageError(
                f"run folder {self.path} has no checkpoint ({CHECKPOINT}); "
                f"train it: edgebot train {self.settings.task} --algo {self.settings.algo} --run {self.path} --resume"
            )
        try:
            return keras.models.load_model(path, compile=False)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{path} is damaged ({reason}); train again with another --run") from None

    def write_text(self, name: str, text: str) -> None:
        """A file of this run, whole or not at all."""
        write_atomically(self.path / name, text.encode())


def stem(task: str, algo: str, last: object) -> str:
    """What files and folders of `task` and `algo` are called: `light-ppo-0`."""
    return f"{task.replace('/', '_')}-{algo}-{last}"


def fresh_path(task: str, algo: str, seed: int, root: Path = Path("runs")) -> Path:
    """`runs/light-ppo-0`, or with a number behind it where that is taken."""
    name = stem(task, algo, seed)
    path, number = root / name, 2
    while path.exists():
        path, number = root / f"{name}-{number}", number + 1
    return path


def latest_path(task: str, algo: str, seed: int, root: Path = Path("runs")) -> Path:
    """The newest folder that `fresh_path` named for these."""
    name = stem(task, algo, seed)
    found = [path for path in root.glob(f"{name}*") if path.name == name or path.name[len(name) + 1 :].isdigit()]
    if not found:
        raise UsageError(f"there is no run {root / name} to resume; name its folder with --run")
    return max(found, key=lambda path: path.stat().st_mtime)
