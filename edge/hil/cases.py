"""The guided cases, in their order; the electrical ones are in `edge.hil.loopback`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edge.errors import UsageError
from edge.hil import motors, senses
from edge.hil.found import Case
from edge.hil.operator import Safe

GUIDED = (
    Case("stop", "emergency stop", motors.emergency_stop, arms=True, missing=motors.no_switch),
    Case("motors", "each motor the right way", motors.directions, moves=Safe.WHEELS_UP),
    Case("deadband", "dead band of each wheel", motors.dead_band, moves=Safe.WHEELS_UP),
    Case("gain", "gain of each wheel", motors.gain, moves=Safe.WHEELS_UP),
    Case("range", "sonar against a target", senses.sonar),
    Case("light", "light sensors", senses.light),
    Case("camera", "camera frames", senses.camera, person=False, missing=senses.no_camera),
    Case("detector", "a person in front is found", senses.detector, missing=senses.no_camera),
    Case("loop", "loop's punctuality", senses.loop, person=False),
    Case("rolling", "coast and brake distance", motors.rolling, moves=Safe.FLOOR),
)


def chosen(cases: Sequence[Case], only: str | None) -> list[Case]:
    """Those that `--only` names, in their own order; all of them for None.

    Raises:
        UsageError: an unknown name.
    """
    if only is None:
        return list(cases)
    known = [case.name for case in cases]
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            raise UsageError(f"there is no case {name!r}; {hint}")
    if not wanted:
        raise UsageError(f"--only {only!r} names no case; known here: {', '.join(known)}")
    return [case for case in cases if case.name in wanted]
