"""The loop: senses in, command out, at a fixed rate with absolute deadlines, on a wall or a virtual clock.

One thread does it all, and only a complete iteration sends a command: there is no keep-alive that could
hide a hang. The motor port's deadline is the watchdog. On every way out, an exception or a signal too,
the wheels are at zero before anything else is done.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.guard import MOVING, Guard, Reason
from edge.perception.runner import Perception
from edge.signals import Interrupted, stop_on_signal
from edge.summary import Ended, Summary
from edge.timing import Latency
from edge.types import Detections, Observation, Policy
from robot.clock import VirtualClock, WallClock
from robot.kinematics import twist_from_wheels
from robot.types import STOP, Body, Clock, Command, Senses, Twist, Wheels


@dataclass(frozen=True, slots=True)
class Tick:
    """One iteration, as recorders and displays see it; times are the clock's seconds."""

    index: int
    due: float
    now: float  # when it began
    acted: float  # when its command was at the wheels
    senses: Senses
    detections: Detections | None
    wanted: Command
    command: Command  # what the guard made of it
    applied: Wheels
    reason: Reason
    message: str  # more on the reason, where there is more to say
    overruns: int  # so far


class Recorder(Protocol):
    """What the loop hands its iterations to. Neither call may block; both raise `EdgeError` once it has failed."""

    def tick(self, tick: Tick) -> None: ...

    def log(self, stamp: float, level: str, message: str) -> None: ...


STAGES = ("lateness", "sense", "perception", "policy", "guard", "actuation", "recording", "capture age", "range age")


class Loop:
    """Drives `body` by `policy`, with `guard` between them.

    Args:
        body: the robot; the loop stops it and leaves closing it to its owner.
        policy: from observation to wanted command. An exception in it stops the robot, which goes on living.
        guard: what stands between the policy and the wheels.
        clock: the body's clock; a `VirtualClock` runs as fast as the machine allows.
        rate_hz: iterations a second.
        perception: what turns frames into detections; None leaves `Observation.detections` None.
        recorder: gets each iteration.
    """

    def __init__(
        self,
        body: Body,
        policy: Policy,
        guard: Guard,
        clock: Clock,
        rate_hz: float = 50.0,
        perception: Perception | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        if not 0 < rate_hz <= 1000:
            raise ValueError(f"rate_hz is {rate_hz!r}; it must be greater than 0 and at most 1000")
        if isinstance(clock, VirtualClock) and 1.0 / rate_hz < 0.999 * clock.tick_s:
            raise ValueError(f"rate_hz is {rate_hz!r}, but the virtual clock ticks only each {clock.tick_s} s")
        self.body, self.policy, self.guard, self.clock = body, policy, guard, clock
        self.period_s = 1.0 / rate_hz
        self.perception, self.recorder = perception, recorder
        self.latencies = {name: Latency() for name in STAGES}
        self._watch = WallClock().now  # what a stage costs is real time, under a virtual clock too
        self._applied: Wheels = STOP
        self._reasons = dict.fromkeys(Reason, 0)
        self._moving = True
        self._said: tuple[str, float] = ("", 0.0)
        self._ticks = self._overruns = self._missed = self._faults = 0
        self._distance_m = 0.0

    def run(
        self,
        duration_s: float | None = None,
        until: Callable[[], bool] | None = None,
        on_tick: Callable[[Tick], None] | None = None,
    ) -> Summary:
        """Run for `duration_s` seconds of the clock (None: until told to stop), and tell how it went.

        Args:
            duration_s: seconds of the clock.
            until: asked after each iteration; True ends the run, as when a goal is reached.
            on_tick: called with each iteration, after its command; must be quick.

        Returns:
            The summary. A failure of the body, perception or recording ends the run and is told there
            (`Ended.FAULT`); SIGINT and SIGTERM end it too where this is the main thread.
        """
        start = self.clock.now()
        message = ""
        try:
            with stop_on_signal(self.body.stop):
                self.policy.reset()
                ended = self._iterate(start, duration_s, until, on_tick)
        except Interrupted as signal:
            self.body.stop()
            ended, message = signal.ended, signal.name
        except Exception as error:
            self.body.stop()
            ended, message = Ended.FAULT, sentence(error)
            self._log("error", f"{message}\n{traceback.format_exc()}")
        finally:
            self.body.stop()
            self.guard.halted()
            self._applied = STOP
        self._log("info", f"ended: {ended}{': ' if message else ''}{message}")
        return self._summary(ended, message, self.clock.now() - start)

    def _iterate(
        self,
        start: float,
        duration_s: float | None,
        until: Callable[[], bool] | None,
        on_tick: Callable[[Tick], None] | None,
    ) -> Ended:
        clock, period = self.clock, self.period_s
        step = 0
        while True:
            due = start + step * period
            if duration_s is not None and step * period >= duration_s - 1e-9:
                clock.sleep_until(start + duration_s)
                return Ended.DURATION
            clock.sleep_until(due)
            tick = self._step(due)
            if on_tick is not None:
                on_tick(tick)
            if until is not None and until():
                return Ended.GOAL
            step += 1
            done = clock.now()
            if done > start + step * period:
                # Deadlines are absolute: what was missed is skipped and counted, never caught up in a burst.
                self._overruns += 1
                following = int((done - start) / period) + 1
                self._missed += following - step
                step = following

    def _step(self, due: float) -> Tick:
        clock, watch, latencies = self.clock, self._watch, self.latencies
        now = clock.now()
        latencies["lateness"].add(now - due)

        began = watch()
        senses = self.body.sense()
        sensed = watch()
        detections = None
        if self.perception is not None:
            self.perception.offer(senses.frame)
            detections = self.perception.newest(now)
        seen = watch()
        wanted, fault = self._ask(Observation(now, senses, detections, self._applied))
        thought = watch()
        command: Command = STOP
        if fault:
            reason = Reason.FAULT
            self.guard.halted()
        else:
            command, reason = self.guard.check(
                senses,
                wanted,
                clock.now(),
                sensed_at=now,
                frame_at=None if detections is None else detections.stamp,
            )
        judged = watch()
        if reason in MOVING:
            self._applied = self.body.drive(command)
        else:
            self.body.stop()
            self._applied = STOP
        acted, driven = clock.now(), watch()

        latencies["sense"].add(sensed - began)
        latencies["perception"].add(seen - sensed)
        latencies["policy"].add(thought - seen)
        latencies["guard"].add(judged - thought)
        latencies["actuation"].add(driven - judged)
        latencies["range age"].add(acted - senses.range.stamp)
        if detections is not None:
            latencies["capture age"].add(acted - detections.stamp)

        self._reasons[reason] += 1
        self._ticks += 1
        self._distance_m += abs(twist_from_wheels(self.guard.config.drive, self._applied).v) * self.period_s
        tick = Tick(
            self._ticks - 1, due, now, acted, senses, detections, wanted, command, self._applied, reason, fault,
            self._overruns,
        )  # fmt: skip
        self._tell(tick)
        if self.recorder is not None:
            self.recorder.tick(tick)
            latencies["recording"].add(watch() - driven)
        return tick

    def _ask(self, observation: Observation) -> tuple[Command, str]:
        """The policy's wish, or STOP and what went wrong: a policy's fault is no reason to die."""
        try:
            wanted = self.policy.act(observation)
            if isinstance(wanted, Twist):
                return Twist(float(wanted.v), float(wanted.omega)), ""
            if isinstance(wanted, Wheels):
                return Wheels(float(wanted.left), float(wanted.right)), ""
            raise TypeError(f"it wants {wanted!r}, which is neither a Twist nor Wheels")
        except Exception as error:
            self.body.stop()
            self._faults += 1
            what = f"policy {self.policy.name}: {sentence(error)}"
            if self._new(what, observation.now):
                self._log("error", f"{what}\n{traceback.format_exc()}")
            return STOP, what

    def _tell(self, tick: Tick) -> None:
        """Log where the robot stops for a reason, and where it drives again; not each limit on the way."""
        moving = tick.reason in MOVING
        if moving != self._moving:
            self._moving = moving
            self._log("info" if moving else "warning", f"{'drives again' if moving else 'stopped'}: {tick.reason}")

    def _new(self, what: str, now: float) -> bool:
        """False for what was said within the last second: fifty tracebacks a second help nobody."""
        said, when = self._said
        if said == what and now - when < 1.0:
            return False
        self._said = (what, now)
        return True

    def _log(self, level: str, message: str) -> None:
        if self.recorder is not None:
            try:
                self.recorder.log(self.clock.now(), level, message)
            except Exception:  # the recording has failed: that is told by `tick`, and here the robot is stopped
                return

    def _summary(self, ended: Ended, message: str, duration_s: float) -> Summary:
        stages = {name: latency.stage() for name, latency in self.latencies.items() if latency.count}
        if self.perception is not None:
            stages |= {name: latency.stage() for name, latency in self.perception.latencies.items() if latency.count}
        return Summary(
            policy=self.policy.name,
            ended=ended,
            message=message,
            ticks=self._ticks,
            duration_s=duration_s,
            distance_m=self._distance_m,
            reasons={str(reason): count for reason, count in self._reasons.items() if count},
            stages=stages,
            overruns=self._overruns,
            missed=self._missed,
            policy_faults=self._faults,
            perception_restarts=0 if self.perception is None else self.perception.restarts,
        )


def sentence(error: BaseException) -> str:
    """An exception in one line: what it says, and for one that is not the product's own, its type and place."""
    from edge.errors import EdgeError
    from robot.errors import RobotError

    text = " ".join(str(error).split())
    if isinstance(error, (EdgeError, RobotError)):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}{': ' if text else ''}{text}"
