"""SIGINT, SIGTERM, SIGHUP: the wheels go to zero inside the handler, then the run is left by an exception.

Ctrl-Z stops the wheels too, before the process: a suspended one could not.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edge.summary import Ended

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end. Not an `Exception`, so that nobody's `except Exception` swallows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = signal.Signals(number).name
        self.ended = Ended.INTERRUPTED if number == signal.SIGINT else Ended.TERMINATED
        super().__init__(self.name)


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, the first ending signal calls `stop` and raises `Interrupted`; more of them only call `stop`.

    Does nothing outside the main thread, where Python runs no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        stop()
        if not raised:  # a second Ctrl-C must not break into the clean end that the first one began
            raised = True
            raise Interrupted(number)

    def suspend(number: int, frame: FrameType | None) -> None:
        stop()
        os.kill(os.getpid(), signal.SIGSTOP)

    before = {number: signal.signal(number, handle) for number in ENDING}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
