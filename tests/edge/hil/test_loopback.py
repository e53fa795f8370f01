"""The electrical cases on mock pins with real processes: they pass, and each fails when a jumper or a part is off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.cli import main
from edge.hil import loopback
from edge.hil.cases import chosen
from edge.hil.electrical import Electrical
from edge.hil.found import Status
from edge.hil.jumpers import jumpers
from edge.hil.loopback import LOOPBACK
from edge.hil.mock_jumpers import mock
from edge.hil.runner import Run, Silent
from robot.config import Bumpers, load
from robot.errors import RobotError

pytestmark = pytest.mark.slow  # real processes and real time
ROOT = Path(__file__).resolve().parents[3]
CONFIG = load()
SLACK_S = 0.3  # a busy machine's
LEFT, RIGHT = CONFIG.drive.left, CONFIG.drive.right


def run(folder, only, config=CONFIG, **more):
    bench = mock(jumpers(config), folder, slack_s=SLACK_S, **more)
    done = Run(chosen(LOOPBACK, only), bench, None, Silent())
    done.go()
    bench.close()
    return done


def test_all_pass(tmp_path):
    done = run(tmp_path, None)
    bad = [(o.case.name, o.words) for o in done.outcomes if o.status is not Status.PASSED]
    assert [name for name, _ in bad] == ["watchdog"] and "no service" in bad[0][1]
    figures = {figure.name: figure.value for outcome in done.outcomes for figure in outcome.found.figures}
    assert figures["held low"] == 6 and figures["largest error"] < 0.04
    assert abs(figures["bias"]) < 10 and 190 < figures["left pulses"] < 210
    assert 150 < figures["runtime suspended to zero"] < 200 + 1e3 * SLACK_S + 50
    # Under pytest's own threads a sample, an echo and an iteration: more than nothing, less than a second.
    assert 0 < figures["obstacle to zero"] < 500 and 0 < figures["no echo to zero"] < 500


def test_direction_pins_with_pulses_and_brakes(tmp_path):
    left, right = (motor.model_copy(update={"enable_pin": None}) for motor in (LEFT, RIGHT))
    drive = CONFIG.drive.model_copy(update={"left": left, "right": right, "stop": "brake"})
    light = CONFIG.light.model_copy(update={"kind": "mcp3008", "left": 0, "right": 1})
    done = run(tmp_path, "jumpers,duty,switch", CONFIG.model_copy(update={"drive": drive, "light": light}))
    assert [o.words for o in done.outcomes if o.status is not Status.PASSED] == []


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("boot", LEFT.forward_pin),
        ("jumpers", RIGHT.enable_pin),
        ("duty", RIGHT.forward_pin),
        ("duty", LEFT.enable_pin),
        ("echo", CONFIG.range.trigger_pin),
        ("echo", "echo"),
        ("blocked", "echo"),
        ("switch", "switch"),
        ("switch", LEFT.enable_pin),
        ("killed", RIGHT.enable_pin),
        ("suspended", RIGHT.enable_pin),
        ("motord", RIGHT.enable_pin),
    ],
)
def test_a_jumper_that_is_off_fails_its_case(tmp_path, name, off):
    plan = jumpers(CONFIG)
    pin = getattr(plan, off) if isinstance(off, str) else off
    (outcome,) = run(tmp_path, name, off={pin}).outcomes
    assert outcome.status is Status.FAILED and outcome.found.failures, outcome.words


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("print('lost')", "could not drive"),
        ("import os, time; print(os.getpid(), flush=True); time.sleep(9)", "may not signal process"),
    ],
)
def test_harm_that_could_not_be_done_is_not_passed_over(tmp_path, monkeypatch, program, why):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(Electrical, "victim", lambda self, wheels: [sys.executable, "-c", program])
    monkeypatch.setattr(loopback, "os", SimpleNamespace(kill=refuse))
    done = run(tmp_path, "killed,suspended")
    assert [o.status for o in done.outcomes] == [Status.NOT_RUN] * 2 and not done.passed
    assert all(why in o.words for o in done.outcomes)


@pytest.mark.parametrize("works", [True, False])
def test_the_service_managers_watchdog(tmp_path, works):
    (outcome,) = run(tmp_path, "watchdog", watchdog=works).outcomes
    assert outcome.status is (Status.PASSED if works else Status.FAILED), outcome.words
    assert works or "still driven" in outcome.words or "until the pins were at zero" in outcome.words


def test_a_pin_that_the_firmware_leaves_open_fails(tmp_path):
    (outcome,) = run(tmp_path, "boot", high=LEFT.forward_pin).outcomes
    assert outcome.found.failures and "drive.left.forward_pin is not held low" in outcome.words


def test_swapped_jumpers_are_told(tmp_path):
    plan = jumpers(CONFIG)
    bench = mock(plan, tmp_path, slack_s=SLACK_S)
    bench.meters["left.forward_pin"], bench.meters["left.backward_pin"] = (
        bench.meters["left.backward_pin"], bench.meters["left.forward_pin"],
    )  # fmt: skip
    done = Run(chosen(LOOPBACK, "jumpers,duty"), bench, None, Silent())
    done.go()
    bench.close()
    assert [o.status for o in done.outcomes] == [Status.FAILED, Status.NOT_RUN]
    assert f"GPIO {plan.meters['left.backward_pin']}" in done.outcomes[0].words


def test_too_few_spare_pins_are_one_sentence():
    crowded = CONFIG.model_copy(update={"bumpers": Bumpers(left_pin=16, right_pin=19)})
    plan = jumpers(crowded)
    used = [*plan.meters.values(), plan.trigger, plan.echo, plan.switch, *crowded.pins().values()]
    assert len(set(used)) == len(used)
    from edge.hil import jumpers as module

    before = module.ORDER
    try:
        module.ORDER = before[:12]
        with pytest.raises(RobotError, match="spare pins"):
            jumpers(crowded)
    finally:
        module.ORDER = before


def test_the_command_needs_no_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["hil", "--loopback", "--sim", "--only", "boot,switch", "-o", "out"]) == 0
    said = capsys.readouterr().err
    assert "emergency stop to zero" in said and (tmp_path / "out" / "junit.xml").exists()
    assert "the jumpers are where they belong" in said  # before anything is driven


def test_pytest_is_a_way_in():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/hil", "--hil", "-k", "d-light"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"EDGEBOT_ROBOT": "sim", "CI": ""}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
