"""The unattended, electrical cases: what really comes out of the motor pins, and how soon it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product

import numpy as np

from edge.guard import Guard
from edge.hil.electrical import Electrical
from edge.hil.found import Case, Found, NotHere, NotLooked, Series, always
from edge.hil.operator import SIDES
from edge.hil.senses import passed_on
from edge.loop import Loop, Tick
from edge.policies.baselines import StraightPolicy
from robot.config import RobotConfig
from robot.pi import firmware
from robot.types import STOP, Wheels

FAINT = 0.06
"""A duty at which no wheel turns, and whose pulses can be seen."""
DUTIES = (0.3, 0.7, 1.0)
DUTY_WITHIN = 0.05
DISTANCES_M = (0.3, 1.0, 2.0)
BIAS_MOST_M, JITTER_MOST_M = 0.02, 0.03
SOON_S = 0.05  # of the motors' process: it looks at the switch each 10 ms, and a pulse lasts 5 ms
RESTART_S = 1.5


def boot(bench: Electrical, found: Found) -> None:
    """Before any of our programs takes the motor pins: is each held low, against a pull-up at its other end?"""
    for key, meter in bench.meters.items():
        found.check(
            not meter.against_pull_up(),
            f"drive.{key} is not held low (or its jumper to GPIO {meter.number} is off): see the firmware's gpio= line",
        )
    found.figure("held low", len(bench.meters) - len(found.failures), f"of {len(bench.meters)}")
    if not bench.mock:
        motors = [pin for name, pin in bench.config.pins().items() if name.startswith("drive.")]
        for finding in firmware.check(motors):
            found.check(finding.ok, f"{finding.what}: run `{finding.mend}`")


def jumpers(bench: Electrical, found: Found) -> None:
    """Each jumper is where it belongs, tried at a duty at which no wheel would turn."""
    for side, sign in product(SIDES, (1, -1)):
        begin = bench.drive(_one(side, sign * FAINT), 0.3)
        now = bench.clock.now()
        expected = f"{side}.{'forward' if sign > 0 else 'backward'}_pin"
        seen = {key for key, meter in bench.meters.items() if meter.share(begin + 0.1, now) > 0.01}
        wanted = {expected, f"{side}.enable_pin"}
        if bench.config.drive.stop == "brake":  # the other wheel's pins are all high then
            wanted |= {key for key in bench.meters if not key.startswith(side)}
        wanted &= set(bench.meters)
        for key in sorted(wanted - seen):
            found.check(False, f"nothing comes through the jumper from drive.{key} to GPIO {bench.meters[key].number}")
        for key in sorted(seen - wanted):
            found.check(False, f"GPIO {bench.meters[key].number} hears {side} {'for' if sign > 0 else 'back'}ward: it "
                        f"is not on drive.{key}")  # fmt: skip
    found.figure("jumpers", len(bench.meters))


def duty(bench: Electrical, found: Found) -> None:
    """Duty and direction at the pins, for each wheel, sign and duty."""
    points = []
    errors = []
    for side, sign, size in product(SIDES, (1, -1), DUTIES):
        begin = bench.drive(_one(side, sign * size), 0.35)
        begin, end = begin + 0.1, bench.clock.now()
        seen = bench.wheels(begin, end)
        other = seen.right if side == "left" else seen.left
        own = seen.left if side == "left" else seen.right
        points.append((sign * size, own))
        errors.append(abs(own - sign * size))
        found.check(
            abs(own - sign * size) <= DUTY_WITHIN,
            f"{side}: a duty of {sign * size:+.2f} was asked for, {own:+.2f} comes out of the pins",
        )
        found.check(abs(other) < 0.02, f"{side} was asked to turn, and the other wheel gets {other:+.2f}")
        if size == 0.7 and (key := _pulsed(bench, side, sign)):
            rate = bench.meters[key].rises(begin, end) / (end - begin)
            if sign > 0:
                found.figure(f"{side} pulses", rate, "Hz")
            wanted = bench.config.drive.pwm_hz
            found.check(0.8 * wanted <= rate <= 1.2 * wanted, f"{side}: {rate:.0f} pulses a second, expected {wanted}")
    found.figure("largest error", max(errors))
    found.plot("Duty at the pins", "asked", "measured", Series("exact", ((-1.0, -1.0), (1.0, 1.0))),
               Series("measured", tuple(points), line=False))  # fmt: skip


def _pulsed(bench: Electrical, side: str, sign: int) -> str:
    """The key of the pin that carries the pulses."""
    enable = f"{side}.enable_pin"
    return enable if enable in bench.meters else f"{side}.{'forward' if sign > 0 else 'backward'}_pin"


def echo(bench: Electrical, found: Found) -> None:
    """What the sonar's driver makes of echoes whose length is known: bias and jitter of its timing."""
    pairs: list[tuple[float, float]] = []
    for metres in DISTANCES_M:
        bench.echo.distance_m = metres
        bench.settle(0.3)
        readings = {s.range.stamp: s.range.value for s in bench.watch(1.2)}
        pulses = list(bench.echo.pulses)
        mine = []
        for stamp, value in readings.items():
            pulse = next((pulse for pulse in pulses if pulse.ended >= stamp), None)  # a reading begins before its echo
            if value is not None and pulse is not None and pulse.asked_m == metres:
                mine.append((pulse.metres, value))
        found.check(
            len(mine) >= 0.6 * len(readings) and len(readings) >= 5,
            f"at {metres:g} m {len(mine)} of {len(readings)} echoes were heard ({bench.echo.triggers} triggers seen): "
            "check the jumpers of trigger and echo",
        )
        pairs += mine
    if not pairs:
        return
    errors = np.array([value - metres - bench.config.range.offset_m for metres, value in pairs])
    bias, jitter = float(np.median(errors)), float(np.subtract(*np.percentile(errors, [90, 10]))) / 2
    found.figure("bias", 1e3 * bias, "mm")
    found.figure("jitter", 1e3 * jitter, "mm (half of p10 to p90)")
    found.figure("bias in time", 2e6 * bias / 343.2, "us")
    found.figure("worst", 1e3 * float(np.abs(errors).max()), "mm")
    found.plot("Error of the sonar's timing", "played, m", "error, mm",
               Series("readings", tuple((m, 1e3 * (v - m)) for m, v in pairs), line=False))  # fmt: skip
    found.check(abs(bias) <= BIAS_MOST_M, f"echoes are measured {1e3 * bias:+.0f} mm wrong, expected within 20 mm")
    found.check(jitter <= JITTER_MOST_M, f"echoes spread by {1e3 * jitter:.0f} mm, expected at most 30 mm")


def blocked(bench: Electrical, found: Found) -> None:
    """The runtime's own loop drives; its way is blocked, then the echo is missing: how soon are the pins at zero?"""
    config = bench.config
    limit = 1 / config.range.rate_hz + 0.1 + bench.slack_s  # a sample, its echo, two iterations, a pulse
    for what, distance in (("obstacle", 0.05), ("no echo", None)):
        bench.echo.distance_m = 3.0
        bench.settle(0.3)
        policy = StraightPolicy(config)
        loop = Loop(bench.body, policy, Guard.of(config, policy), bench.clock)
        begin = bench.clock.now()
        at: list[float] = []

        def on_tick(tick: Tick, begin: float = begin, at: list[float] = at, distance: float | None = distance) -> None:
            if not at and tick.now - begin > 0.8 and tick.applied != STOP:  # a late iteration stops it for a moment
                at.append(bench.clock.now())
                bench.echo.distance_m = distance

        passed_on(loop.run(1.8 + bench.slack_s, on_tick=on_tick))
        before = bench.wheels(begin + 0.4, at[0]) if at else STOP
        if not found.check(
            before.left > 0.05 and before.right > 0.05,
            f"the loop did not drive before ({before.left:+.2f} {before.right:+.2f} at the pins): check the jumpers of "
            "motors and echo",
        ):
            continue
        took = bench.low_after(at[0])
        if found.check(took is not None, f"{what}: the motor pins are still driven {1.0:g} s later"):
            assert took is not None
            found.figure(f"{what} to zero", 1e3 * took, "ms")
            found.check(took <= limit, f"{what}: {1e3 * took:.0f} ms to zero, expected at most {1e3 * limit:.0f} ms")


def no_switch(config: RobotConfig) -> str:
    """Why there is no emergency stop to play."""
    return "" if config.emergency_stop is not None else "robot.toml has no [emergency_stop]"


def switch(bench: Electrical, found: Found) -> None:
    """The emergency stop opens while the motors are driven: how soon are the pins at zero, and do they stay there?"""
    assert bench.switch is not None
    at = 0.0
    begin = bench.clock.now()
    try:
        for step, _ in enumerate(bench.driving(Wheels(0.5, 0.5), 1.2)):
            if step == 20:
                at = bench.clock.now()
                bench.switch.press()
        found.check(bench.driven(begin + 0.1, at), "nothing came out of the pins before: check the motors' jumpers")
        _judge(bench, found, "emergency stop", at, SOON_S)
        found.check(bench.body.drive(Wheels(0.3, 0.3)) == STOP, "it drives on while the emergency stop is pressed")
    finally:
        bench.body.stop()
        bench.switch.press(False)
    bench.settle(0.1)
    found.check(bench.body.drive(Wheels(0.3, 0.3)) == STOP, "it drives as soon as the switch is released: not latched")
    bench.body.stop()
    bench.acknowledge()


def killed(bench: Electrical, found: Found) -> None:
    """`kill -9` of the runtime."""
    _victim(bench, found, "runtime killed", signal.SIGKILL, False, SOON_S)


def suspended(bench: Electrical, found: Found) -> None:
    """SIGSTOP of the runtime: its last command's time runs out."""
    _victim(bench, found, "runtime suspended", signal.SIGSTOP, False, bench.config.drive.command_timeout_s + SOON_S)


def motord_killed(bench: Electrical, found: Found) -> None:
    """`kill -9` of the motors' process: the kernel releases the pins, pull-downs bring them low."""
    _victim(bench, found, "motors' process killed", signal.SIGKILL, True, RESTART_S)


def motord_suspended(bench: Electrical, found: Found) -> None:
    """SIGSTOP of the motors' process: the service manager's watchdog kills it."""
    if not bench.watched:
        raise NotHere("no service watches the motors' process here: install the units (`edgebot units`)")
    _victim(bench, found, "motors' process suspended", signal.SIGSTOP, True, 2.5)


def _victim(
    bench: Electrical, found: Found, what: str, number: signal.Signals, motord: bool, limit: float
) -> None:
    """Let another process drive, do it harm, and see when the pins are at zero."""
    with _driving(bench) as (process, pid):
        begin = bench.clock.now()
        bench.settle(0.5)
        target = pid if motord else process.pid
        try:
            at = bench.clock.now()
            os.kill(target, number)
        except PermissionError:
            raise NotLooked(f"this user may not signal process {pid}; run it as the user of the service") from None
        try:
            bench.settle(limit + bench.slack_s + 0.3)
            driven = bench.driven(begin + 0.1, at)
            if found.check(driven, "nothing came out of the pins before: check the motors' jumpers"):
                _judge(bench, found, what, at, limit)
        finally:
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGCONT)


@contextmanager
def _driving(bench: Electrical) -> Iterator[tuple[subprocess.Popen[str], int]]:
    bench.release()
    command = bench.victim(Wheels(0.5, 0.5))
    with subprocess.Popen(command, env=bench.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if not said.isdecimal():
                raise NotLooked("another process could not drive the motors; `edgebot motors status` tells why")
            bench.tell(int(said))
            yield process, int(said)
        finally:
            for end in (signal.SIGKILL, signal.SIGCONT):
                process.send_signal(end)


def _judge(bench: Electrical, found: Found, what: str, at: float, limit: float) -> None:
    took = bench.low_after(at)
    if not found.check(took is not None, f"{what}: the motor pins are still driven"):
        return
    assert took is not None
    found.figure(f"{what} to zero", 1e3 * took, "ms")
    most = limit + bench.slack_s
    found.check(took <= most, f"{what}: {1e3 * took:.0f} ms until the pins were at zero, expected {1e3 * most:.0f} ms")


def _one(side: str, size: float) -> Wheels:
    return Wheels(size, 0.0) if side == "left" else Wheels(0.0, size)


def _case(
    name: str,
    title: str,
    run: Callable[[Electrical, Found], None],
    missing: Callable[[RobotConfig], str] = always,
    arms: bool = False,
    drives: bool = True,
) -> Case:
    return Case(name, title, run, drives=drives, person=False, arms=arms, missing=missing)


LOOPBACK = (
    _case("boot", "motor pins held low before any program", boot, drives=False),
    _case("jumpers", "the jumpers are where they belong", jumpers, arms=True),
    _case("duty", "duty and direction at the pins", duty),
    _case("echo", "echo timing: bias and jitter", echo),
    _case("blocked", "blocked echo to zero duty", blocked),
    _case("switch", "emergency stop to zero duty", switch, no_switch),
    _case("killed", "runtime killed (kill -9) to zero duty", killed),
    _case("suspended", "runtime suspended (SIGSTOP) to zero duty", suspended),
    _case("motord", "motors' process killed to zero duty", motord_killed),
    _case("watchdog", "motors' process suspended to zero duty", motord_suspended),
)
