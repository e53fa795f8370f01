"""What a motor port tells of the wheels: what is applied, why, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from robot.types import Wheels


class Cause(IntEnum):
    """Why the wheels have the duties that they have."""

    START = 0  # at zero since the process began
    COMMANDED = 1
    STOPPED = 2  # the driver said so
    EXPIRED = 3  # no command came in time
    GONE = 4  # the driver has gone: its end of the socket was closed
    EMERGENCY_STOP = 5  # the switch is pressed, or its wire broken
    LATCHED = 6  # the switch was pressed, or someone stopped the wheels for good, and nobody has acknowledged
    NOT_FINITE = 7
    OUT_OF_LIMITS = 8
    MALFORMED = 9
    PIN_FAILED = 10
    ENDING = 11


SENTENCES = {
    Cause.START: "at zero since the start",
    Cause.COMMANDED: "as commanded",
    Cause.STOPPED: "stopped by the driver",
    Cause.EXPIRED: "stopped: no command came in time",
    Cause.GONE: "stopped: the driver has gone",
    Cause.EMERGENCY_STOP: "stopped: the emergency stop is pressed, or its wire is broken",
    Cause.LATCHED: "stopped until acknowledged: run `edgebot motors acknowledge`",
    Cause.NOT_FINITE: "stopped: a command was not finite",
    Cause.OUT_OF_LIMITS: "stopped: a command was beyond -1..1",
    Cause.MALFORMED: "stopped: a message could not be read",
    Cause.PIN_FAILED: "stopped: a motor pin failed",
    Cause.ENDING: "stopped: the motors' process is ending",
}
"""Each cause in words, for people."""


class Switch(IntEnum):
    """The emergency stop's input."""

    RELEASED = 0
    PRESSED = 1
    ABSENT = 2  # none is configured
    FAILED = 3  # it cannot be read, which counts as pressed


class Flag(IntFlag):
    """What else is true of the motors' process."""

    DRIVEN = 1  # there is a driver
    YOURS = 2  # it is the one that asked
    LATCHED = 4  # until acknowledged
    MOCK = 8  # on mock pins: no wheel turns
    UNCHECKED = 16  # somebody has waived the check of the firmware's settings
    REALTIME = 32  # it has real-time priority
    LOCKED = 64  # its memory is locked
    UNSTORED = 128  # the latch could not be written: a restart would forget it


@dataclass(frozen=True, slots=True)
class Report:
    """The motors as their process sees them at `stamp`."""

    stamp: float
    applied: Wheels
    cause: Cause
    age_s: float  # since the newest valid command arrived; inf where there was none
    deadline: float  # when the wheels go to zero by themselves; inf while they are at zero
    switch: Switch
    flags: Flag
    pid: int
    started: float  # when this process began; another value means that it was restarted
    commands: int  # valid ones since then
    expiries: int  # how often the wheels were stopped because nothing came in time
    refusals: int  # commands not finite, beyond the limits or malformed
    digest: int = 0  # of the configuration, where a process of its own has one
    driver: int = 0  # process that drives; 0 where there is none, or the kernel does not tell

    @property
    def stopped(self) -> bool:
        """True while the emergency stop holds: pressed, unreadable, or not acknowledged."""
        return self.switch in (Switch.PRESSED, Switch.FAILED) or Flag.LATCHED in self.flags
