"""The motors' process between the runtime and simulated wheels: they turn as its mock pins say, and no longer."""

from __future__ import annotations

from robot.motor_port import InProcessPort, MotorPort
from robot.motor_report import Report
from robot.types import Wheels


class ChainedPort:
    """A `MotorPort` through `remote`, whose answers move the wheels behind `local`."""

    def __init__(self, remote: MotorPort, local: InProcessPort) -> None:
        self._remote, self._local = remote, local

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """See `MotordPort.apply`."""
        try:
            applied = self._remote.apply(wheels, valid_until)
        except BaseException:
            self._local.stop()
            raise
        return self._local.apply(applied, valid_until)

    def report(self) -> Report:
        """See `MotordPort.report`."""
        return self._remote.report()

    @property
    def applied(self) -> Wheels:
        """The duties on the simulated wheels now."""
        return self._local.applied

    def stop(self) -> None:
        """Zero, at both. Idempotent, never raises."""
        self._remote.stop()
        self._local.stop()

    def close(self) -> None:
        """Stop and give back both. Idempotent."""
        self._remote.close()
        self._local.close()
