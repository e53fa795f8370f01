"""Whether this machine's own robot may be tested now."""

from __future__ import annotations

from edge.doctor.checks import refuse_unfit
from edge.doctor.machine import Machine
from edge.doctor.rows import Examined
from edge.errors import UsageError
from robot.config import RobotConfig

DRIVER = "edgebot.service"


def refuse_unready(config: RobotConfig) -> None:
    """Refuse a robot that drives by itself, and one that should not drive.

    Raises:
        UsageError: the service is active, or about to be.
        UnfitError: `edgebot doctor` says that it should not drive.
    """
    machine = Machine()
    if machine.run("systemctl", "is-active", DRIVER) in ("active", "activating", "reloading"):
        raise UsageError(
            f"{DRIVER} drives this robot by its policy; run `sudo systemctl stop edgebot` first, and `sudo systemctl "
            "start edgebot` when you have done"
        )
    refuse_unfit(Examined(machine, config, real=True))
