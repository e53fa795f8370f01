"""Guided cases of what perceives: sonar, light, camera, detector, and the loop that asks them."""

from __future__ import annotations

import math
import signal
from itertools import pairwise

import numpy as np

from edge.guard import Guard
from edge.hil.bench import Bench
from edge.hil.found import Found, Series
from edge.hil.operator import Hand, Scene
from edge.loop import Loop
from edge.perception.frames import FrameCheck
from edge.signals import Interrupted
from edge.summary import Ended, Summary
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Reading, Wheels

DISTANCES_M = (0.2, 0.5, 1.0)
SPREAD_M = 0.03
MISSING_MOST = 0.2
OFFSET_MOST_M = 0.1
LIGHT_STEP = 0.15
DARK_MEAN, BRIGHT_MEAN = 20.0, 235.0  # of 255
CONTRAST = 4.0
PERSON_M = 2.0
BEARING_MOST = math.radians(15)
LATE_SHARE = 0.01


def sonar(bench: Bench, found: Found) -> None:
    """The range to a target at known distances."""
    near, far = bench.config.range.min_m, bench.config.range.max_m
    asked = [metres for metres in DISTANCES_M if near <= metres <= far]
    medians, points = [], []
    for metres in asked:
        words = f"Put something flat and broad, such as a book, {metres:g} m before the sonar, squarely."
        bench.operator.set_up(Scene(Hand.TARGET, words, metres))
        bench.wait(0.3)
        echoes = {s.range.stamp: s.range.value for s in bench.watch(2.0)}
        values = [value for value in echoes.values() if value is not None and math.isfinite(value)]
        points += [(metres, value) for value in values]
        enough = len(values) >= max(3.0, (1 - MISSING_MOST) * len(echoes)) and len(echoes) >= 2 * 0.6 * _rate(bench)
        if not found.check(
            enough, f"at {metres:g} m {len(values)} of {len(echoes)} echoes came in 2 s: check trigger, echo, supply"
        ):
            continue
        medians.append((metres, float(np.median(values))))
        found.figure(f"at {metres:g} m", medians[-1][1], "m")
        spread = float(np.std(values))
        found.check(
            spread <= SPREAD_M + 0.02 * metres,
            f"at {metres:g} m the readings spread by {100 * spread:.1f} cm, expected at most 3 cm",
        )
        found.check(
            len(set(values)) > 1 or len(values) < 8, f"at {metres:g} m all readings are the same to the last digit"
        )
    found.plot("Measured against asked", "asked, m", "measured, m",
               Series("exact", tuple((m, m) for m in asked)), Series("echoes", tuple(points), line=False))  # fmt: skip
    if len(medians) < len(asked):
        return
    # The offset found here comes on top of the one that was in force.
    offset = float(np.median([metres - measured for metres, measured in medians]))
    found.figure("offset", offset, "m")
    found.check(
        abs(offset) <= OFFSET_MOST_M, f"it measures {-100 * offset:+.1f} cm off, expected at most 10 cm: where is it?"
    )
    for metres, measured in medians:
        rest = measured + offset - metres
        found.check(
            abs(rest) <= max(0.025, 0.03 * metres),
            f"at {metres:g} m it measures {measured:.3f} m, which no offset explains",
        )
    found.calibrate("range", "offset_m", bench.config.range.offset_m + offset)


def _rate(bench: Bench) -> float:
    return bench.config.range.rate_hz


def light(bench: Bench, found: Found) -> None:
    """Both light sensors lit, then covered one by one."""
    lamp = "Shine a lamp on both light sensors from half a metre"
    scenes = {
        Hand.LIT: f"{lamp}; cover nothing.",
        Hand.COVER_LEFT: "Cover the LEFT sensor with your thumb, the right one stays lit.",
        Hand.COVER_RIGHT: "Now cover the RIGHT sensor only.",
        Hand.COVER_BOTH: "Cover BOTH sensors.",
    }
    seen: dict[Hand, tuple[float, float]] = {}
    points: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    for number, (hand, words) in enumerate(scenes.items()):
        bench.operator.set_up(Scene(hand, words))
        bench.wait(0.3)
        senses = list(bench.watch(1.0))
        both = [_lights(found, [getattr(s, f"light_{side}") for s in senses], side, words) for side in points]
        if any(value is None for value in both):
            return
        seen[hand] = (float(both[0] or 0.0), float(both[1] or 0.0))
        for side, value in zip(points, seen[hand], strict=True):
            points[side].append((number, value))
    bench.operator.set_up(Scene(Hand.UNCOVER, "Take your hands away.", wait=False))
    found.plot("Light in the four scenes", "lit, left covered, right covered, both covered", "0..1",
               *(Series(side, tuple(values)) for side, values in points.items()))  # fmt: skip
    lit, dark = seen[Hand.LIT], seen[Hand.COVER_BOTH]
    for index, side in enumerate(points):
        found.figure(f"{side} lit", lit[index])
        found.figure(f"{side} covered", dark[index])
        if not found.check(
            lit[index] - dark[index] >= LIGHT_STEP,
            f"{side}: lit {lit[index]:.2f}, covered {dark[index]:.2f}, expected {LIGHT_STEP:g} between them; check "
            "its wires and charge_time_limit_s",
        ):
            continue
        middle = 0.5 * (lit[index] + dark[index])
        own, other = (Hand.COVER_LEFT, Hand.COVER_RIGHT) if index == 0 else (Hand.COVER_RIGHT, Hand.COVER_LEFT)
        if seen[own][index] > middle and seen[other][index] < middle:
            found.check(False, f"{side}: it sees the other side's thumb; swap light.left and light.right")
        else:
            found.check(seen[own][index] < middle, f"{side}: covering it alone was not seen")
            found.check(seen[other][index] > middle, f"{side}: it darkens when the other one is covered")
    found.calibrate("light", "dark", min(1.0, max(0.0, float(np.mean(dark)))))
    found.calibrate("light", "bright", min(1.0, max(lit)))


def _lights(found: Found, readings: list[Reading], side: str, words: str) -> float | None:
    fresh = {reading.stamp: reading.value for reading in readings}
    values = [value for value in fresh.values() if value is not None and math.isfinite(value)]
    good = len(fresh) >= 5 and len(values) >= 0.8 * len(fresh)
    if not found.check(good, f"{side}: {len(values)} of {len(fresh)} samples came in 1 s ({words})"):
        return None
    return float(np.mean(values))


def no_camera(config: RobotConfig) -> str:
    """Why there is nothing to look with."""
    return "" if config.camera is not None else "robot.toml has no [camera]"


def camera(bench: Bench, found: Found) -> None:
    """Frames: how many, how regular, how old, how exposed."""
    config = bench.config.camera
    assert config is not None
    check, seconds = FrameCheck(config), 3.0
    ages: list[float] = []
    stamps: list[float] = []
    means: list[float] = []
    contrast: list[float] = []
    bench.wait(1.0)
    for senses in bench.watch(seconds):
        frame = senses.frame
        if frame is None or (stamps and frame.stamp <= stamps[-1]):
            continue
        check.usable(frame)
        stamps.append(frame.stamp)
        ages.append(senses.stamp - frame.stamp)
        grey = frame.image[::4, ::4].mean(axis=2)
        means.append(float(grey.mean()))
        contrast.append(float(grey.std()))
    rate = len(stamps) / seconds
    found.figure("rate", rate, "frames/s")
    if not found.check(
        rate >= 0.7 * config.fps,
        f"{len(stamps)} new frames came in {seconds:.0f} s, expected {config.fps * seconds:.0f}; check the ribbon, and "
        "camera.fps",
    ):
        return
    age, limit = float(np.percentile(ages, 99)), min(config.stale_s, 1 / config.fps + 0.3)
    found.figure("age", age, "s")
    found.figure("brightness", float(np.mean(means)), "of 255")
    found.figure("contrast", float(np.mean(contrast)), "of 255")
    gaps = [b - a for a, b in pairwise(stamps)]
    found.figure("longest gap", max(gaps), "s")
    found.check(age <= limit, f"frames are {age:.2f} s old when they come, expected at most {limit:.2f} s")
    found.check(not check.problem, check.problem)
    mean = float(np.mean(means))
    found.check(mean >= DARK_MEAN, f"pictures are too dark ({mean:.0f} of 255): lens covered, or no light")
    found.check(mean <= BRIGHT_MEAN, f"pictures are blown out ({mean:.0f} of 255): does it look into a lamp?")
    found.check(float(np.mean(contrast)) >= CONTRAST, "pictures show nothing but one grey: is the lens covered?")
    found.plot("Frames", "s", "brightness, of 255",
               Series("mean", tuple((t - stamps[0], m) for t, m in zip(stamps, means, strict=True))))  # fmt: skip


def detector(bench: Bench, found: Found) -> None:
    """A person in front is found, in the right direction, and not late."""
    config = bench.config.camera
    assert config is not None
    bench.operator.set_up(
        Scene(Hand.PERSON, f"Stand {PERSON_M:g} m in front of the camera, in the middle, all of you visible.", PERSON_M)
    )
    seen: list[tuple[float, float, float]] = []
    looked: list[float] = []
    perception = bench.perception(bench.config)
    check = FrameCheck(config)
    try:
        for senses in bench.watch(8.0):
            perception.offer(check.usable(senses.frame))
            result = perception.newest(senses.stamp)
            if result is None or (looked and result.stamp <= looked[-1]):
                continue
            looked.append(result.stamp)
            persons = [item for item in result.items if item.label == "person" and item.bearing is not None]
            if persons:
                best = max(persons, key=lambda item: item.score)
                seen.append((senses.stamp - result.stamp, best.score, best.bearing or 0.0))
            if len(looked) >= 20:
                break
        trouble = perception.trouble
    finally:
        perception.close()
    found.figure("pictures", len(looked))
    why = check.problem or trouble
    if not found.check(len(looked) >= 5, f"{len(looked)} pictures were looked at in 8 s{f': {why}' if why else ''}"):
        return
    share = len(seen) / len(looked)
    found.figure("found in", 100 * share, "%")
    if not found.check(share >= 0.5, f"a person was found in {100 * share:.0f} % of the pictures, expected 50 %"):
        return
    age = float(np.median([s[0] for s in seen]))
    bearing = float(np.median([s[2] for s in seen]))
    found.figure("score", float(np.median([s[1] for s in seen])))
    found.figure("bearing", math.degrees(bearing), "degrees to the left")
    found.figure("exposure to result", age, "s")
    found.check(
        abs(bearing) <= BEARING_MOST,
        f"the person is seen {math.degrees(bearing):+.0f} degrees to the left, expected 0: is the camera turned?",
    )


def passed_on(summary: Summary) -> None:
    """A loop ends on a signal by itself: the whole run shall end by it."""
    if summary.ended in (Ended.INTERRUPTED, Ended.TERMINATED):
        raise Interrupted(signal.Signals[summary.message])


class _Still:
    """Stands, and looks on."""

    name = "still"
    needs_camera = False

    def act(self, observation: Observation) -> Wheels:
        return Wheels(0.0, 0.0)

    def reset(self) -> None:
        """Nothing to forget."""


def loop(bench: Bench, found: Found) -> None:
    """The runtime's own loop with the wheels at rest: is it punctual?"""
    policy = _Still()
    late: list[tuple[float, float]] = []
    own = Loop(bench.body, policy, Guard.of(bench.config, policy), bench.clock)
    begin = bench.clock.now()
    summary = own.run(bench.loop_s, on_tick=lambda tick: late.append((tick.now - begin, 1e3 * (tick.now - tick.due))))
    passed_on(summary)
    stage = summary.stages["lateness"]
    found.figure("late p50", 1e3 * stage.p50_s, "ms")
    found.figure("late p99", 1e3 * stage.p99_s, "ms")
    found.figure("late max", 1e3 * stage.max_s, "ms")
    found.figure("overruns", summary.overruns)
    found.plot("Lateness of the loop", "s", "ms", Series("late", tuple(late[:: max(1, len(late) // 1500)]), line=False))
    lost = summary.overruns + summary.missed  # a long iteration counts once, and for each deadline that it cost
    found.check(
        lost <= max(1.0, LATE_SHARE * summary.ticks),
        f"{summary.overruns} of {summary.ticks} iterations took longer than their period, which cost {summary.missed} "
        "more: what else runs here?",
    )
    found.check(
        stage.p99_s <= 0.5 * own.period_s,
        f"one iteration of a hundred begins {1e3 * stage.p99_s:.1f} ms late, expected at most "
        f"{500 * own.period_s:.0f} ms",
    )
    failed = sum(count for reason, count in summary.reasons.items() if reason == "fault")
    found.check(not failed, f"{failed} iterations failed: {'; '.join(i.message for i in summary.incidents)[:200]}")

