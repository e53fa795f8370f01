"""`edgebot drive --to ADDRESS`: the hand's end of the link, in a process of its own, here or on another machine."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from edge.controls import Gamepad, Wish, asked, open_controls
from edge.link.driver import Driver
from edge.link.wire import read_token
from edge.signals import Interrupted, stop_on_signal
from robot.clock import WallClock

PERIOD_S = 0.02
CODES = {"interrupted": 130, "terminated": 143}


def drive_to(args: Namespace) -> int:
    """Drive until the hand ends it; returns the exit code."""
    clock = WallClock()
    driver = Driver(args.to, read_token(args.token))
    try:
        with ExitStack() as stack:
            stack.enter_context(driver)
            stack.enter_context(stop_on_signal(driver.leave))
            controls = open_controls(args.gamepad, stack)
            show = stack.enter_context(display(driver))
            start = due = clock.now()
            while not any(control.quit for control in controls):
                now = clock.now()
                if args.duration is not None and now - start >= args.duration:
                    break
                wish = asked(controls, now)
                driver.drive(Wish(args.speed * wish.forward, args.speed * wish.left), now)
                show(now)
                due = max(due + PERIOD_S, clock.now())
                clock.sleep_until(due)
    except Interrupted as signal:
        print(f"edgebot: {signal.ended} by {signal.name}; the robot was told to stop", file=sys.stderr)
        return CODES[str(signal.ended)]
    gone = next((control.path for control in controls if isinstance(control, Gamepad) and control.gone), None)
    if gone is not None:
        return _failed(f"gamepad {gone} is gone, so the robot was told to stop; plug it in and start again")
    return _failed(driver.told(clock.now())) if driver.answer is None else 0


def _failed(sentence: str) -> int:
    print(f"edgebot: {sentence}", file=sys.stderr)
    return 1


@contextmanager
def display(driver: Driver) -> Iterator[Callable[[float], None]]:
    """How the link stands, on stderr: a live line in a terminal, else one line at each change."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        said: list[tuple[bool, bool]] = []

        def say(now: float) -> None:
            state = (driver.heard(now), driver.connected(now))
            if said != [state]:
                said[:] = [state]
                console.print(f"edgebot: {driver.told(now)}", soft_wrap=True)

        yield say
        return
    clock = WallClock()

    def draw() -> Group:
        lines = (driver.told(clock.now()), "hold W A S D or the arrows; space stops, Q ends")
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    with Live(get_renderable=draw, console=console, refresh_per_second=8, transient=True):
        yield lambda now: None
