"""One line on stderr for each stop and each start, where no terminal shows a live one: what `journalctl` keeps.

The loop only puts a line into a short queue; a thread writes. A log that nobody reads, that is full or gone, can
neither delay the loop nor end the drive.
"""

from __future__ import annotations

import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from edge.guard import MOVING, SENTENCES, Reason

if TYPE_CHECKING:
    from edge.tick import Tick

LINES = 64
"""What may wait to be written; more is counted and told when there is room again."""


class Journal:
    """Takes each iteration, writes what changed; a context manager.

    Args:
        stream: where to; standard error as it is at that moment, where none is given.
        start: the clock's time that counts as zero.
    """

    def __init__(self, start: float, stream: Any = None) -> None:
        self._stream, self._start = stream, start
        self._queue: queue.Queue[str | None] = queue.Queue(LINES)
        self._left_out = 0
        self._told: tuple[Reason | None, str] = (Reason.SHUTDOWN, "")
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def on_tick(self, tick: Tick) -> None:
        """See `edge.loop.Loop.run`."""
        what = (None, "") if tick.reason in MOVING else (tick.reason, tick.message)
        if what == self._told:
            return
        self._told = what
        words = "drives" if what[0] is None else SENTENCES[what[0]] + (f": {tick.message}" if tick.message else "")
        left_out = f" ({self._left_out} lines left out)" if self._left_out else ""
        try:
            self._queue.put_nowait(f"edgebot: {tick.now - self._start:.2f} s: {words}{left_out}\n")
            self._left_out = 0
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Write what waits; a log that does not take it within a second is left. Idempotent."""
        try:
            self._queue.put(None, timeout=0.5)
        except queue.Full:
            return
        self._thread.join(timeout=1.0)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self) -> None:
        broken = False
        while (line := self._queue.get()) is not None:
            if broken:
                continue
            try:
                stream = sys.stderr if self._stream is None else self._stream
                stream.write(line)
                stream.flush()
            except Exception:  # the pipe is closed, the disk or the memory full: the run goes on without its log
                broken = True
