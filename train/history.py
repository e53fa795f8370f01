"""The course of a run: a row per iteration, the best so far, and the learning curve drawn from it."""

from __future__ import annotations

import csv
import io
import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot.files import write_atomically
from train.learner import Iteration

WINDOW = 100
"""Episodes over which the running return and success are taken, or all of an iteration where those are more."""


class History:
    """Rows of numbers, one an iteration; the same run gives the same rows (no wall clock in them)."""

    def __init__(self, environments: int) -> None:
        self.rows: list[dict[str, float]] = []
        self.best: float | None = None  # return
        self.episodes = 0
        # The first episodes to end are the quick ones, and tell too rosy a tale; then all kinds end at their rate.
        self._rosy = max(WINDOW // 2, environments)
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._lengths: deque[int] = deque(maxlen=WINDOW)
        self._successes: deque[bool] = deque(maxlen=WINDOW)

    def add(self, iteration: Iteration) -> bool:
        """Take note of an iteration; True where its running score is the best so far."""
        self.episodes += len(iteration.returns)
        row: dict[str, float] = {"steps": iteration.steps, "episodes": self.episodes}
        ended: tuple[tuple[str, deque[Any], list[Any]], ...] = (
            ("return", self._returns, iteration.returns),
            ("length", self._lengths, iteration.lengths),
            ("success", self._successes, iteration.successes),
        )
        for name, window, new in ended:
            window.extend(new)
            values = new if len(new) > len(window) else list(window)
            if values and self.episodes >= self._rosy:
                row[name] = float(np.mean(values))
        row |= iteration.losses
        self.rows.append(row)
        if self.episodes < self._rosy or (self.best is not None and row["return"] < self.best):
            return False
        self.best = row["return"]
        return True

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "best": self.best,
            "episodes": self.episodes,
            "windows": [list(self._returns), list(self._lengths), list(self._successes)],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], environments: int) -> History:
        history = cls(environments)
        history.rows, history.episodes = data["rows"], data["episodes"]
        history.best = data["best"]
        windows: tuple[deque[Any], ...] = (history._returns, history._lengths, history._successes)
        for window, values in zip(windows, data["windows"], strict=True):
            window.extend(values)
        return history

    def csv(self) -> str:
        """All rows, as a table that a spreadsheet reads."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [",".join(names)]
        lines += [",".join(f"{row[name]:.6g}" if name in row else "" for name in names) for row in self.rows]
        return "\n".join(lines) + "\n"

    def draw(self, path: Path, title: str) -> None:
        """The learning curve: return, and success where the task knows it, over steps."""
        from matplotlib.figure import Figure  # without pyplot: no windows, no global state

        steps = [row["steps"] for row in self.rows]
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, [row.get("return", np.nan) for row in self.rows], color="tab:blue")
        axes.set(title=title, xlabel="environment steps")
        axes.set_ylabel(f"return (mean of the last {WINDOW} episodes or more)", color="tab:blue")
        axes.grid(alpha=0.3)
        if any("success" in row for row in self.rows):
            right = axes.twinx()
            right.plot(steps, [row.get("success", np.nan) for row in self.rows], color="tab:green")
            right.set_ylabel("success rate while exploring", color="tab:green")
            right.set_ylim(0, 1.02)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
        write_atomically(path, out.getvalue())


def draw_together(tables: Sequence[Path], path: Path, title: str) -> None:
    """The learning curves of several runs from their `progress.csv`: each one, their mean, and its 95 % interval."""
    from matplotlib.figure import Figure

    curves = []
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [(float(row["steps"]), float(row["return"])) for row in csv.DictReader(file) if row.get("return")]
        if rows:
            curves.append(np.array(rows).T)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for steps, returns in curves:
        axes.plot(steps, returns, color="tab:blue", alpha=0.25, linewidth=1)
    if curves:
        steps = np.linspace(max(curve[0][0] for curve in curves), min(curve[0][-1] for curve in curves), 200)
        values = np.array([np.interp(steps, *curve) for curve in curves])
        mean, half = values.mean(0), 1.96 * values.std(0) / math.sqrt(len(values))
        axes.plot(steps, mean, color="tab:blue", label="mean")
        axes.fill_between(steps, mean - half, mean + half, color="tab:blue", alpha=0.3, label="95 % interval of it")
        axes.legend()
    axes.set(xlabel="environment steps", ylabel="return while exploring", title=title)
    axes.grid(alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    write_atomically(path, out.getvalue())
