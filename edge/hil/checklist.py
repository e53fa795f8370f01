"""The checklist on standard error while a run goes on: live in a terminal, a line for each case elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from edge.hil.found import Case, Outcome, Status

MARKS = {
    Status.PASSED: "[green]✓[/]",
    Status.FAILED: "[bold red]✗[/]",
    Status.SKIPPED: "[dim]-[/]",
    Status.NOT_RUN: "[dim]·[/]",
}


class Checklist:
    """A `Watcher`. `pause` takes the live table off the screen while a question stands."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = list(cases)
        self._done: dict[str, Outcome] = {}
        self._running = ""
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it, inside; the last state stays on the screen."""
        if not self._console.is_terminal:
            yield
            return
        with Live(self._table(), console=self._console, refresh_per_second=8) as live:
            self._live = live
            yield
            live.update(self._table(), refresh=True)
        self._live = None

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside, the screen is free for a question."""
        if self._live is None:
            yield
            return
        self._live.update("", refresh=True)
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()
            self._show()

    def begin(self, case: Case) -> None:
        """The case is running."""
        self._running = case.name
        self._show()

    def end(self, outcome: Outcome) -> None:
        """The case has ended."""
        self._running = ""
        self._done[outcome.case.name] = outcome
        if self._live is None and not self._console.is_terminal:
            words = f": {outcome.words}" if outcome.words else ""
            self._console.print(f"{outcome.status:<8} {escape(outcome.case.title + words)}", soft_wrap=True)
        self._show()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for case in self._cases:
            outcome = self._done.get(case.name)
            if outcome is not None:
                red = outcome.status is Status.FAILED
                words = escape(outcome.words)
                table.add_row(MARKS[outcome.status], case.title, f"[red]{words}[/]" if red else f"[dim]{words}[/]")
            elif case.name == self._running:
                table.add_row(Spinner("dots"), f"[bold]{case.title}[/]", "")
            else:
                table.add_row("", f"[dim]{case.title}[/]", "")
        return table
