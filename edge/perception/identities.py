"""The identities of a film: a tracker over its frames, and how often one was lost where nobody can have left.

Without labels nobody knows who is who. What can be counted is what cannot be: an identity that ends well inside the
picture, and within 3 seconds another that begins well inside it and near there. Nobody appears or vanishes in the
middle of a picture, so that is one thing with two identities: a break. Where somebody goes behind a thing for good and
another comes out beside it, a break too many is counted; two who exchange their identities are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.perception.sources import Shot, Source
from edge.perception.tracker import Tracker, TrackerSettings
from edge.types import Detection, Detections

WEAK = 0.1
"""The least score of a box that a tracker looks at."""

RIM = 0.05  # of the picture's width and height: what comes nearer to an edge may have come from beyond
BREAK_S = 3.0
REACH = 1.5  # of a box's height: how far from the one's end the other may begin


def rules(score: float) -> TrackerSettings:
    """How a film is tracked: boxes above `score` begin identities, who was lost is looked for beside it too."""
    return TrackerSettings(high=score, low=min(WEAK, score), new=min(0.99, score + 0.1), reach=0.3, keep_s=3.0)


@dataclass
class _Life:
    """One identity, from its first frame to its last."""

    first: float
    last: float
    begin: Detection
    end: Detection


class Identities:
    """Follow the things of one source.

    Args:
        source: its `fps` says how much time passes from frame to frame.
        score: boxes above it begin identities; those from `WEAK` on go on with them.
    """

    def __init__(self, source: Source, score: float) -> None:
        self._fps = source.fps if source.kind in ("video", "live", "sim") else 1.0
        self.tracker = Tracker(self._fps, rules(score))
        self._lives: dict[int, _Life] = {}
        self._size = (0, 0)

    def update(self, shot: Shot, found: tuple[Detection, ...]) -> tuple[Detection, ...]:
        """The detections of the next frame, with their identities."""
        stamp = shot.frame / self._fps
        self._size = (shot.image.shape[1], shot.image.shape[0])
        known = self.tracker.update(Detections(found, stamp))
        for item in known:
            if item.track is None:
                continue
            life = self._lives.setdefault(item.track, _Life(stamp, stamp, item, item))
            life.last, life.end = stamp, item
        return known

    @property
    def count(self) -> int:
        """How many identities there were."""
        return len(self._lives)

    def breaks(self) -> int:
        """How many times one thing has certainly got another identity; see the head of this module."""
        ends = sorted((life for life in self._lives.values() if self._inside(life.end)), key=lambda life: life.last)
        begins = [life for life in self._lives.values() if self._inside(life.begin)]
        found = 0
        for life in ends:
            after = [one for one in begins if self._follows(one, life)]
            if after:
                begins.remove(min(after, key=lambda one: one.first))
                found += 1
        return found

    def _follows(self, one: _Life, life: _Life) -> bool:
        if one is life or one.begin.label != life.end.label or not 0 < one.first - life.last <= BREAK_S:
            return False
        (x, y), (a, b) = _middle(one.begin), _middle(life.end)
        return (x - a) ** 2 + (y - b) ** 2 <= (REACH * life.end.box[3]) ** 2

    def _inside(self, item: Detection) -> bool:
        x, y, width, height = item.box
        across, down = self._size
        return (
            x > RIM * across and y > RIM * down
            and x + width < (1 - RIM) * across and y + height < (1 - RIM) * down
        )  # fmt: skip

    def sentence(self) -> str:
        """For the summary."""
        lives = [life.last - life.first for life in self._lives.values()]
        mean = sum(lives) / len(lives) if lives else 0.0
        return (
            f"{self.count} identities, seen for {mean:.1f} s on average; {self.breaks()} broke off inside the picture"
        )


def _middle(item: Detection) -> tuple[float, float]:
    x, y, width, height = item.box
    return x + width / 2, y + height / 2
