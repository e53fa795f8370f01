"""Each policy in real processes: the runtime as `edgebot run` starts it, its wheels on the pins of a real motord.

The same rows as in simulation, `tests/faults/table.py`, done to a robot that drives by the wall clock (the person
policy with the shipped detector in its own process), and the death and the hang of its runtime. What depends on where
the robot happens to be is left to simulation.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.faults.processes.couple import NO_DEADLINE
from tests.faults.processes.ward import HOLD_S, PERIOD_S, Patient, Ward, WheelsTurn, again, ward
from tests.faults.scene import MODEL, POLICIES
from tests.faults.table import ROWS, ZERO, Row

NAMES = (
    "range: NaN", "range: unplugged", "light: silent", "tilt", "battery: low",
    "camera: unplugged", "camera: frozen", "camera: black", "camera: wrong size",
)  # fmt: skip
CASES = {policy: [row for row in ROWS if row.name in NAMES and row.wheels == ZERO and policy in row.policies]
         for policy in POLICIES}  # fmt: skip
SLACK_S = 3 * PERIOD_S
"""By the wall clock samples, iterations and the detector's process do not keep step as they do in simulated time."""

TAKE_AWAY = """
import pytest
from tests.faults.without import PROTECTIONS
for name in {names}:
    PROTECTIONS[name](pytest.MonkeyPatch())
"""

FITTED = [word for part in ("tilt", "battery") for word in ("--fault", f"{part}:value:9998:9999:9")]
"""Robots that have them; these faults come three hours later."""

BREAK = """
from robot.sim.faults import Fault
body = SEEN["Loop"].body
seconds = body.world.time
fault = Fault({part!r}, {kind!r}, seconds, seconds + {lasts}, {value})
senses = [body._left, body._right, body._range, *(side for sides in body._extras.values() for side in sides)]
for sense in senses + ([] if body._lens is None else [body._frames]):
    sense._faults = (fault,)
value = time.monotonic()
"""

SOMEWHERE = """
body = SEEN["Loop"].body
body.home = getattr(body, "home", body.world.pose.copy())
body.world.pose[:] = body.home
"""
"""Back to where it began: a robot that has come to its lamp, or into a corner, stands for good reasons."""


class Robot:
    """One policy at work in its two processes."""

    def __init__(self, ward: Ward, policy: str, protected: bool) -> None:
        self.ward, self.policy, self.protected = ward, policy, protected
        self.motord = ward.motord()
        if not protected:
            self.motord.do("'Server' in SEEN or time.sleep(1)\n" + NO_DEADLINE)
        self.runtime = self.start()

    def start(self) -> Patient:
        gone = {row.protection for row in CASES[self.policy]} | {"zero on an exception"}
        names = [] if self.protected else sorted(gone)
        name = str(MODEL) if self.policy == "learned" else self.policy
        first = TAKE_AWAY.format(names=["arriving", *names])  # or it would stand at its lamp while others are tried
        return self.ward.runtime(*FITTED, policy=name, first=first)

    def put_through(self, row: Row) -> None:
        """The fault, and the wheels by the pins' stamps."""
        self.runtime.do(SOMEWHERE)
        (fault,) = row.faults(0.0, 1.0)
        bound = row.within_s + SLACK_S
        self.ward.until(self.ward.turning, self.runtime)
        words = {"part": str(fault.part), "kind": str(fault.kind), "lasts": bound + 0.4, "value": fault.value}
        self.ward.zero_within(self.runtime.do(BREAK.format(**words)), bound, bound + 0.1)
        self.ward.until(self.ward.turning, self.runtime)

    def hang(self) -> None:
        """SIGSTOP, and on again."""
        self.runtime.do(SOMEWHERE)
        self.ward.until(self.ward.turning, self.runtime)
        fault = self.runtime.send(signal.SIGSTOP)
        try:
            self.ward.zero_within(fault, HOLD_S, HOLD_S + 0.1)
        finally:
            self.runtime.send(signal.SIGCONT)
        self.ward.until(self.ward.turning, self.runtime)

    def raises(self) -> None:
        """Its policy raises."""
        self.runtime.do(SOMEWHERE)
        self.ward.until(self.ward.turning, self.runtime)
        self.runtime.do("STAMPS.clear(); raise_in(SEEN['Loop'].policy, 'act', 0.25)")
        self.ward.until(lambda: self.runtime.do("value = len(STAMPS)"), self.runtime)
        self.ward.zero_within(self.runtime.do("value = STAMPS[0]"), PERIOD_S, 0.2)
        self.ward.until(self.ward.turning, self.runtime)

    def dies(self) -> None:
        """SIGKILL; afterwards another one drives."""
        self.runtime.do(SOMEWHERE)
        self.ward.until(self.ward.turning, self.runtime)
        try:
            self.ward.zero_within(self.runtime.send(signal.SIGKILL), HOLD_S, HOLD_S + 0.1)
        finally:
            self.runtime.wait()
            self.runtime = self.start()


@pytest.fixture(scope="module", params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def robot(policy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with ward(tmp_path_factory.mktemp(policy)) as cleared:
        yield Robot(cleared, policy, True)


@pytest.fixture(scope="module")
def bare(policy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with ward(tmp_path_factory.mktemp(f"bare-{policy}")) as cleared:
        yield Robot(cleared, policy, False)


def test_every_fault_in_every_policy_stops_the_wheels_in_time_and_the_robot_goes_on(robot: Robot) -> None:
    for row in CASES[robot.policy]:
        again(lambda row=row: robot.put_through(row))  # type: ignore[misc]
    for fault in (robot.hang, robot.raises, robot.dies):
        again(fault)


def test_without_its_protection_each_of_them_is_found_out(bare: Robot) -> None:
    for row in CASES[bare.policy]:
        with pytest.raises(WheelsTurn):
            again(lambda row=row: bare.put_through(row))  # type: ignore[misc]
    for fault in (bare.raises, bare.hang, bare.dies):
        with pytest.raises(WheelsTurn):
            again(fault)
