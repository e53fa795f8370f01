"""The guided cases against the simulated body: all pass on a whole robot, and each fails when its part is broken."""

from __future__ import annotations

import time

import pytest

from edge.hil.bench import Bench
from edge.hil.cases import GUIDED, chosen
from edge.hil.found import Status
from edge.hil.guided import simulated_bench
from edge.hil.player import ROOM, Player
from edge.hil.runner import Run, Silent, armed
from robot.clock import WallClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.faults import Fault
from robot.types import STOP, Wheels

CONFIG = load()
BLIND = CONFIG.model_copy(update={"camera": None})  # pictures that no case looks at need not be drawn
SMALL = CONFIG.model_copy(update={"camera": CONFIG.camera.model_copy(update={"width_px": 320, "height_px": 240})})
LOOKING = ("camera", "detector")


def run(name, *faults, config=None, player=None, backend="sim", **more):
    """The case alone on a simulated bench; its outcome."""
    config = config or (SMALL if name in LOOKING else BLIND)
    bench = simulated_bench(config, faults, seed=1, loop_s=0.5, backend=backend)
    if player is not None:
        bench.operator = player
        player.bench = bench
    done = Run(chosen(GUIDED, name), bench, bench.operator, Silent())
    done.go()
    bench.close()
    (outcome,) = done.outcomes
    return outcome


@pytest.fixture(scope="module")
def whole():
    """Every case on a whole robot."""
    bench = simulated_bench(SMALL, seed=1, loop_s=0.5)
    done = Run(GUIDED, bench, bench.operator, Silent())
    done.go()
    bench.close()
    return done, bench


def test_a_whole_robot_passes(whole):
    done, bench = whole
    assert [(o.case.name, o.words) for o in done.outcomes if o.status is not Status.PASSED] == []
    asked = bench.operator.log
    assert asked.index("press") < asked.index("WHEELS_UP") < asked.index("target") < asked.index("FLOOR")


def test_what_it_measures_is_what_the_robot_is_like(whole):
    done, _ = whole
    found = done.calibration()
    drive = CONFIG.drive
    assert found["drive"]["dead_band_duty"] == pytest.approx(drive.dead_band_duty, abs=0.03)
    assert found["drive"]["top_speed_mps"] == pytest.approx(drive.top_speed_mps, rel=0.06)
    assert found["drive"]["braking_mps2"] == pytest.approx(drive.braking_mps2, rel=0.5)
    assert abs(found["range"]["offset_m"]) < 0.01
    assert found["light"]["dark"] < 0.02 and found["light"]["bright"] > 0.6
    for plot in ("Measured against asked", "Frames", "Range before the wall; 0 s is the stop"):
        assert any(plot == p.title and any(s.points for s in p.series) for o in done.outcomes for p in o.found.plots)


def test_a_weaker_motor_is_measured_as_such():
    drive = CONFIG.drive.model_copy(update={"gain_left": 1.08, "gain_right": 0.95})
    found = run("gain", config=BLIND.model_copy(update={"drive": drive})).found.calibration["drive"]
    assert found["gain_left"] / found["gain_right"] == pytest.approx(1.08 / 0.95, abs=0.06)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("stop", Fault("emergency_stop", "value", value=0.0)),
        ("stop", Fault("emergency_stop", "value", value=1.0)),
        ("stop", Fault("emergency_stop", "disconnect")),
        ("stop", Fault("emergency_stop", "stuck")),
        ("motors", Fault("motors", "swapped")),
        ("motors", Fault("motor_left", "reversed")),
        ("motors", Fault("motor_right", "dead")),
        ("deadband", Fault("motor_left", "dead")),
        ("deadband", Fault("motor_right", "weak", value=0.2)),
        ("gain", Fault("motor_left", "weak", value=0.6)),
        ("gain", Fault("motor_right", "dead")),
        ("range", Fault("range", "stuck")),
        ("range", Fault("range", "stuck", start_s=1.0)),
        ("range", Fault("range", "value", value=0.5)),
        ("range", Fault("range", "disconnect")),
        ("range", Fault("range", "nan")),
        ("range", Fault("range", "dropout", probability=0.5)),
        ("light", Fault("light", "swapped")),
        ("light", Fault("light", "stuck")),
        ("light", Fault("light_left", "stuck", start_s=1.0)),
        ("light", Fault("light_right", "value", value=0.0)),
        ("light", Fault("light_left", "disconnect")),
        ("camera", Fault("camera", "value", value=0.0)),
        ("camera", Fault("camera", "value", value=255.0)),
        ("camera", Fault("camera", "stuck")),
        ("camera", Fault("camera", "stuck", start_s=2.0)),
        ("camera", Fault("camera", "disconnect")),
        ("camera", Fault("camera", "delay", value=0.7)),
        ("camera", Fault("camera", "size")),
        ("detector", Fault("camera", "value", value=0.0)),
        ("detector", Fault("camera", "disconnect")),
        ("rolling", Fault("motors", "stuck", start_s=2.5)),
        ("rolling", Fault("motors", "dead")),
        ("rolling", Fault("motors", "reversed")),
        ("rolling", Fault("range", "stuck", start_s=1.0)),
        ("rolling", Fault("range", "disconnect", start_s=2.5)),
    ],
    ids=lambda of: of if isinstance(of, str) else f"{of.part}:{of.kind}:{of.start_s:g}:{of.value:g}",
)
def test_a_broken_part_fails_its_case(name, fault):
    outcome = run(name, fault)
    assert outcome.status is Status.FAILED and outcome.found.failures
    assert all(len(sentence) < 250 and "\n" not in sentence for sentence in outcome.found.failures)
    assert outcome.words


@pytest.mark.parametrize("name", ["motors", "deadband", "gain", "rolling"])
def test_motors_that_do_not_obey_fail_their_cases(monkeypatch, name):
    monkeypatch.setattr(SimBody, "drive", lambda self, wheels, now=None: STOP)
    outcome = run(name)
    assert outcome.status is Status.FAILED and "do not obey" in outcome.words


def test_nobody_in_front_of_the_camera_is_noticed():
    class Nobody(Player):
        def set_up(self, scene):
            self._put(3.0, 3.0, 0.0)  # turned away from the person

    assert run("detector", player=Nobody()).status is Status.FAILED


def test_a_busy_machine_fails_the_loops_case():
    def slow_to_sense(seconds):
        clock, player = WallClock(), Player()
        body = SimBody(BLIND, ROOM, clock, camera=False)
        quick = body.sense

        def sense():
            time.sleep(seconds)
            return quick()

        body.sense = sense
        bench = Bench(BLIND, clock, player, lambda config: body, lambda config: None, loop_s=0.6)
        done = Run(chosen(GUIDED, "loop"), bench, player, Silent())
        done.go()
        bench.close()
        return done.outcomes[0]

    outcome = slow_to_sense(0.03)
    assert outcome.status is Status.FAILED and "longer than their period" in outcome.words


@pytest.mark.parametrize("name", ["motors", "range", "light", "stop"])
def test_the_pis_own_drivers_pass_on_virtual_pins(name):
    assert run(name, backend="pins").status is Status.PASSED


def test_no_camera_is_no_failure():
    outcome = run("camera", config=BLIND)
    assert outcome.status is Status.SKIPPED and "[camera]" in outcome.sentence


# Safety.


def applied(bench):
    return bench.body.motors().applied


class Counting(Silent):
    def __init__(self):
        self.begun = []

    def begin(self, case):
        self.begun.append(case.name)


def test_without_a_yes_no_wheel_turns():
    bench = simulated_bench(BLIND, seed=1)
    player = Player(hears=False)
    bench.operator, player.bench = player, bench
    done = Run(chosen(GUIDED, "motors,gain,rolling"), bench, player, Silent())
    done.go()
    assert [o.status for o in done.outcomes] == [Status.NOT_RUN] * 3 and not done.passed
    assert player.log == ["WHEELS_UP"] and bench._body is None


def test_what_moves_brings_the_emergency_stops_case():
    assert [c.name for c in armed(chosen(GUIDED, "gain"), GUIDED)] == ["stop", "gain"]
    assert [c.name for c in armed(chosen(GUIDED, "range"), GUIDED)] == ["range"]


def test_where_the_emergency_stop_fails_no_wheel_turns():
    bench = simulated_bench(BLIND, [Fault("emergency_stop", "value", value=0.0)], seed=1)
    done = Run(armed(chosen(GUIDED, "motors"), GUIDED), bench, bench.operator, Silent())
    done.go()
    assert [o.status for o in done.outcomes] == [Status.FAILED, Status.NOT_RUN]
    assert bench.body.motors().commands == 0


@pytest.mark.parametrize("how", ["pressed", "unread"])
def test_the_emergency_stop_is_armed_while_wheels_turn(how):
    faults = [Fault("emergency_stop", "disconnect", start_s=0.6)] if how == "unread" else []
    bench = simulated_bench(BLIND, faults, seed=1)

    class Pressing(Player):
        def attend(self, words):
            super().attend(words)
            if how == "pressed":
                self.bench.body.press_emergency_stop()

    player = Pressing()
    bench.operator, player.bench = player, bench
    done = Run(chosen(GUIDED, "motors,gain"), bench, player, Silent())
    done.go()
    assert [o.status for o in done.outcomes] == [Status.NOT_RUN] * 2 and "emergency stop" in done.outcomes[0].sentence
    assert applied(bench) == STOP
    bench.wait(0.5)
    assert abs(bench.body.world.wheel_speed).max() < 1e-3


def test_a_robot_without_a_switch_asks_for_a_hand_at_the_supply():
    bench = simulated_bench(BLIND.model_copy(update={"emergency_stop": None}), seed=1)
    done = Run(chosen(GUIDED, "stop,motors"), bench, bench.operator, Silent())
    done.go()
    assert [o.status for o in done.outcomes] == [Status.SKIPPED, Status.PASSED]
    assert bench.operator.log[:2] == ["WHEELS_UP", "NO_SWITCH"]


def test_motions_are_slow_and_short():
    bench = simulated_bench(BLIND)
    for wheels, seconds in ((Wheels(0.7, 0), 1.0), (Wheels(0.1, float("nan")), 1.0), (Wheels(0.1, 0.1), 60.0)):
        with pytest.raises(ValueError, match="slow and short"):
            bench.hold(wheels, seconds)
    for senses in bench.hold(Wheels(0.3, 0.3), 1.0):
        assert senses.emergency_stop.value == 0.0
        break  # whoever leaves early leaves the wheels at zero
    assert applied(bench) == STOP
