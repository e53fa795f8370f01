"""The loop: a fixed rate, one way to the wheels, and what it counts."""

from __future__ import annotations

import json
import time

import pytest

from edge.guard import Guard
from edge.loop import Loop
from edge.summary import Ended
from edge.timing import Latency
from edge.types import Observation
from robot.clock import VirtualClock, WallClock
from robot.sim.body import SimBody
from robot.types import STOP, Senses, Twist, Wheels
from tests.edge.loop_rig import AHEAD, CONFIG, ROOM, Scripted, always, on_wheels, simulated


def test_it_runs_at_its_rate_with_absolute_deadlines_in_simulated_time() -> None:
    with simulated(always()) as (loop, body, notes):
        summary = loop.run(3.0)
        assert summary.ended is Ended.DURATION
        assert summary.ticks == len(notes.ticks) == 150
        assert [tick.due for tick in notes.ticks] == pytest.approx([index * 0.02 for index in range(150)])
        assert [tick.now for tick in notes.ticks] == pytest.approx([tick.due for tick in notes.ticks])
        assert summary.duration_s == pytest.approx(3.0)
        assert summary.overruns == summary.missed == 0
        assert on_wheels(body) == STOP


def test_the_world_sees_exactly_what_was_applied_and_the_summary_adds_up() -> None:
    with simulated(always()) as (loop, body, notes):
        before = body.world.pose[:2, 0].copy()
        summary = loop.run(2.0)
        moved = float(((body.world.pose[:2, 0] - before) ** 2).sum() ** 0.5)
    assert sum(summary.reasons.values()) == summary.ticks
    assert 0.05 < moved <= summary.distance_m + 0.02
    assert summary.stages["policy"].count == summary.ticks
    assert notes.ticks[-1].wanted == AHEAD
    assert notes.ticks[60].applied != STOP
    json.dumps(summary.as_dict())


def test_the_policy_sees_what_was_applied_before() -> None:
    seen: list[Wheels] = []

    def act(step: int, observation: Observation) -> Twist:
        seen.append(observation.applied)
        return AHEAD

    with simulated(Scripted(act)) as (loop, _, notes):
        loop.run(1.0)
    assert seen[0] == STOP
    assert seen[1:] == [tick.applied for tick in notes.ticks[:-1]]


def test_an_overrun_is_counted_and_its_deadlines_are_skipped_not_caught_up() -> None:
    def act(step: int, observation: Observation) -> Twist:
        if step == 5:
            time.sleep(0.11)
        return AHEAD

    with simulated(Scripted(act), WallClock()) as (loop, _, notes):
        summary = loop.run(1.0)
    dues = [tick.due - notes.ticks[0].due for tick in notes.ticks]
    steps = [due / 0.02 for due in dues]
    assert steps == pytest.approx([round(step) for step in steps], abs=1e-6)  # still on the first deadline's grid
    assert steps[6] >= 10
    assert summary.overruns >= 1
    assert summary.missed >= 4
    assert summary.ticks + summary.missed == 50  # every deadline was met or counted
    assert summary.late == sum(tick.now - tick.due > 0.02 for tick in notes.ticks)
    assert any(f"{summary.late} iterations began more than a period late, {summary.missed} deadlines" in text
               for _, text, _ in notes.logs)  # fmt: skip
    assert all(after > before for before, after in zip(dues, dues[1:], strict=False))


def test_deadlines_behind_the_end_were_never_due() -> None:
    def act(step: int, observation: Observation) -> Twist:
        if step == 8:
            time.sleep(0.2)
        return AHEAD

    with simulated(Scripted(act), WallClock()) as (loop, _, _):
        summary = loop.run(0.2)
    assert summary.ticks + summary.missed == 10


def test_an_iteration_that_is_a_little_too_long_does_not_cost_the_next_deadline() -> None:
    def act(step: int, observation: Observation) -> Twist:
        if step % 10 == 5:
            time.sleep(0.022)
        return AHEAD

    with simulated(Scripted(act), WallClock()) as (loop, _, notes):
        summary = loop.run(1.0)
    assert summary.overruns >= 4
    late = [tick.now - tick.due for tick in notes.ticks]
    quick = [index for index in range(6, len(late), 10) if late[index - 1] < 0.001]  # where the machine was not busy
    assert all(0.001 < late[index] < 0.015 for index in quick)
    # Each deadline was met, if late, or counted.
    steps = [round((tick.due - notes.ticks[0].due) / 0.02) for tick in notes.ticks]
    assert steps == sorted(set(steps)) and summary.missed == 50 - len(steps)


def test_until_ends_the_run() -> None:
    with simulated(always()) as (loop, body, notes):
        summary = loop.run(60.0, until=lambda: len(notes.ticks) == 42)
    assert (summary.ended, summary.ticks) == (Ended.GOAL, 42)


def test_equal_seeds_give_equal_runs() -> None:
    runs = []
    for _ in range(2):
        with simulated(always()) as (loop, body, notes):
            loop.run(2.0)
            runs.append(([tick.applied for tick in notes.ticks], body.world.pose.tolist()))
    assert runs[0] == runs[1]


def test_the_loop_refuses_a_rate_that_cannot_be() -> None:
    with SimBody(CONFIG, ROOM, VirtualClock(0.05), camera=False) as body:
        for rate in (0.0, float("nan"), 50.0, 1e6):
            with pytest.raises(ValueError, match="rate_hz"):
                Loop(body, always(), Guard(CONFIG), body.clock, rate_hz=rate)


def test_percentiles_are_right_within_a_hundredth() -> None:
    latency = Latency()
    values = [1e-6 * 1.01**index for index in range(1000)]
    for value in values:
        latency.add(value)
    for share in (0.01, 0.5, 0.9, 0.99):
        assert latency.percentile(share) == pytest.approx(values[int(share * 1000) - 1], rel=0.02)
    assert latency.stage().max_s == values[-1]
    latency.add(float("inf"))
    latency.add(float("nan"))
    latency.add(-1.0)
    assert latency.count == 1001
    assert Latency().stage().p50_s == 0.0


def test_senses_are_asked_for_once_an_iteration() -> None:
    calls: list[Senses] = []
    with simulated(always()) as (loop, body, _):
        whole = body.sense
        body.sense = lambda: calls.append(whole()) or calls[-1]  # type: ignore[method-assign, func-returns-value]
        loop.run(1.0)
    assert len(calls) == 50
