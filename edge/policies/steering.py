"""How a reactive policy gets somewhere: towards a bearing, round whatever the sonar has met.

Of all directions the one is taken that costs least: far from the goal's bearing, blocked early, or far
from the last choice costs (Ulrich and Borenstein, "VFH+", 1998, over remembered echoes). Where the guard
keeps refusing, the robot turns on the spot until it hears an echo again, and backs off as a last resort.
"""

from __future__ import annotations

import math

import numpy as np

from edge.policies.memory import EchoMemory, Fresh, Whereabouts, finite, wrap
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist


class Steering:
    """Where the robot is, what it has met, and the command that leads on. Shared by the policies."""

    DIRECTIONS = np.linspace(-math.pi, math.pi, 61)
    CLEARANCE = 0.05  # m beside the body that a way must have
    COMFORT = 0.12  # m beside the body that a way should have: echoes and dead reckoning are not exact
    NEED = 0.6  # m of free way ahead that a direction is asked for
    PERIOD_S = 0.1  # between two choices of direction

    def __init__(self, config: RobotConfig) -> None:
        self.config = config
        self.here = Whereabouts(config)
        self.echoes = EchoMemory(config)
        self._fresh = Fresh()
        self.reset()

    def reset(self) -> None:
        self.here.reset()
        self.echoes.reset()
        self._fresh.reset()
        self.range: float | None = None  # the newest echo, None where it was missing
        self.heard = False  # whether this observation brought a new echo
        self._heading: float | None = None  # the last choice, in the frame of `here`
        self._chosen_at = -math.inf
        self._free = 0.0
        self._narrow = False  # whether something is close beside the way
        self._blocked_since: float | None = None
        self._unstick_until = -math.inf
        self._unstick = Twist(0.0, 0.0)
        self._tries = 0

    def observe(self, observation: Observation) -> None:
        """Take in one observation: move the pose on, remember the echo."""
        senses, here = observation.senses, self.here
        here.update(observation.now, observation.applied, senses)
        self.heard = self._fresh.new(senses.range)
        if self.heard:
            self.range = finite(senses.range)
            if self.range is not None:
                self.echoes.add(here.at(senses.range.stamp), self.range, senses.range.stamp)
        for reading, bearing in ((senses.bump_left, 0.6), (senses.bump_right, -0.6)):
            if (finite(reading) or 0.0) > 0.5:
                pose = (here.x, here.y, here.yaw)
                self.echoes.bump(pose, bearing, self.config.radius_m, observation.now)

    def turn(self, bearing: float, speed: float = 2.0) -> Twist:
        """Turn on the spot until `bearing` is ahead."""
        return Twist(0.0, max(-speed, min(speed, 4.0 * bearing)))

    def towards(self, bearing: float, now: float, speed: float, need: float = NEED) -> Twist:
        """The command that leads towards `bearing` (rad, body frame) at up to `speed` (m/s).

        `need` is the free way (m) wanted in that direction: less, where the goal is nearer.
        """
        here, config = self.here, self.config
        if now < self._unstick_until:
            return self._unstick
        if now - self._chosen_at >= self.PERIOD_S or self._heading is None:
            self._choose(bearing, now, need)
        assert self._heading is not None
        error = wrap(self._heading - here.yaw)
        omega = max(-2.5, min(2.5, 3.5 * error))
        v = speed * max(0.0, 1.0 - abs(error) / 0.7) * min(1.0, self._free / 0.35)
        if self._narrow:
            v = min(v, 0.15)
        if self._is_blocked(v, now):
            return self._get_unstuck(bearing, now)
        return Twist(min(v, config.drive.max_v_mps), omega)

    def _choose(self, bearing: float, now: float, need: float) -> None:
        here = self.here
        pose = (here.x, here.y, here.yaw)
        body = self.config.radius_m
        free, wide = self.echoes.free(pose, self.DIRECTIONS, (body + self.CLEARANCE, body + self.COMFORT), now)
        off = np.abs(np.remainder(self.DIRECTIONS - bearing + math.pi, math.tau) - math.pi)
        cost = off + 3.0 * np.maximum(0.0, 1.0 - free / need) + 2.0 * (free < 0.1)
        cost += 1.2 * np.maximum(0.0, 1.0 - wide / need)
        if self._heading is not None:
            last = wrap(self._heading - here.yaw)
            cost += 0.35 * np.abs(np.remainder(self.DIRECTIONS - last + math.pi, math.tau) - math.pi)
        cost += 0.1 * np.abs(self.DIRECTIONS)
        best = int(np.argmin(cost))
        self._heading = here.yaw + float(self.DIRECTIONS[best])
        self._chosen_at = now
        chosen = float(self.DIRECTIONS[best])
        ahead, beside = self.echoes.free(pose, np.array([0.0, chosen]), (body + 0.02, body + 0.08), now)
        self._free = float(ahead.min()) if abs(chosen) < 0.5 else float(ahead[0])
        self._narrow = float(beside[0]) < 0.1

    def _is_blocked(self, wanted_v: float, now: float) -> bool:
        """Whether forward has been wanted and refused for a while."""
        if wanted_v < 0.05 or self.here.v > 0.02:
            if self.here.v > 0.05:
                self._tries = 0
            self._blocked_since = None
            return False
        if self._blocked_since is None:
            self._blocked_since = now
        return now - self._blocked_since > 0.5

    def _get_unstuck(self, bearing: float, now: float) -> Twist:
        """Turn aside, first a little and then more, at last back off."""
        self._tries += 1
        side = 1.0 if bearing >= 0 else -1.0
        if self._tries % 2 == 0:
            side = -side
        if self._tries % 4 == 3:
            self._unstick, duration = Twist(-0.1, 0.0), 1.0
        else:
            self._unstick, duration = Twist(0.0, side * 1.5), 0.35 * (1 + self._tries)
        self._unstick_until = now + min(duration, 2.0)
        self._blocked_since = None
        self._heading = None
        return self._unstick
