"""What conversion tells people: a progress bar while it works, and the parity report as a table. All on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from convert.parity import LIMITS, SIMULATION_DB, Figure, Parity

console = Console(stderr=True)


class Steps:
    """One bar per step of the work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current: TaskID | None = None

    def begin(self, what: str, total: int | None = None) -> Callable[[int], None]:
        """Finish the step before and begin one; returns the function that advances it. No total: it only pulses."""
        self.finish()
        self._current = task = self._progress.add_task(what, total=total)
        return lambda count: self._progress.advance(task, count)

    def finish(self) -> None:
        """The current step is done."""
        if self._current is not None:
            self._progress.update(self._current, total=1, completed=1)
            self._current = None


@contextmanager
def steps() -> Iterator[Steps]:
    """Show bars while the block runs."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        shown = Steps(progress)
        yield shown
        shown.finish()


def report(parity: Parity) -> None:
    """The parity report."""
    limit = LIMITS[parity.mode]
    table = Table(title=f"parity with the source model (--quantize {parity.mode}, {parity.samples} samples)")
    for heading in ("what", "source", "float", "converted", "limit"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for output in parity.outputs:
        table.add_row(
            f"worst error of {output.name}", "", "", f"{output.worst:.4g} ({output.worst_share:.2%})",
            f"{limit.worst_error:.2%}",
        )  # fmt: skip
        signal = f"{output.snr_db:.1f} dB", f"{limit.least_snr_db:g} dB"
        table.add_row(f"signal to noise of {output.name}", "", "", *signal)
    if parity.simulation_db is not None:
        simulated = f"{parity.simulation_db:.1f} dB", f"{SIMULATION_DB:g} dB"
        table.add_row("agreement with its simulation", "", "", *simulated)
    for name, given in parity.figures.items():
        figure = Figure(*given)
        middle = "" if figure.middle is None else f"{figure.middle:.4f}"
        table.add_row(name, f"{figure.before:.4f}", middle, f"{figure.after:.4f}", f"-{figure.may_drop:g}")
    table.add_row("size", f"{parity.source_bytes / 1024:.0f} KiB", "", f"{parity.bytes / 1024:.0f} KiB", "")
    if parity.milliseconds is not None:
        plain, made = parity.milliseconds
        table.add_row("one image, one thread, here", "", f"{plain:.1f} ms", f"{made:.1f} ms", "")
    for layer in parity.layers[:3]:
        table.add_row(f"noise on the heads by {layer.name}", "", "", f"{layer.share:.0%}", "")
    console.print(table)
    for sentence in parity.done:
        console.print(f"- {sentence}", highlight=False)
