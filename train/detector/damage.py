"""What is wrong with a data set: counted by kind, the first of each told, all of them listed in a file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

_TOLD = 3


class Damage:
    """Collects what had to be left out, or mended, and why."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def add(self, kind: str, where: str | Path) -> None:
        """Note something of a kind ("labels without a picture") and where it is."""
        self._found[kind].append(str(where))

    def count(self, kind: str) -> int:
        """How many of one kind."""
        return len(self._found.get(kind, ()))

    def summary(self) -> list[str]:
        """A line for each kind, with how many and the first few."""
        lines = []
        for kind, places in self._found.items():
            more = f", and {len(places) - _TOLD} more" if len(places) > _TOLD else ""
            lines.append(f"{len(places)} {kind}: {', '.join(places[:_TOLD])}{more}")
        return lines

    def listing(self) -> str:
        """Everything, one a line."""
        return "".join(f"{kind}: {place}\n" for kind, places in self._found.items() for place in places)
