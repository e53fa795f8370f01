"""Guided cases of what moves: the emergency stop, each wheel's direction, dead band, gain, and how far it rolls on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edge.guard import Guard, Reason
from edge.hil.bench import FLOOR_DUTY, STAND_DUTY, Bench
from edge.hil.found import Found, Series
from edge.hil.operator import SIDES, Hand, Saw, Scene
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.motor_report import Switch
from robot.types import STOP, Senses, Wheels

PATIENCE_S = 20.0
TURNS_S = 10.0
DEAD_BAND_MOST = 0.3
"""A wheel that needs more to begin is stuck, or its supply is too weak."""
MISMATCH_MOST = 0.25
RAMP_STEP = 0.01
RAMP_S = 0.25  # at each step: a person needs about so long to see it and press a key
RUNWAY_M = 1.5
ROLL_MOST_M = 0.25
STILL_M = 0.03
RUNS = 2


def no_switch(config: RobotConfig) -> str:
    """Why there is no emergency stop to press."""
    return "" if config.emergency_stop is not None else "robot.toml has no [emergency_stop]; it should have one"


def emergency_stop(bench: Bench, found: Found) -> None:
    """Released, pressed, refusing to drive, released again."""
    body = bench.body
    now = bench.wait(0.1)
    reading = now.emergency_stop
    if reading is None or reading.value is None or now.stamp - reading.stamp > bench.config.guard.sense_stale_s:
        found.check(False, "the switch is not read; check the wire to emergency_stop.pin")
        return
    if not found.check(reading.value == 0.0, "it reads as pressed; release the switch, or mend its wire to ground"):
        return
    bench.operator.set_up(Scene(Hand.PRESS, "Press the emergency stop now, and keep it pressed.", wait=False))
    took = _until(bench, lambda senses: senses.emergency_stop is not None and senses.emergency_stop.value == 1.0)
    if not found.check(took is not None, f"pressing it was not noticed within {PATIENCE_S:.0f} s"):
        return
    senses = bench.wait(0.05)
    _, reason = Guard(bench.config).check(senses, Wheels(0.3, 0.3), senses.stamp)
    found.check(reason is Reason.EMERGENCY_STOP, f"the guard says {reason} while it is pressed")
    if body_reads_switch(bench):
        try:
            applied = body.drive(Wheels(0.2, 0.2))
        finally:
            body.stop()
        found.check(applied == STOP, "the motors' process drives although it is pressed")
    bench.operator.set_up(Scene(Hand.RELEASE, "Release the emergency stop again."))
    _acknowledge(bench)
    free = _until(bench, lambda senses: senses.emergency_stop is not None and senses.emergency_stop.value == 0.0)
    found.check(free is not None, f"it still reads as pressed {PATIENCE_S:.0f} s after it was released")


def body_reads_switch(bench: Bench) -> bool:
    """Whether a motors' process observes the switch itself."""
    return bench.body.motors().switch is not Switch.ABSENT  # type: ignore[attr-defined, no-any-return]


def _acknowledge(bench: Bench) -> None:
    acknowledge = getattr(bench.body, "acknowledge", None)
    for _ in range(10):
        try:
            if acknowledge is not None:
                acknowledge()
            return
        except RobotError:  # the switch has not quite come back
            bench.wait(0.5)


def _until(bench: Bench, true: Callable[[Senses], bool]) -> float | None:
    """Seconds until the senses are so; None where they were not in time."""
    start = bench.clock.now()
    for senses in bench.watch(PATIENCE_S):
        if true(senses):
            return bench.clock.now() - start
    return None


def directions(bench: Bench, found: Found) -> None:
    """Each wheel forward and backward, alone."""
    size = min(STAND_DUTY, max(0.25, bench.value("drive", "dead_band_duty") + 0.17))
    found.figure("duty", size)
    for side in SIDES:
        for sign, word in ((1, "forward"), (-1, "backward")):
            expected = Saw(sign if side == "left" else 0, sign if side == "right" else 0)
            bench.operator.attend(f"Look at the wheels: the {side.upper()} one shall turn {word.upper()} for 1.5 s.")
            for _ in bench.hold(_one(side, sign * size), 1.5):
                pass
            saw = bench.operator.saw()
            found.check(saw == expected, f"{side} {word}: {saw}; {_cure(saw, expected)}")


def _cure(saw: Saw, expected: Saw) -> str:
    if saw == Saw(-expected.left, -expected.right):
        return "swap its two wires, or its forward_pin and backward_pin"
    if saw in (Saw(expected.right, expected.left), Saw(-expected.right, -expected.left)) and any(saw):
        return "left and right are swapped: swap [drive.left] and [drive.right]"
    if not any(saw):
        return "check the motors' supply, the enable pin and the wires"
    return "check which wire goes to which output"


def dead_band(bench: Bench, found: Found) -> None:
    """The duty at which each wheel begins to turn."""
    starts = []
    for side in SIDES:
        bench.operator.attend(f"The {side.upper()} wheel gets slowly more. Press Enter the moment it begins to turn.")
        start = _ramp(bench, side)
        if found.check(
            start is not None,
            f"the {side} wheel does not turn up to a duty of {STAND_DUTY:g}; check its supply and wires",
        ):
            assert start is not None
            found.figure(side, start)
            found.check(
                start <= DEAD_BAND_MOST,
                f"the {side} wheel begins only at a duty of {start:.2f}, expected at most {DEAD_BAND_MOST:g}: a weak "
                "supply, or it rubs",
            )
            starts.append(start)
    if len(starts) == 2:
        found.check(
            abs(starts[0] - starts[1]) <= 0.12, f"the wheels begin at {starts[0]:.2f} and {starts[1]:.2f}: one rubs"
        )
        # The stiffer wheel's, so that both turn at the slowest speed that is asked for.
        found.calibrate("drive", "dead_band_duty", max(starts))


def _ramp(bench: Bench, side: str) -> float | None:
    steps = round(STAND_DUTY / RAMP_STEP)
    for step in range(1, steps + 1):
        duty = step * RAMP_STEP
        for _ in bench.hold(_one(side, duty), RAMP_S):
            if bench.operator.turning(side):
                # What was on the wheel a moment ago made it move; below that it stood.
                return duty - RAMP_STEP
    return None


def gain(bench: Bench, found: Found) -> None:
    """Each wheel's speed at one duty, by its turns."""
    duty, radius = STAND_DUTY, bench.config.drive.wheel_radius_m
    dead = bench.value("drive", "dead_band_duty")
    speeds = []
    for side in SIDES:
        bench.operator.attend(
            f"Put a mark on the {side.upper()} wheel and count its turns: it turns for {TURNS_S:.0f} s, then stops."
        )
        for _ in bench.hold(_one(side, duty), TURNS_S):
            pass
        # The start takes its time constant, and the wheel rolls out for about as long.
        speeds.append(2 * math.pi * radius * bench.operator.turns(side) / TURNS_S)
        found.figure(f"{side} speed", speeds[-1], "m/s")
    mean = sum(speeds) / 2
    if not found.check(min(speeds) > 0, "a wheel does not turn; see the case motors"):
        return
    share = (duty - dead) / (1 - dead)
    top = mean / share
    ratio = max(speeds) / min(speeds) - 1
    found.figure("mismatch", 100 * ratio, "%")
    found.figure("top speed", top, "m/s")
    slow = SIDES[speeds.index(min(speeds))]
    found.check(
        ratio <= MISMATCH_MOST,
        f"the {slow} wheel is {100 * ratio:.0f} % slower than the other, expected at most {100 * MISMATCH_MOST:.0f} %: "
        "it rubs, or its motor is weak",
    )
    for side, speed in zip(SIDES, speeds, strict=True):
        found.calibrate("drive", f"gain_{side}", speed / mean)
    found.calibrate("drive", "top_speed_mps", top)


def rolling(bench: Bench, found: Found) -> None:
    """How far the robot rolls on after a stop, coasting and braking, by the sonar before a wall."""
    own = bench.config
    traces: list[Series] = []
    try:
        for stop in ("coast", "brake"):
            try:
                if stop != bench.config.drive.stop:
                    bench.reopen(own.model_copy(update={"drive": own.drive.model_copy(update={"stop": stop})}))
                ways = [_roll(bench, found, stop, run, traces) for run in range(RUNS)]
            except RobotError as error:  # a service has the motors, with its own way to stop
                if stop == own.drive.stop:
                    raise
                found.notes.append(f"{stop} not measured: {error}")
                continue
            if any(way is None for way in ways):
                return
            speed = float(np.mean([way[0] for way in ways if way]))
            distance = max(float(np.mean([way[1] for way in ways if way])), 0.002)
            found.figure(f"{stop} distance", distance, "m")
            found.figure(f"{stop} from", speed, "m/s")
            found.check(distance <= ROLL_MOST_M, f"it rolls on for {distance:.2f} m, expected at most {ROLL_MOST_M} m")
            if stop == own.drive.stop:
                found.calibrate("drive", "braking_mps2", min(50.0, speed * speed / (2 * distance)))
    finally:
        found.plot("Range before the wall; 0 s is the stop", "s", "m", *traces)
        bench.reopen(own)


def _roll(bench: Bench, found: Found, stop: str, run: int, traces: list[Series]) -> tuple[float, float] | None:
    """(speed at the stop, way after it) of one run; None where it failed, which is noted."""
    bench.operator.set_up(
        Scene(Hand.RUNWAY, f"Put the robot {RUNWAY_M:g} m before a wall, facing it squarely ({stop}, run {run + 1}).",
              RUNWAY_M)
    )  # fmt: skip
    before, echoes = _range(bench, 1.0), []
    if not found.check(
        before is not None and before > 0.9,
        f"the sonar reads {_metres(before)} before the run, expected about {RUNWAY_M:g} m; see the case range",
    ):
        return None
    assert before is not None
    stamp, misses = -math.inf, 0
    for senses in bench.hold(Wheels(FLOOR_DUTY, FLOOR_DUTY), 2.0):
        if senses.range.stamp > stamp:
            stamp = senses.range.stamp
            misses = 0 if senses.range.value is not None else misses + 1
            if senses.range.value is not None:
                echoes.append((stamp, senses.range.value))
        near = bool(echoes) and echoes[-1][1] < max(0.45, before - 0.6)
        if near or misses >= 3 or senses.stamp - stamp > bench.config.range.stale_s:
            break
    ended = bench.clock.now()
    after = [
        (senses.range.stamp, senses.range.value) for senses in bench.watch(1.5) if senses.range.value is not None
    ]
    after = sorted(set(after))
    trace = sorted(set(echoes + after))
    traces.append(Series(f"{stop} {run + 1}", tuple((t - ended, metres) for t, metres in trace)))
    moving = [(t, m) for t, m in echoes if t >= ended - 0.8 and t >= echoes[0][0] + 0.3]
    if not found.check(len(moving) >= 4, "the sonar lost the wall on the way; see the case range"):
        return None
    slope, offset = np.polyfit([t - ended for t, _ in moving], [m for _, m in moving], 1)
    speed = -float(slope)
    if not found.check(speed > 0.04, f"it drove towards the wall at {speed:.2f} m/s, expected at least 0.04 m/s"):
        return None
    middle = [m for t, m in after if ended + 0.6 < t <= ended + 1.0]
    last = [m for t, m in after if t > ended + 1.1]
    if not found.check(bool(middle) and bool(last), "the sonar lost the wall after the stop; see the case range"):
        return None
    rest = float(np.median(last))
    if not found.check(
        abs(float(np.median(middle)) - rest) < STILL_M, "it still rolls 1 s after the stop: the motors do not obey"
    ):
        return None
    return speed, float(offset) - rest


def _range(bench: Bench, seconds: float) -> float | None:
    values = {s.range.stamp: s.range.value for s in bench.watch(seconds) if s.range.value is not None}
    return float(np.median(list(values.values()))) if values else None


def _metres(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.2f} m"


def _one(side: str, duty: float) -> Wheels:
    return Wheels(duty, 0.0) if side == "left" else Wheels(0.0, duty)

