"""Perception beside the loop: newest frames only, never an old result, and a worker that may die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from edge.guard import MOVING, Guard, Reason
from edge.loop import Loop, Tick
from edge.perception.process import FIRST_PAUSE_S, RESTARTS, WITHIN_S, ProcessPerception
from edge.perception.runner import PerceptionError, SyncPerception
from edge.summary import Ended
from edge.types import Detection, Detections, Observation
from robot.clock import VirtualClock, WallClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import STOP, Frame, Twist

SIZE = (48, 64)


class BrightBox:
    """A detector whose answer can be checked against the frame: the box round all that is bright.

    The first pixel's red makes it misbehave: 1 dies, 2 raises, 3 hangs, 4 is slow.
    """

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        order = int(image[0, 0, 0])
        if order == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if order == 2:
            raise ZeroDivisionError("a broken detector")
        if order == 3:
            time.sleep(60)
        if order == 4:
            time.sleep(0.15)
        rows, columns = np.nonzero(image[1:, :, 1] > 128)
        if not len(rows):
            return ()
        x, y = columns.min(), rows.min() + 1
        box = (float(x), float(y), float(columns.max() + 1 - x), float(rows.max() + 2 - y))
        return (Detection("bright", float(image.max()) / 255, box),)


def no_detector() -> BrightBox:
    raise FileNotFoundError("no model here")


def frame(stamp: float, x: int = 10, order: int = 0) -> Frame:
    image = np.zeros((*SIZE, 3), np.uint8)
    image[20:30, x : x + 8, 1] = 255
    image[0, 0, 0] = order
    return Frame(image, stamp)


def box_of(x: int) -> tuple[float, float, float, float]:
    return (float(x), 20.0, 8.0, 10.0)


@pytest.fixture
def process() -> Iterator[ProcessPerception]:
    perception = ProcessPerception(BrightBox, SIZE, 30.0, WallClock(), work_limit_s=1.0)
    yield perception
    perception.close()


def await_result(perception: ProcessPerception, stamp: float, limit_s: float = 20.0) -> tuple[Detection, ...]:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        result = perception.newest(time.monotonic())
        if result is not None and result.stamp >= stamp:
            return result.items
        perception.offer(None)
        time.sleep(0.002)
    raise AssertionError(f"no result for {stamp}")


def test_a_frame_goes_through_shared_memory_and_comes_back_as_detections(process: ProcessPerception) -> None:
    assert process.newest(time.monotonic()) is None
    for x in (3, 17, 40):
        stamp = time.monotonic()
        process.offer(frame(stamp, x))
        assert [found.box for found in await_result(process, stamp)] == [box_of(x)]
    assert process.pid not in (None, os.getpid())
    assert process.latencies["inference"].count == 3


def test_only_the_newest_waiting_frame_is_worked_on(process: ProcessPerception) -> None:
    first = time.monotonic()
    process.offer(frame(first, 1, order=4))  # keeps the worker for 150 ms
    for step in range(1, 20):
        process.offer(frame(first + step * 1e-3, 1 + step))
    items = await_result(process, first + 19e-3)
    assert items[0].box == box_of(20)
    assert process.latencies["inference"].count == 2
    assert process.dropped == 18


def test_offering_never_blocks_even_while_the_worker_is_stopped() -> None:
    perception = ProcessPerception(BrightBox, (480, 640), 5.0, WallClock(), work_limit_s=60.0)
    try:
        assert perception.pid is not None
        os.kill(perception.pid, signal.SIGSTOP)
        image = np.zeros((480, 640, 3), np.uint8)
        costs = []
        for _ in range(200):
            began = time.perf_counter()
            perception.offer(Frame(image, time.monotonic()))
            perception.newest(time.monotonic())
            costs.append(time.perf_counter() - began)
        assert np.median(costs) < 0.005
        os.kill(perception.pid, signal.SIGCONT)
        assert await_result(perception, 0.0) == ()
    finally:
        perception.close()


def test_a_result_older_than_stale_s_is_not_told(process: ProcessPerception) -> None:
    stamp = time.monotonic()
    process.offer(frame(stamp))
    await_result(process, stamp)
    assert process.newest(stamp + 29.9) is not None
    assert process.newest(stamp + 30.1) is None


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_worker_that_dies_raises_or_hangs_is_replaced(process: ProcessPerception, order: int) -> None:
    before = process.pid
    process.offer(frame(time.monotonic(), order=order))
    until = time.monotonic() + 20
    while process.restarts == 0 and time.monotonic() < until:
        process.offer(None)
        time.sleep(0.005)
    stamp = time.monotonic()
    process.offer(frame(stamp, 30))
    assert await_result(process, stamp)[0].box == box_of(30)
    assert process.pid != before
    assert process.restarts == 1


class Clocked:
    """A clock that a test moves, so that a minute takes no minute."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def sleep_until(self, t: float) -> None:
        self.ahead += max(0.0, t - self.now())


def kill_until_given_up(perception: ProcessPerception, clock: Clocked, pause_s: float) -> list[float]:
    """Kill each worker `pause_s` after it came; returns when they were started anew, until it is given up."""
    started: list[float] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        restarts = perception.restarts
        try:
            if perception.pid is None:
                clock.ahead += 0.05
            elif perception._ready:
                clock.ahead += pause_s
                os.kill(perception.pid, signal.SIGKILL)
                perception._worker[0].join(5)  # type: ignore[index]
            perception.newest(clock.now())
        except PerceptionError:
            return started
        if perception.restarts > restarts:
            started.append(clock.now())
            if len(started) > RESTARTS + 1:
                return started
        time.sleep(0.002)
    raise AssertionError("it goes on and on")


@pytest.mark.slow
def test_it_is_restarted_five_times_a_minute_with_growing_pauses_then_given_up_with_the_reason() -> None:
    clock = Clocked()
    perception = ProcessPerception(SimpleNamespace, SIZE, 5.0, clock)  # type: ignore[arg-type]
    try:
        started = kill_until_given_up(perception, clock, pause_s=0.0)
        assert len(started) == RESTARTS == 5
        # The pause, and how long a worker takes to start: on a busy machine that varies more than the pauses grow.
        assert (np.diff(started) >= FIRST_PAUSE_S * 2.0 ** np.arange(1, RESTARTS)).all()
        for _ in range(2):  # for good
            with pytest.raises(PerceptionError, match="5 restarts within a minute .*code -9.*robot is stopped"):
                perception.newest(clock.now())
    finally:
        perception.close()


@pytest.mark.slow
def test_deaths_that_come_seldom_are_no_reason_to_give_up() -> None:
    clock = Clocked()
    perception = ProcessPerception(SimpleNamespace, SIZE, 5.0, clock)  # type: ignore[arg-type]
    try:
        started = kill_until_given_up(perception, clock, pause_s=WITHIN_S / RESTARTS)
        assert len(started) > RESTARTS
        assert min(after - before for before, after in zip(started, started[RESTARTS:], strict=False)) > WITHIN_S
    finally:
        perception.close()


def test_a_detector_that_cannot_be_made_is_told_at_once() -> None:
    with pytest.raises(PerceptionError, match="does not start: FileNotFoundError: no model here"):
        ProcessPerception(no_detector, SIZE, 1.0, WallClock())


def test_a_worker_that_cannot_even_be_ready_is_told_with_its_code() -> None:
    with pytest.raises(PerceptionError, match="ended with code 3 before it was ready"):
        ProcessPerception(partial(os._exit, 3), SIZE, 1.0, WallClock())  # type: ignore[arg-type]


def test_a_frame_larger_than_promised_is_refused_in_one_sentence(process: ProcessPerception) -> None:
    with pytest.raises(PerceptionError, match=r"65 x 48 pixels came, but robot.toml promises 64 x 48"):
        process.offer(Frame(np.zeros((48, 65, 3), np.uint8), time.monotonic()))


def test_closing_ends_the_worker_and_is_idempotent() -> None:
    perception = ProcessPerception(BrightBox, SIZE, 5.0, WallClock())
    pid = perception.pid
    assert pid is not None
    perception.close()
    perception.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_in_simulated_time_a_result_comes_just_its_latency_after_the_capture() -> None:
    perception = SyncPerception(BrightBox(), latency_s=0.1, stale_s=0.6)
    seen = []
    for step in range(20):  # 50 Hz, a frame each 0.1 s
        now = step * 0.02
        perception.offer(frame(now, x=step) if step % 5 == 0 else None)
        seen.append(perception.newest(now))
    assert seen[:5] == [None] * 5
    assert [result.stamp for result in seen[5:] if result] == pytest.approx([0.0] * 5 + [0.1] * 5 + [0.2] * 5)
    assert seen[10] is not None and seen[10].items[0].box == box_of(5)


def test_in_simulated_time_a_slow_detector_misses_frames_too() -> None:
    perception = SyncPerception(BrightBox(), latency_s=0.25, stale_s=0.6)
    stamps = set()
    for step in range(100):
        now = step * 0.02
        perception.offer(frame(now) if step % 5 == 0 else None)
        result = perception.newest(now)
        if result is not None:
            stamps.add(round(result.stamp, 3))
    assert sorted(stamps) == pytest.approx([0.3 * index for index in range(len(stamps))])
    assert perception.latencies["inference"].count < 8


def test_in_simulated_time_an_old_result_is_not_told() -> None:
    perception = SyncPerception(BrightBox(), latency_s=0.1, stale_s=0.6)
    perception.offer(frame(0.0))
    assert perception.newest(0.09) is None
    assert perception.newest(0.1) is not None
    assert perception.newest(0.61) is None


class Turning:
    name = "turning"
    needs_camera = True

    def act(self, observation: Observation) -> Twist:
        return Twist(0.0, 0.5)

    def reset(self) -> None: ...


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_loop_stops_the_robot_while_the_worker_is_gone_and_drives_on_with_the_next(number: signal.Signals) -> None:
    config = load()
    assert config.camera is not None
    camera = config.camera.model_copy(update={"width_px": SIZE[1], "height_px": SIZE[0], "fps": 20.0, "stale_s": 0.4})
    config = config.model_copy(update={"camera": camera})
    clock, ticks, killed = WallClock(), list[Tick](), list[int]()

    perception = ProcessPerception(BrightBox, SIZE, camera.stale_s, clock, work_limit_s=1.0)
    first = perception.pid
    assert first is not None
    with SimBody(config, make_room("person", "easy", 5), clock) as body:
        loop = Loop(body, Turning(), Guard(config, needs_camera=True), clock, perception=perception)

        def on_tick(tick: Tick) -> None:
            ticks.append(tick)
            if tick.index >= 60 and not killed and tick.reason in MOVING:
                killed.append(len(ticks))
                os.kill(first, number)

        def recovered() -> bool:
            newest = ticks[-1].detections  # of a frame that the first worker cannot have seen
            return newest is not None and bool(killed) and newest.stamp > ticks[killed[0] - 1].acted + 0.1

        try:
            summary = loop.run(30.0, until=recovered, on_tick=on_tick)
        finally:
            perception.close()
    assert summary.ended is Ended.GOAL
    assert perception.restarts == 1
    stopped = [tick for tick in ticks[killed[0] :] if tick.reason is Reason.STALE_FRAME]
    assert stopped and all(tick.applied == STOP for tick in stopped)
    assert any("perception is started anew" in tick.message for tick in stopped)
    for tick in ticks:  # never driven on by what it saw long ago
        if tick.reason in MOVING:
            assert tick.detections is not None and tick.now - tick.detections.stamp <= camera.stale_s


def test_perception_that_has_given_up_leaves_the_robot_standing_with_the_reason_shown_and_the_run_alive() -> None:
    class GivenUp(SyncPerception):
        def newest(self, now: float) -> Detections | None:
            if now > 1.0:
                raise PerceptionError("perception died again after 5 restarts within a minute, so it is given up")
            return Detections((), now)

    clock, ticks = VirtualClock(0.02), list[Tick]()
    perception = GivenUp(BrightBox(), 0.1, 0.6)
    with SimBody(load(), make_room("person", "easy", 5), clock) as body:
        loop = Loop(body, Turning(), Guard(load(), needs_camera=True), clock, perception=perception)
        summary = loop.run(30.0, on_tick=ticks.append)
    assert summary.ended is Ended.DURATION
    after = [tick for tick in ticks if tick.now > 1.0]
    assert len(after) > 1400
    assert {(tick.reason, tick.applied) for tick in after} == {(Reason.FAULT, STOP)}
    assert all(tick.message.startswith("perception died again after 5 restarts") for tick in after)
    assert "given up" in summary.incidents[-1].message
    assert summary.incidents[-1].stopped_s == pytest.approx(29.0, abs=0.2)
