"""The bench of the electrical cases: the robot's drivers and processes, and instruments behind the jumpers."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edge
from edge.hil.instruments import EchoPlayer, Meter, SwitchPlayer
from edge.hil.jumpers import Jumpers
from edge.hil.operator import SIDES
from robot.clock import WallClock
from robot.errors import RobotError
from robot.pi.body import PiBody
from robot.types import Senses, Wheels

if TYPE_CHECKING:
    from gpiozero.pins import Factory

PERIOD_S = 0.02


class Electrical:
    """One robot's pins with jumpers.

    Args:
        plan: the jumpers. factory: pins of the instruments. opening: opens the robot's body.
        arguments: of a motors' process of one's own, for mock pins.
        watched: a service runs the motors' process and watches it.
        slack_s: how late this machine may be by itself.
        told: is given the motors' process's id when it is known.
    """

    def __init__(
        self,
        plan: Jumpers,
        factory: Factory,
        opening: Callable[[], PiBody],
        *,
        arguments: tuple[str, ...] = (),
        watched: bool = False,
        slack_s: float = 0.0,
        told: Callable[[int], None] = lambda pid: None,
    ) -> None:
        self.config, self.clock = plan.config, WallClock()
        self.measured: dict[str, dict[str, float]] = {}
        self.watched, self.slack_s, self.mock = watched, slack_s, bool(arguments)
        self._opening, self._arguments, self._told = opening, arguments, told
        self._body: PiBody | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="edgebot-hil-")
        self._parts: list[Any] = []
        try:
            self.meters = {key: self._keep(Meter(factory, pin, f"meter of {key}")) for key, pin in plan.meters.items()}
            self.echo = self._keep(EchoPlayer(factory, plan.trigger, plan.echo))
            self.switch = None if plan.switch is None else self._keep(SwitchPlayer(factory, plan.switch))
        except BaseException:
            self.close()
            raise

    @property
    def body(self) -> PiBody:
        """The robot, opened at first use."""
        if self._body is None:
            self._body = self._opening()
            self._told(self._body.motors().pid)
            self.settle(0.2)
        return self._body

    def stop(self) -> None:
        """Motor pins to zero, now. Never raises; a signal handler calls it."""
        if self._body is not None:
            self._body.stop()

    def release(self) -> None:
        """Close the body, so that another process may drive."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def close(self) -> None:
        """Stop, and give everything back. Idempotent."""
        self.release()
        for part in self._parts:
            part.close()
        self._folder.cleanup()

    def settle(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep_until(self.clock.now() + seconds)

    def watch(self, seconds: float) -> Iterator[Senses]:
        """The senses, 50 times a second, nothing driven."""
        begin, body = self.clock.now(), self.body
        for step in range(round(seconds / PERIOD_S)):
            self.clock.sleep_until(begin + step * PERIOD_S)
            yield body.sense()

    def driving(self, wheels: Wheels, seconds: float) -> Iterator[None]:
        """Drive as a loop does; yields after each command. The pins are at zero whenever this ends."""
        body, clock = self.body, self.clock
        begin = clock.now()
        try:
            for step in range(round(seconds / PERIOD_S)):
                clock.sleep_until(begin + step * PERIOD_S)
                body.drive(wheels, clock.now())
                yield
        finally:
            body.stop()

    def drive(self, wheels: Wheels, seconds: float) -> float:
        """Drive for so long; returns when that began. The pins are still driven: `stop` ends that, or the timeout."""
        body, clock = self.body, self.clock
        begin = clock.now()
        for step in range(round(seconds / PERIOD_S)):
            clock.sleep_until(begin + step * PERIOD_S)
            body.drive(wheels, clock.now())
        return begin

    def wheels(self, begin: float, end: float) -> Wheels:
        """The mean duties that came out of the pins in this time."""

        def one(side: str) -> float:
            across = self._share(f"{side}.forward_pin", begin, end) - self._share(f"{side}.backward_pin", begin, end)
            enable = f"{side}.enable_pin"
            return across * (self._share(enable, begin, end) if enable in self.meters else 1.0)

        return Wheels(*(one(side) for side in SIDES))

    def driven(self, begin: float, end: float) -> bool:
        """Whether both wheels were driven forward in this time."""
        found = self.wheels(begin, end)
        return found.left > 0.1 and found.right > 0.1

    def low_after(self, at: float) -> float | None:
        """Seconds from `at` until no wheel was driven any more; None where one still is."""
        edges = sorted(
            chain.from_iterable(
                ((stamp, key, level) for stamp, level in list(meter.edges)) for key, meter in self.meters.items()
            )
        )
        levels = dict.fromkeys(self.meters, False)
        driven, ended = False, at
        for stamp, key, level in edges:
            levels[key] = level
            before, driven = driven, self._driven(levels)
            if before and not driven:
                ended = stamp
        return None if driven else max(0.0, ended - at)

    def victim(self, wheels: Wheels) -> list[str]:
        """The command of a process that drives, to do harm to."""
        path = Path(self._folder.name) / "robot.json"
        path.write_text(self.config.model_dump_json(), encoding="utf-8")
        return [
            sys.executable, "-m", "edge.hil.victim", str(path), repr(wheels.left), repr(wheels.right), *self._arguments
        ]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """Of the victim: it finds this very edgebot."""
        path = filter(None, (str(Path(edge.__file__).parents[1]), os.environ.get("PYTHONPATH")))
        return os.environ | {"PYTHONPATH": os.pathsep.join(path)}

    def tell(self, pid: int) -> None:
        """The motors' process that another one brought."""
        self._told(pid)

    def acknowledge(self) -> None:
        """Release the latch, once the switch is seen to be released."""
        for _ in range(20):
            try:
                self.body.acknowledge()
                return
            except RobotError:
                self.settle(0.05)

    def _share(self, key: str, begin: float, end: float) -> float:
        return self.meters[key].share(begin, end)

    def _driven(self, levels: dict[str, bool]) -> bool:
        return any(
            levels[f"{side}.forward_pin"] != levels[f"{side}.backward_pin"] and levels.get(f"{side}.enable_pin", True)
            for side in SIDES
        )

    def _keep(self, part: Any) -> Any:
        self._parts.append(part)
        return part


def real(plan: Jumpers) -> Electrical:
    """This machine's pins.

    Raises:
        UsageError, UnfitError: as of `refuse_unready`.
        RobotError: a pin cannot be taken.
    """
    from edge.hil.ready import refuse_unready
    from robot.motord.protocol import SOCKET
    from robot.open import open_motors
    from robot.pi.gpio import open_factory

    refuse_unready(plan.config)

    def opening() -> PiBody:
        return PiBody(plan.config, WallClock(), camera=False, motors=lambda: open_motors(plan.config))

    return Electrical(plan, open_factory(), opening, watched=SOCKET.exists())
