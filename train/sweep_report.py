"""What a sweep found: a table, best first, the same as CSV, and a picture of the return over each setting."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from rich.table import Table

from robot.files import write_atomically
from train.sweep import Sweep, Trial

FIGURES = ("return_mean", "return_std", "success_rate")


def ranked(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Best first, by success where the task knows it, then by return; those that failed last."""

    def score(result: dict[str, Any]) -> tuple[float, float]:
        evaluation = result.get("evaluation")
        if not evaluation:
            return (-1.0, 0.0)
        return evaluation.get("success_rate", 0.0), evaluation["return_mean"]

    return sorted(found, key=score, reverse=True)


def table(sweep: Sweep, found: list[dict[str, Any]]) -> Table:
    """For people."""
    shown = Table(title=f"{sweep.task}, {sweep.algo}: greedy, unseen episodes", title_justify="left")
    for column in ("trial", *(param.name for param in sweep.params), "return", "success", "seconds"):
        shown.add_column(column, justify="right")
    for result in ranked(found):
        evaluation = result.get("evaluation")
        told = f"{evaluation['return_mean']:.2f} +- {evaluation['return_std']:.2f}" if evaluation else "failed"
        rate = f"{evaluation['success_rate']:.1%}" if evaluation and "success_rate" in evaluation else "-"
        values = [_text(result["values"][param.name]) for param in sweep.params]
        shown.add_row(str(result["index"]), *values, told, rate, f"{result['seconds']:.0f}")
    return shown


def write_csv(path: Path, sweep: Sweep, found: list[dict[str, Any]]) -> None:
    """One row for each trial that is over, best first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", *(param.name for param in sweep.params), *FIGURES, "steps", "seconds", "failed"])
    for result in ranked(found):
        evaluation = result.get("evaluation") or {}
        values = [result["values"][param.name] for param in sweep.params]
        figures = [evaluation.get(name, "") for name in FIGURES]
        rest = [result["steps"], f"{result['seconds']:.1f}", result.get("failed", "")]
        writer.writerow([result["index"], *values, *figures, *rest])
    write_atomically(path, out.getvalue().encode())


def draw(path: Path, sweep: Sweep, found: list[dict[str, Any]]) -> None:
    """The return over each setting that was varied; the best trial is marked in all of them."""
    from matplotlib.figure import Figure  # without pyplot: no windows, no global state

    good = [result for result in ranked(found) if result.get("evaluation")]
    returns = [result["evaluation"]["return_mean"] for result in good]
    count = len(sweep.params)
    figure = Figure(figsize=(4 * count + 1, 4), layout="constrained")
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes, param in zip(panels, sweep.params, strict=True):
        values = [result["values"][param.name] for result in good]
        if param.kind == "choice":
            places = [param.values.index(value) for value in values]
            axes.set_xticks(range(len(param.values)), map(str, param.values))
            axes.set_xlim(-0.5, len(param.values) - 0.5)
        else:
            places = values
            axes.set_xscale("log" if param.kind == "log" else "linear")
        axes.plot(places, returns, "o", color="tab:blue", alpha=0.7)
        axes.plot(places[:1], returns[:1], "*", color="tab:orange", markersize=16, label=f"best: {_best(good)}")
        axes.set(xlabel=param.name)
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="greedy return")
    panels[0].legend()
    figure.suptitle(f"{sweep.task}, {sweep.algo}, {len(good)} trials of {sweep.steps:,} steps")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    write_atomically(path, out.getvalue())


def _best(good: list[dict[str, Any]]) -> str:
    return Trial(good[0]["index"], {}).name if good else "none"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
