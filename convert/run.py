"""A run folder, as conversion reads it: the checkpoint and what training knows of the manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.errors import ConvertError

SETTINGS, CHECKPOINT = "settings.json", "checkpoint.keras"


@dataclass(frozen=True)
class Run:
    """What conversion needs of a run; `draft` is the manifest as far as training knows it."""

    path: Path
    task: str
    draft: dict[str, Any]

    @property
    def kind(self) -> str:
        """policy or detector."""
        return str(self.draft["kind"])


def read(path: Path) -> Run:
    """Read a run folder's settings and see that there is a checkpoint.

    Raises:
        ConvertError: no run folder, damaged settings, or no checkpoint.
    """
    file = path / SETTINGS
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ConvertError(
            f"{path} is not a run folder (no {SETTINGS}); make one with `edgebot train light --algo ppo`"
        ) from None
    except ValueError as error:
        raise ConvertError(f"{file} is damaged ({error}); train again with another --run") from None
    task = settings.get("task") if isinstance(settings, dict) else None
    draft = settings.get("manifest") if isinstance(settings, dict) else None
    if not isinstance(task, str) or not isinstance(draft, (dict, type(None))):
        raise ConvertError(f"{file} names no task; train again with another --run")
    if not (path / CHECKPOINT).is_file():
        raise ConvertError(
            f"run folder {path} has no checkpoint ({CHECKPOINT}); train it first: edgebot train {task} --run {path}"
        )
    draft = dict(draft) if draft else {"kind": "policy", "name": task}
    draft.setdefault("kind", "detector" if task == "detector" else "policy")
    draft.setdefault("name", f"{task} ({path.name})")
    provenance = {key: settings[key] for key in ("task", "algo", "seed", "steps", "versions") if key in settings}
    draft["provenance"] = provenance | {"run": path.name} | dict(draft.get("provenance") or {})
    return Run(path, task, draft)


def load_model(run: Run) -> Any:
    """The checkpoint as a Keras model. Raises `ConvertError` where it is damaged."""
    import keras

    try:
        return keras.models.load_model(run.path / CHECKPOINT, compile=False)
    except Exception as error:  # Keras raises whatever the file's damage leads to
        reason = " ".join(str(error).split())[:120]
        raise ConvertError(f"{run.path / CHECKPOINT} is damaged ({reason}); train again with another --run") from None
