"""Whatever fails around the loop: wheels at zero first of all, the reason told, and on where that is safe."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from edge.errors import EdgeError
from edge.guard import Reason
from edge.loop import GIVE_UP_S, Loop
from edge.perception.runner import PerceptionError, SyncPerception
from edge.summary import Ended, Incident, Incidents
from edge.types import Detection, Observation
from robot.clock import WallClock
from robot.sim.body import SimBody
from robot.sim.faults import Fault
from robot.types import STOP, Twist, Wheels
from tests.edge.loop_rig import AHEAD, CONFIG, Scripted, always, on_wheels, simulated, speed


def test_a_policy_that_raises_stops_the_robot_says_why_and_goes_on_living() -> None:
    def act(step: int, observation: Observation) -> Twist:
        if 50 <= step < 75:
            return Twist(1 / 0, 0)
        return AHEAD

    with simulated(Scripted(act)) as (loop, body, notes):
        summary = loop.run(3.0)
        assert summary.ended is Ended.DURATION
    faults = notes.ticks[50:75]
    assert all(tick.reason is Reason.FAULT and tick.applied == STOP for tick in faults)
    assert "policy scripted: ZeroDivisionError at test_loop_faults.py:" in faults[0].message
    assert notes.ticks[49].applied != STOP
    assert notes.ticks[80].applied != STOP
    assert summary.policy_faults == summary.reasons["fault"] == 25
    told = [(message, wheels) for level, message, wheels in notes.logs if level == "error"]
    assert len(told) == 1  # not fifty a second
    assert "Traceback" in told[0][0]
    assert told[0][1] == STOP  # stopped before it was told


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Twist(float("nan"), 0.0), Reason.NOT_FINITE),
        (Wheels(0.1, float("inf")), Reason.NOT_FINITE),
        (None, Reason.FAULT),
        ((0.1, 0.2), Reason.FAULT),
        (Twist("fast", 0.0), Reason.FAULT),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_command_stops_the_robot_while_it_lasts(wanted: Any, reason: Reason) -> None:
    policy = Scripted(lambda step, observation: wanted if 40 <= step < 60 else AHEAD)
    with simulated(policy) as (loop, _, notes):
        summary = loop.run(2.0)
    assert summary.ended is Ended.DURATION
    assert {tick.reason for tick in notes.ticks[40:60]} == {reason}
    assert {tick.applied for tick in notes.ticks[40:60]} == {STOP}
    assert notes.ticks[39].applied != STOP
    assert notes.ticks[70].applied != STOP


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("range", "nan", 1.0, 2.0), Reason.SENSE_NOT_FINITE),  # type: ignore[arg-type]
        (Fault("light_left", "nan", 1.0, 2.0), Reason.SENSE_NOT_FINITE),  # type: ignore[arg-type]
        (Fault("range", "disconnect", 0.7, 2.0), Reason.STALE_RANGE),  # type: ignore[arg-type]
        (Fault("light", "disconnect", 0.7, 2.0), Reason.STALE_LIGHT),  # type: ignore[arg-type]
        (Fault("emergency_stop", "dropout", 1.0, 2.0), Reason.EMERGENCY_STOP),  # type: ignore[arg-type]
    ],
)
def test_a_sensor_at_fault_stops_the_robot_and_its_return_lets_it_drive(fault: Fault, reason: Reason) -> None:
    speeds: list[float] = []
    with simulated(always(Twist(0.0, 1.0)), faults=(fault,)) as (loop, body, notes):
        loop.run(3.0, on_tick=lambda tick: speeds.append(speed(body)))
    during = [tick for tick in notes.ticks if 1.12 <= tick.now <= 1.98]
    assert {tick.reason for tick in during} == {reason}
    assert {tick.applied for tick in during} == {STOP}
    assert speeds[45] > 0.05  # it turned before, stood while the sensor was at fault, and turns again
    assert max(speeds[80:99]) < 0.005
    assert speeds[125] > 0.05
    assert any(str(reason) in message for level, message, _ in notes.logs if level == "warning")


def test_a_missing_echo_refuses_forward_only() -> None:
    fault = Fault("range", "dropout", 1.0, 2.0)  # type: ignore[arg-type]
    with simulated(always(Twist(0.2, 1.0)), faults=(fault,)) as (loop, _, notes):
        loop.run(3.0)
    during = [tick for tick in notes.ticks if 1.12 <= tick.now <= 1.98]
    assert {tick.reason for tick in during} == {Reason.NO_ECHO}
    assert all(tick.applied.left < 0 < tick.applied.right for tick in during[20:])


class Nothing:
    def detect(self, image: Any) -> tuple[Detection, ...]:
        return ()


def test_a_camera_that_fails_stops_the_policy_that_needs_it() -> None:
    fault = Fault("camera", "disconnect", 1.0, 3.0)  # type: ignore[arg-type]
    perception = SyncPerception(Nothing(), 0.1, 0.6)
    policy = Scripted(lambda step, observation: Twist(0.0, 0.5), needs_camera=True)
    with simulated(policy, faults=(fault,), camera=True, perception=perception) as (loop, _, notes):
        loop.run(4.0)
    reasons = [tick.reason for tick in notes.ticks]
    assert reasons[:5] == [Reason.STALE_FRAME] * 5  # nothing is known before the first result
    assert Reason.STALE_FRAME not in reasons[6:75]
    assert set(reasons[85:149]) == {Reason.STALE_FRAME}
    assert Reason.STALE_FRAME not in reasons[165:]
    assert all(tick.detections is None for tick in notes.ticks[85:149])


def break_at(owner: Any, name: str, step: int, error: BaseException, until: int = 10**9) -> None:
    """Let `owner.name` raise from its call number `step` on, until before `until`."""
    whole, calls = getattr(owner, name), [0]

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if step < calls[0] <= until:
            raise error
        return whole(*args, **kwargs)

    setattr(owner, name, broken)


class Failing(Nothing):
    """A perception that raises for a while."""

    latencies: dict[str, Any] = {}
    restarts = 0
    trouble = ""

    def offer(self, frame: Any) -> None: ...

    def newest(self, now: float) -> None: ...

    def close(self) -> None: ...


def harm(loop: Loop, body: SimBody, part: str, until: int = 10**9) -> None:
    """Let a stage raise from iteration 50 on."""
    error = {"perception": PerceptionError("perception is given up"), "guard": ValueError("a bug")}
    owner, name = {
        "sense": (body, "sense"), "drive": (body, "drive"), "guard": (loop.guard, "check"),
        "perception": (loop.perception, "newest"),
    }[part]  # fmt: skip
    break_at(owner, name, 50, error.get(part, OSError("the bus is gone")), until)


@pytest.mark.parametrize("part", ["sense", "perception", "guard", "drive"])
def test_an_exception_in_any_stage_costs_its_iterations_and_the_robot_drives_on(part: str) -> None:
    perception: Any = {"perception": Failing()} if part == "perception" else {}
    with simulated(always(), **perception) as (loop, body, notes):
        harm(loop, body, part, until=75)
        at_zero: list[Wheels] = []
        summary = loop.run(3.0, on_tick=lambda tick: at_zero.append(on_wheels(body)))
    assert summary.ended is Ended.DURATION
    assert (summary.ticks, summary.reasons["fault"]) == (150, 25)
    assert {tick.reason for tick in notes.ticks[50:75]} == {Reason.FAULT}
    assert {tick.applied for tick in notes.ticks[50:75]} == set(at_zero[50:75]) == {STOP}
    assert notes.ticks[49].applied != STOP and notes.ticks[85].applied != STOP
    incident = summary.incidents[-1]
    assert (incident.reason, incident.times) == ("fault", 1)
    assert incident.stopped_s == pytest.approx(0.5) and incident.first_s == pytest.approx(1.0)
    told = {"drive": "actuation: OSError at test_loop_faults.py", "perception": "perception is given up"}
    assert incident.message.startswith(told.get(part, part)) and "\n" not in incident.message
    errors = [(message, wheels) for level, message, wheels in notes.logs if level == "error"]
    assert len(errors) == 1 and errors[0][1] == STOP  # stopped before it was told, and told once
    told = [message for level, message, _ in notes.logs if level == "warning"]
    assert f"stopped: fault: {incident.message}" in told


@pytest.mark.parametrize("part", ["sense", "drive", "guard"])
def test_a_body_that_fails_for_good_ends_the_run(part: str) -> None:
    with simulated(always()) as (loop, body, notes):
        harm(loop, body, part)
        summary = loop.run(60.0)
        assert on_wheels(body) == STOP
    assert summary.ended is Ended.FAULT
    assert summary.duration_s == pytest.approx(1.0 + GIVE_UP_S, abs=0.1)
    assert f"went on for {GIVE_UP_S:g} s" in summary.message and "Traceback" not in summary.message
    assert {tick.applied for tick in notes.ticks[50:]} == {STOP}


@pytest.mark.parametrize("part", ["on_tick", "until"])
def test_an_exception_in_what_watches_the_run_ends_it_with_the_wheels_at_zero_first(part: str) -> None:
    hooks: dict[str, Any] = {"until": lambda: False, "on_tick": lambda tick: None}
    calls = iter([*[False] * 50])
    hooks[part] = lambda *args: next(calls)
    with simulated(always()) as (loop, body, notes):
        summary = loop.run(3.0, **hooks)
        assert on_wheels(body) == STOP
    assert summary.ended is Ended.FAULT and summary.ticks == 51
    assert summary.message and "\n" not in summary.message and "Traceback" not in summary.message
    errors = [(message, wheels) for level, message, wheels in notes.logs if level == "error"]
    assert errors and errors[0][1] == STOP


@pytest.mark.parametrize("error", [EdgeError("recording run.mcap cannot be written (No space left on device)"), None])
def test_a_recording_that_fails_halts_the_robot_for_an_iteration_and_the_drive_goes_on(error: Exception | None) -> None:
    wheels: list[Wheels] = []
    with simulated(always()) as (loop, body, notes):
        break_at(notes, "tick", 50, error or RuntimeError("a bug"))
        summary = loop.run(3.0, on_tick=lambda tick: wheels.append(on_wheels(body)))
    assert (summary.ended, summary.ticks) == (Ended.DURATION, 150)
    assert wheels[49] != STOP and wheels[50] == STOP and wheels[60] != STOP
    assert len(notes.ticks) == 50
    message = summary.incidents[-1].message
    assert message == str(error) if error else message.startswith("recording: RuntimeError at test_loop_faults.py")
    assert summary.incidents[-1].stopped_s == pytest.approx(0.02)


def test_what_stopped_the_robot_is_told_once_a_cause_in_bounded_memory() -> None:
    incidents = Incidents(kinds=3)
    assert incidents.note(0.0, "stale_range")
    assert not incidents.note(0.5, "stale_range")
    assert incidents.note(1.0, None)
    assert incidents.note(2.0, "stale_range")
    assert incidents.note(2.25, "fault", "a")
    for index in range(100):
        incidents.note(3.0 + index, "fault", f"another {index}")
    assert incidents.note(103.0, None)
    told = incidents.told()
    assert told[0] == Incident("stale_range", "", 2, 0.0, 2.0, 1.25)
    assert told[1] == Incident("fault", "a", 1, 2.25, 2.25, 0.75)
    assert [(incident.message, incident.stopped_s) for incident in told[2:]] == [("another 0", 1.0), ("", 99.0)]


def test_an_exception_that_is_no_exception_stops_the_wheels_and_goes_on_its_way() -> None:
    def act(step: int, observation: Observation) -> Twist:
        if step == 50:
            raise SystemExit(7)
        return AHEAD

    with simulated(Scripted(act)) as (loop, body, notes):
        with pytest.raises(SystemExit):
            loop.run(3.0)
        assert notes.ticks[-1].applied != STOP
        assert on_wheels(body) == STOP


@pytest.mark.parametrize(
    ("number", "ended"),
    [(signal.SIGINT, Ended.INTERRUPTED), (signal.SIGTERM, Ended.TERMINATED), (signal.SIGHUP, Ended.TERMINATED)],
)
def test_a_signal_stops_the_wheels_inside_the_handler_and_ends_the_run(number: signal.Signals, ended: Ended) -> None:
    after: list[Wheels] = []

    def act(step: int, observation: Observation) -> Twist:
        if step == 60:
            try:
                os.kill(os.getpid(), number)
                time.sleep(1.0)
            finally:
                after.append(on_wheels(body))
        return AHEAD

    handler = signal.getsignal(number)
    with simulated(Scripted(act)) as (loop, body, notes):
        summary = loop.run(3.0)
        assert notes.ticks[-1].applied != STOP
        assert after == [STOP]
        assert (summary.ended, summary.message, summary.ticks) == (ended, number.name, 60)
        assert on_wheels(body) == STOP
    assert signal.getsignal(number) is handler


def test_a_signal_wakes_it_out_of_its_sleep() -> None:
    with simulated(always(), WallClock()) as (loop, body, _):
        loop.period_s = 5.0
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        summary = loop.run(60.0)
        assert time.monotonic() - began < 3.0
        assert summary.ended is Ended.TERMINATED
        assert on_wheels(body) == STOP


def test_a_policy_that_hangs_loses_the_wheels_at_the_motor_ports_deadline() -> None:
    found: list[Wheels] = []

    def act(step: int, observation: Observation) -> Twist:
        if step == 20:
            time.sleep(CONFIG.drive.command_timeout_s + 0.1)
            found.append(on_wheels(body))
        return AHEAD

    with simulated(Scripted(act), WallClock()) as (loop, body, notes):
        loop.run(1.0)
    assert found == [STOP]
    assert notes.ticks[19].applied != STOP
    assert notes.ticks[20].reason is Reason.STALE_COMMAND  # what it thought up meanwhile is from another time
