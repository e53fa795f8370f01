"""Many runs of one task and algorithm with other settings each, on Ray Tune (Liaw et al. 2018, arXiv:1807.05118).

What trial i tries follows from the sweep's seed and i alone, so a sweep that was cut short goes on with the trials that
are missing, and more of them may be asked for later. Tune places the trials on the machines that there are, one core
each. A trial is a run folder as `edgebot train` makes it, on whatever machine it was trained; its files come back to
the sweep's folder by an actor on Ray, so the machines need no disk in common.

    sweep.json           task, algorithm, what is varied and what is fixed
    trial-003/           a run folder; once it is complete there is `trial.json` in it, with what was found
    results.csv, sweep.png
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import UsageError
from robot.files import write_atomically
from train.runs import CHECKPOINT, EVALUATION, PROGRESS, RESUME, SETTINGS, RunFolder
from train.settings import ALSO

if TYPE_CHECKING:
    from train.plan import Plan

SWEEP, TRIAL = "sweep.json", "trial.json"
KEPT = (SETTINGS, CHECKPOINT, EVALUATION, PROGRESS, "curve.png")
EXAMPLE = "lr=log(1e-4,1e-2), gamma=uniform(0.9,0.999), envs=choice(8,16,32) or hidden=choice(32,32|64,64)"


@dataclass(frozen=True)
class Distribution:
    """How the values of one setting are drawn: `log` or `uniform` between two numbers, or a `choice`."""

    name: str
    kind: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> Distribution:
        """Of `lr=log(1e-4,1e-2)`. Raises `UsageError` for what is none."""
        wrong = UsageError(f"--param {text!r} is no NAME=DISTRIBUTION(...); write for example {EXAMPLE}")
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(log|uniform|choice)\((.+)\)\s*", text)
        if not match:
            raise wrong
        name, kind, inside = match.groups()
        parts = [part.strip() for part in inside.split("|" if kind == "choice" and "|" in inside else ",")]
        name = ALSO.get(name, name)
        if kind == "choice":
            if "" in parts:
                raise wrong
            return cls(name, kind, tuple(parts))
        try:
            low, high = (float(ast.literal_eval(part)) for part in parts)
        except (ValueError, TypeError, SyntaxError):
            raise wrong from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"--param {text!r} goes from {low:g} to {high:g}; expected two numbers, the smaller first")
        if kind == "log" and low <= 0.0:
            raise UsageError(f"--param {text!r} begins at {low:g}, expected more than 0; or write uniform(...)")
        return cls(name, kind, (low, high))

    def draw(self, rng: np.random.Generator, whole: bool) -> Any:
        """A value; a `whole` number where the setting is one."""
        share = float(rng.random())
        if self.kind == "choice":
            return self.values[int(share * len(self.values))]
        low, high = self.values
        value = low * (high / low) ** share if self.kind == "log" else low + share * (high - low)
        return round(value) if whole else float(f"{value:.6g}")


@dataclass(frozen=True)
class Trial:
    """One of the runs."""

    index: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        return f"trial-{self.index:03d}"


@dataclass(frozen=True)
class Sweep:
    """What is varied, and what is not."""

    task: str
    algo: str
    variant: str | None
    given: dict[str, str]
    steps: int
    seed: int
    params: tuple[Distribution, ...]

    def plan(self, values: Mapping[str, Any] = {}) -> Plan:  # noqa: B006  # read only
        """The plan of a run with these values. Raises `UsageError` for what does not fit."""
        from train.plan import plan

        made = plan(self.task, self.algo, self.variant)
        made.change(self.given)
        made.change(values)
        made.steps = self.steps
        return made

    def check(self) -> None:
        """Raises `UsageError` for an unknown setting, or a value of a distribution that does not fit it."""
        self.plan().check()
        whole = self._whole()
        for param in self.params:
            for value in param.values:
                self.plan({param.name: round(value) if param.kind != "choice" and param.name in whole else value})

    def trials(self, count: int) -> list[Trial]:
        """The first `count` trials."""
        whole = self._whole()
        drawn = []
        for index in range(count):
            rng = np.random.default_rng([self.seed, 8, index])
            drawn.append(Trial(index, {p.name: p.draw(rng, p.name in whole) for p in self.params}))
        return drawn

    def _whole(self) -> set[str]:
        """The settings that are whole numbers."""
        values = {name: value for group in self.plan().groups for name, value in asdict(group).items()}
        return {name for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}

    def begin(self, folder: Path) -> bool:
        """Make `folder` the place of this sweep; True where it is already. Raises `UsageError` where another has it."""
        told = json.loads(json.dumps(asdict(self)))
        try:
            found = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        except FileNotFoundError:
            try:
                write_atomically(folder / SWEEP, json.dumps(told, indent=2).encode())
            except OSError as error:
                raise UsageError(f"{folder} cannot be written ({error.strerror}); give another --run") from None
            return False
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder / SWEEP} is damaged ({error}); give another --run") from None
        differs = [name for name in told if not isinstance(found, dict) or found.get(name) != told[name]]
        if differs:
            raise UsageError(f"{folder} holds a sweep with another {differs[0]}; give another --run")
        return True


def results(folder: Path, trials: list[Trial]) -> list[dict[str, Any]]:
    """What is known of those trials that are over."""
    found = []
    for trial in trials:
        try:
            found.append(json.loads((folder / trial.name / TRIAL).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found


def carry_out(sweep: Sweep, folder: str, trial: Trial, told: Callable[[dict[str, float]], None]) -> dict[str, Any]:
    """Train one trial on this machine; its result.

    Where this machine sees the sweep's folder the run is made there, and goes on from its last checkpoint. Elsewhere
    the result holds `files`, the packed run folder.
    """
    import train.threads  # noqa: F401  isort: skip  # before TensorFlow loads

    from rich.console import Console

    from train.plan import learn, resumed

    began = time.perf_counter()
    home = Path(folder)
    with tempfile.TemporaryDirectory() as elsewhere:
        here = (home / SWEEP).exists()
        path = (home if here else Path(elsewhere)) / trial.name
        resume = (path / RESUME).exists()
        found: dict[str, Any] = {"index": trial.index, "values": trial.values, "steps": sweep.steps}
        try:
            if resume:
                run = RunFolder.open(path)
                plan = resumed(run)
            else:
                (path / SETTINGS).unlink(missing_ok=True)  # of a run that never came to a checkpoint
                plan = sweep.plan(trial.values)
                run = plan.create(path, sweep.seed)
            found["evaluation"] = learn(run, plan, resume, Console(quiet=True), told)
            if found["evaluation"] is None:
                raise KeyboardInterrupt
        except UsageError as error:  # such as a loss that is not finite: that is a result too
            found["failed"] = str(error)
        found["seconds"] = time.perf_counter() - began
        return found if here else found | {"files": _packed(path)}


def _packed(path: Path) -> bytes:
    """The files of a run folder that are kept, as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in KEPT:
            if (path / name).exists():
                archive.write(path / name, name)
    return out.getvalue()


def keep(folder: Path, result: dict[str, Any]) -> None:
    """Write what a trial sent: its files, and last of all `trial.json`, which says that they are whole."""
    place = folder / Trial(result["index"], {}).name
    if "files" in result:
        with zipfile.ZipFile(io.BytesIO(result.pop("files"))) as archive:
            for name in set(archive.namelist()) & set(KEPT):
                write_atomically(place / name, archive.read(name))
    write_atomically(place / TRIAL, json.dumps(result, indent=2).encode())
