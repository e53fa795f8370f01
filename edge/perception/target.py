"""Which one of several things is meant, and staying with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge.errors import UsageError
from edge.types import Detection

CHOICES = ("nearest", "largest", "centre")


class Target:
    """A sticky choice among tracked things: once chosen, the same identity for as long as it is seen.

    Args:
        choice: "nearest", "largest" (box), "centre" (of the picture), or the number of an identity, such as "3".
        width: of the picture, px.
        distance: of a thing, m; None where its picture does not tell. Without it the nearest is who reaches lowest in
            the picture.
        patience: after so many frames without the chosen one another is chosen; None waits for `reset`. One chosen by
            number is waited for in any case.

    Raises:
        UsageError: there is no such choice.

    Attributes:
        track: the identity chosen, None before that.
    """

    def __init__(
        self,
        choice: str = "nearest",
        width: float = 640.0,
        distance: Callable[[Detection], float | None] | None = None,
        patience: int | None = 30,
    ) -> None:
        number = int(choice) if choice.isdecimal() else 0
        if choice not in CHOICES and number < 1:
            raise UsageError(
                f"the target {choice!r} cannot be chosen; take {', '.join(CHOICES)} or an identity's number"
            )
        self.choice, self.patience = choice, patience
        self._number = number or None
        self._width, self._distance = width, distance
        self.reset()

    def reset(self) -> None:
        """Choose anew."""
        self.track: int | None = self._number
        self._missed = 0

    def adopt(self, track: int) -> None:
        """Whoever is known otherwise to be the chosen one goes by this identity now."""
        self.track, self._missed = track, 0

    def choose(self, items: Iterable[Detection]) -> Detection | None:
        """The chosen one among the things of a frame, None where it is not there."""
        known = [item for item in items if item.track is not None]
        for item in known:
            if item.track == self.track:
                self._missed = 0
                return item
        self._missed += 1
        waits = self.track is not None and (self.patience is None or self._missed <= self.patience)
        if self._number is not None or waits or not known:
            return None
        best = min(known, key=self._rank)
        self.track, self._missed = best.track, 0
        return best

    def _rank(self, item: Detection) -> tuple[float, float]:
        x, y, width, height = item.box
        if self.choice == "largest":
            return -width * height, -item.score
        if self.choice == "centre":
            return abs(x + width / 2 - self._width / 2), -item.score
        distance = None if self._distance is None else self._distance(item)
        # One who tells no distance fills the picture: that is near.
        return (0.0 if self._distance is not None else -(y + height)) if distance is None else distance, -width * height
