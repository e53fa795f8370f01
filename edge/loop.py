"""The loop: senses in, command out, at a fixed rate with absolute deadlines, on a wall or a virtual clock.

One thread does it all, and only a complete iteration sends a command: there is no keep-alive that could
hide a hang. The motor port's deadline is the watchdog. On every way out, an exception or a signal too,
the wheels are at zero before anything else is done.

An exception in any stage of an iteration costs that iteration: wheels at zero, the reason kept, and the next one
begins anew, so that a fault that passes needs nobody. A body that has failed for `GIVE_UP_S` ends the run; a policy
or a perception that fails leaves the robot standing with its reason shown; a recording that fails is let go.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from math import ceil

from edge.errors import EdgeError, is_own, sentence
from edge.guard import MOVING, Guard, Reason
from edge.perception.frames import FrameCheck
from edge.perception.runner import Perception
from edge.signals import Interrupted, stop_on_signal
from edge.summary import Ended, Incidents, Summary
from edge.tick import Link, Recorder, Tick
from edge.timing import Latency
from edge.types import Observation, Policy
from robot.clock import VirtualClock, WallClock
from robot.kinematics import twist_from_wheels
from robot.motor_port import LinkLost
from robot.types import STOP, Body, Clock, Command, Reading, Senses, Twist, Wheels

__all__ = ["Loop", "Tick"]

GIVE_UP_S = 10.0
"""How long a body may fail without one good iteration: a motor process that is started anew needs two seconds."""

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
        link: whoever drives from elsewhere; the guard stops the robot when it is silent.
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
        link: Link | None = None,
    ) -> None:
        if not 0 < rate_hz <= 1000:
            raise ValueError(f"rate_hz is {rate_hz!r}; it must be greater than 0 and at most 1000")
        if isinstance(clock, VirtualClock) and 1.0 / rate_hz < 0.999 * clock.tick_s:
            raise ValueError(f"rate_hz is {rate_hz!r}, but the virtual clock ticks only each {clock.tick_s} s")
        self.body, self.policy, self.guard, self.clock = body, policy, guard, clock
        self.period_s = 1.0 / rate_hz
        self.perception, self.recorder, self.link = perception, recorder, link
        camera = guard.config.camera
        self.frames = None if perception is None or camera is None else FrameCheck(camera)
        self.latencies = {name: Latency() for name in STAGES}
        self._watch = WallClock().now  # what a stage costs is real time, under a virtual clock too
        self._applied: Wheels = STOP
        self._reasons = dict.fromkeys(Reason, 0)
        self._incidents = Incidents()
        self._start = 0.0
        self._said: tuple[str, float] = ("", 0.0)
        self._failing_since: float | None = None
        self._ticks = self._overruns = self._late = self._missed = self._faults = 0
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
            The summary, with every incident. A body that fails for good, or an exception in `until` or `on_tick`,
            ends the run (`Ended.FAULT`); SIGINT, SIGTERM and SIGHUP end it too where this is the main thread.
        """
        start = self._start = self.clock.now()
        message = ""
        try:
            with stop_on_signal(self.body.stop):
                self.guard.begin()
                if self.frames is not None:
                    self.frames.reset()
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
            self.guard.shutdown()
            self._applied = STOP
        if self._late or self._missed:
            left_out = f"{self._missed} deadlines were left out"
            self._log("warning", f"{self._late} iterations began more than a period late, {left_out}")
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
        step, steps = 0, None if duration_s is None else ceil((duration_s - 1e-9) / period)
        while True:
            due = start + step * period
            if duration_s is not None and steps is not None and step >= steps:
                clock.sleep_until(start + duration_s)
                if self._failing_since is not None:
                    raise EdgeError(f"{self._said[0]}; that was still so when the run's time was up")
                return Ended.DURATION
            clock.sleep_until(due)
            tick = self._step(due)
            if self._failing_since is not None and tick.now - self._failing_since > GIVE_UP_S:
                raise EdgeError(f"{tick.message}; that went on for {GIVE_UP_S:g} s, so the run is ended")
            if on_tick is not None:
                on_tick(tick)
            if until is not None and until():
                return Ended.GOAL
            step += 1
            done = clock.now()
            if done > start + step * period:
                # Deadlines are absolute: what was missed is skipped and counted, never caught up in a burst. Only the
                # newest is still met where it passed less than half a period ago, so that one late iteration does
                # not cost the next; the other half is left to sleep in, where every iteration is too long.
                self._overruns += 1
                following = int((done - start) / period + 0.5)
                if steps is not None:  # what lies behind the end was never due
                    following = min(following, steps)
                self._missed += following - step
                step = following

    def _step(self, due: float) -> Tick:
        """One iteration. Whatever raises in it, the wheels are at zero before anything else is done."""
        clock, watch, latencies = self.clock, self._watch, self.latencies
        now = clock.now()
        latencies["lateness"].add(now - due)
        self._late += now - due > self.period_s
        senses, detections = _nothing(now), None
        wanted: Command = STOP
        command: Command = STOP
        message, stage, asked, before, problem = "", "sense", False, self._applied, ""
        began = watch()
        try:
            senses = self.body.sense()
            sensed = watch()
            stage = "perception"
            if self.perception is not None:
                self.perception.offer(senses.frame if self.frames is None else self.frames.usable(senses.frame))
                detections = self.perception.newest(now)
                problem = "" if self.frames is None else self.frames.problem
            seen = watch()
            stage, asked = f"policy {self.policy.name}", True
            wanted = in_numbers(self.policy.act(Observation(now, senses, detections, before)))
            thought = watch()
            stage = "guard"
            command, reason = self.guard.check(
                senses,
                wanted,
                clock.now(),
                sensed_at=now,
                period_s=self.period_s,
                frame_at=None if detections is None else detections.stamp,
                bad_frame=bool(problem),
                link_at=None if self.link is None else self.link.heard_at,
            )
            judged = watch()
            stage = "actuation"
            if reason in MOVING:
                self._applied = self.body.drive(command, now)
            else:
                self.body.stop()
                self._applied = STOP
            acted, driven = clock.now(), watch()
            if reason is Reason.BAD_FRAME:
                message = problem
            elif reason is Reason.STALE_FRAME and self.perception is not None:
                message = self.perception.trouble
        except Exception as error:
            self.body.stop()
            self._applied = command = STOP
            acted, driven = clock.now(), watch()
            reason = Reason.LOST_LINK if isinstance(error, LinkLost) else Reason.FAULT
            message = self._failed(stage, error, now)
        else:
            self._failing_since = None
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
            self._ticks - 1, due, now, acted, senses, detections, wanted, command, self._applied, reason, message,
            self._overruns, asked, before,
        )  # fmt: skip
        self._tell(now, reason, message)
        if self.recorder is not None:
            try:
                self.recorder.tick(tick)
            except Exception as error:  # a full disk ends the recording, not the drive
                self._lose_recording(error)
            latencies["recording"].add(watch() - driven)
        return tick

    def _failed(self, stage: str, error: Exception, now: float) -> str:
        """Take note of an iteration that raised, the wheels being at zero; returns what went wrong."""
        self.guard.halted()
        policy = stage.startswith("policy")
        what = sentence(error) if is_own(error) and not policy else f"{stage}: {sentence(error)}"
        if policy:
            self._faults += 1
        elif stage != "perception" and self._failing_since is None:
            self._failing_since = now
        said, when = self._said
        if said != what or now - when >= 60.0:  # fifty tracebacks a second help nobody
            self._said = (what, now)
            self._log("error", what if is_own(error) else f"{what}\n{traceback.format_exc()}")
        return what

    def _lose_recording(self, error: Exception) -> None:
        self.body.stop()
        self._applied = STOP
        self.guard.halted()
        self.recorder = None
        what = sentence(error) if is_own(error) else f"recording: {sentence(error)}"
        self._incidents.note(self.clock.now() - self._start, Reason.FAULT, what)

    def _tell(self, now: float, reason: Reason, message: str) -> None:
        """Log where the robot stops for a reason, and where it drives again; not each limit on the way."""
        stopped = reason not in MOVING
        if self._incidents.note(now - self._start, reason if stopped else None, message):
            if stopped:
                self._log("warning", f"stopped: {reason}{': ' if message else ''}{message}")
            else:
                self._log("info", f"drives again: {reason}")

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
            incidents=self._incidents.told(),
            stages=stages,
            overruns=self._overruns,
            late=self._late,
            missed=self._missed,
            policy_faults=self._faults,
            perception_restarts=0 if self.perception is None else self.perception.restarts,
        )


def in_numbers(wanted: Command) -> Command:
    """The policy's wish in plain numbers; raises for what is no command."""
    if isinstance(wanted, Twist):
        return Twist(float(wanted.v), float(wanted.omega))
    if isinstance(wanted, Wheels):
        return Wheels(float(wanted.left), float(wanted.right))
    raise TypeError(f"it wants {wanted!r}, which is neither a Twist nor Wheels")


def _nothing(now: float) -> Senses:
    """What is known where the senses themselves failed."""
    failed = Reading(None, now)
    return Senses(now, failed, failed, failed)
