"""A robot on the bench: time that passes, wheels that turn slowly and briefly, and somebody beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge.errors import EdgeError
from edge.hil.found import Stopped
from edge.hil.operator import Operator
from edge.perception.runner import Perception
from robot.config import RobotConfig
from robot.types import STOP, Body, Clock, Senses, Wheels

PERIOD_S = 0.02
STAND_DUTY = 0.4
"""The wheels off the ground turn at most at this duty."""
FLOOR_DUTY = 0.6
LONGEST_S = 12.0
"""No motion lasts longer, whatever a case asks for."""


@dataclass
class Bench:
    """What the guided cases work with.

    Args:
        config: the robot, as its parts are measured: without an earlier calibration of its senses.
        clock: the body's. operator: whoever stands beside it.
        opening: opens the body anew for a changed configuration, as another way to stop.
        perception: opens the detector.
        loop_s: how long the loop's punctuality is measured.
    """

    config: RobotConfig
    clock: Clock
    operator: Operator
    opening: Callable[[RobotConfig], Body]
    perception: Callable[[RobotConfig], Perception]
    loop_s: float = 60.0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)  # what earlier cases have found
    _body: Body | None = None

    @property
    def body(self) -> Body:
        """The robot, opened at first use."""
        if self._body is None:
            self._body = self.opening(self.config)
            self.wait(0.5)  # until each sampler has sampled
        return self._body

    def stop(self) -> None:
        """Wheels to zero, now. Never raises; a signal handler calls it."""
        if self._body is not None:
            self._body.stop()

    def close(self) -> None:
        """Stop, and give the body back. Idempotent."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def reopen(self, config: RobotConfig) -> None:
        """Close the body and open it for another configuration."""
        self.close()
        self.config = config

    def value(self, table: str, key: str) -> float:
        """A figure as measured in this run, or as configured."""
        found = self.measured.get(table, {}).get(key)
        return float(getattr(getattr(self.config, table), key)) if found is None else found

    def wait(self, seconds: float) -> Senses:
        """Let time pass with the wheels at rest; the senses then."""
        self.clock.sleep_until(self.clock.now() + seconds)
        return self.body.sense()

    def watch(self, seconds: float) -> Iterator[Senses]:
        """The senses, 50 times a second, with the wheels at rest."""
        return self._beat(None, seconds)

    def hold(self, wheels: Wheels, seconds: float) -> Iterator[Senses]:
        """Drive as a loop does and yield the senses; the wheels are at zero whenever this ends.

        Raises:
            Stopped: the emergency stop is pressed or not read any more.
            EdgeError: the motors are at zero although they were told to turn.
        """
        slow = all(abs(duty) <= FLOOR_DUTY for duty in (wheels.left, wheels.right))  # NaN is not
        if not (slow and seconds <= LONGEST_S):
            raise ValueError(f"{wheels} for {seconds} s is not slow and short")
        return self._beat(wheels, seconds)

    def _beat(self, wheels: Wheels | None, seconds: float) -> Iterator[Senses]:
        body, clock = self.body, self.clock
        start = clock.now()
        steps = max(1, round(seconds / PERIOD_S))
        try:
            for step in range(steps):
                clock.sleep_until(start + step * PERIOD_S)
                now = clock.now()
                senses = body.sense()
                if wheels is not None:
                    self._armed(senses)
                    applied = body.drive(wheels, now)
                    if applied == STOP and wheels != STOP and step > 5:
                        raise EdgeError("the motors do not obey; `edgebot motors status` tells why")
                yield senses
        finally:
            body.stop()

    def _armed(self, senses: Senses) -> None:
        """The emergency stop is read, and released."""
        if self.config.emergency_stop is None:
            return
        reading = senses.emergency_stop
        limit = self.config.guard.sense_stale_s
        if reading is None or reading.value is None or senses.stamp - reading.stamp > limit:
            raise Stopped("the emergency stop is not read any more; mend its wiring first")
        if reading.value != 0.0:
            raise Stopped("the emergency stop was pressed")
