"""How a learner commands the wheels, and how far one body differs from the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.config import Drive, RobotConfig
from robot.kinematics import twist_from_wheels_batch
from robot.sim.motors import Motors
from train.envs.batch import Floats

DUTIES = (-0.6, 0.0, 0.3, 0.6, 0.9)
"""Of each wheel, where a learner chooses among raw duties: all pairs of these."""


class Controls:
    """From a learner's actions to the motion that is asked of each robot.

    | `continuous` | `wheels` | an action is |
    |---|---|---|
    | no | no | one of the task's motions `twists` (v m/s, omega rad/s) |
    | yes | no | v and omega, as shares of `drive.max_v_mps` and `drive.max_omega_radps` |
    | no | yes | a pair of `DUTIES`, left and right |
    | yes | yes | the duty of each wheel |

    A duty is told as the motion that the configured robot would make by it, so that the guard's rules hold for it too;
    what the motors at hand make of it is for the policy to learn.
    """

    def __init__(self, drive: Drive, twists: Sequence[tuple[float, float]], continuous: bool, wheels: bool) -> None:
        self.continuous, self._wheels, self._drive = continuous, wheels, drive
        self._most = np.array([[drive.max_v_mps], [drive.max_omega_radps]], np.float32)
        pairs = np.array([(left, right) for left in DUTIES for right in DUTIES], np.float32)
        self.table = self._driven(pairs.T) if wheels else np.array(twists, np.float32).T.copy()
        self.actions = 2 if continuous else self.table.shape[1]

    def motion(self, actions: NDArray[Any]) -> Floats:
        """(2, N) v in m/s and omega in rad/s; for actions as a `BatchEnv` takes them."""
        if not self.continuous:
            return self.table[:, actions]
        shares = np.clip(actions, -1.0, 1.0).astype(np.float32).T
        return self._driven(shares) if self._wheels else shares * self._most

    def told(self) -> dict[str, Any]:
        """The same as the manifest of a converted policy tells it."""
        if not self.continuous:
            return {"kind": "twist", "twists": [[round(float(x), 6) for x in row] for row in self.table.T]}
        return {"kind": "duty"} if self._wheels else {"kind": "share", "most": self._most[:, 0].tolist()}

    def _driven(self, duties: Floats) -> Floats:
        return np.stack(twist_from_wheels_batch(self._drive, duties[0], duties[1])).astype(np.float32)


class Bodies:
    """What differs from body to body, drawn anew for each episode.

    Args:
        settings: `train.envs.robot.RobotSettings`, of which `mismatch` and what follows it count.
        config: the robot that all are meant to be.
        n: robots. tick_s: of the world.
    """

    def __init__(self, settings: Any, config: RobotConfig, n: int, tick_s: float) -> None:
        self.settings, self._config = settings, config
        self._late = round(settings.latency_s / tick_s)
        self.late = np.zeros(n, np.int64)  # ticks by which each robot's senses are older than usual
        self.alike = not any(
            getattr(settings, name) for name in ("mismatch", "lag", "dead_band", "noise", "latency_s", "weak")
        )

    def draw(self, motors: Motors, at: NDArray[np.intp], rng: np.random.Generator, share: float) -> None:
        """New bodies for the robots `at`, which differ by `share` (0..1) of what the settings allow.

        The world has given them a gain of their own already; what is drawn here comes on top of that.
        """
        if self.alike:
            return
        s, drive, count = self.settings, self._config.drive, len(at)
        motors.gain[:, at] *= 1.0 + share * s.mismatch * rng.uniform(-1.0, 1.0, (2, count))
        weak = rng.random(count) < share * s.weak
        motors.gain[rng.integers(2, size=count), at] *= np.where(weak, rng.uniform(0.5, 0.8, count), 1.0)
        motors.lag_s[at] = drive.lag_s * (1.0 + share * s.lag * rng.uniform(-1.0, 1.0, count))
        off = share * s.dead_band * rng.uniform(-1.0, 1.0, (2, count))
        motors.dead_band[:, at] = drive.dead_band_duty * (1.0 + off)
        self.late[at] = np.rint(share * self._late * rng.random(count))

    def blur(self, readings: Floats, rng: np.random.Generator, share: float) -> Floats:
        """Readings with the settings' noise on top of the sensors' own."""
        spread = np.float32(share * self.settings.noise)
        if spread == 0.0:
            return readings
        return readings * np.maximum(1.0 + spread * rng.standard_normal(readings.shape, np.float32), 0.1)
