"""`edgebot hil`: its reports, its refusals, its answers from a terminal, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from edge.cli import main
from edge.commands import hil as command
from edge.doctor.machine import Machine
from edge.hil.operator import Gone, Hand, Person, Safe, Saw, Scene
from edge.hil.plot import ticks
from edge.hil.report import Subject
from robot.config import EXAMPLE, load


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a robot.toml without a camera, to work in."""
    text = EXAMPLE.read_text()
    (tmp_path / "robot.toml").write_text(re.sub(r"\[camera\].*?\n\n", "", text, flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hil(*arguments):
    return main(["hil", *arguments])


def test_the_reports(place, capsys):
    some = ("--only", "range,light,camera,loop", "--loop", "1")
    assert hil("--sim", "--robot", "robot.toml", *some, "-o", "out", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"] and [case["status"] for case in said["cases"]] == ["passed", "passed", "skipped", "passed"]
    suite = ElementTree.parse("out/junit.xml").getroot()
    assert suite.get("tests") == "4" and suite.get("failures") == "0" and suite.get("skipped") == "1"
    page = (place / "out" / "report.html").read_text()
    assert page.count("<svg") == 3 and "http" not in page.replace("http-equiv", "") and "<script" not in page
    ElementTree.fromstring(re.search(r"<svg.*?</svg>", page, re.DOTALL)[0])
    assert json.loads((place / "out" / "results.json").read_text()) == said
    found = tomllib.loads((place / "out" / "calibration.toml").read_text())
    assert set(found) == {"robot", "measured", "range", "light"}


def test_a_calibration_is_taken_into_use_and_added_to(place):
    assert hil("--sim", "--robot", "robot.toml", "--only", "light", "-o", "one") == 0
    (place / "one" / "calibration.toml").rename(place / "calibration.toml")
    assert load("robot.toml").light.bright < 1.0
    assert hil("--sim", "--robot", "robot.toml", "--only", "range", "-o", "two") == 0
    found = tomllib.loads((place / "two" / "calibration.toml").read_text())
    assert found["light"]["bright"] == pytest.approx(load("robot.toml").light.bright) and "offset_m" in found["range"]


def test_what_was_simulated_says_so_and_is_not_advised(place, capsys):
    assert hil("--sim", "--robot", "robot.toml", "--only", "range", "-o", "out") == 0
    assert (place / "out" / "calibration.toml").read_text().startswith("# Simulated")
    said = capsys.readouterr().err
    assert "simulated robot" in said and "cp " not in said and "deploy" not in said


@pytest.mark.parametrize("deployed", [True, False])
def test_where_a_calibration_is_taken_into_use(place, capsys, monkeypatch, deployed):
    monkeypatch.setattr(command, "DEPLOYED", place if deployed else place / "nowhere")
    subject = Subject("example", "real", "guided", datetime.now(UTC), {})
    files = {name: place / "my out" / name for name in ("report.html", "calibration.toml")}
    command._tell(files, place / "robot's.toml", subject)
    said = capsys.readouterr().err
    if deployed:  # its service reads the release's robot.toml
        assert "cp " not in said and "on your laptop" in said and "./deploy.sh HOST --config-only" in said
    else:
        words = shlex.split(said.split("`")[1])
        assert words == ["cp", str(files["calibration.toml"]), str(place / "calibration.toml")]


@pytest.mark.parametrize("where", ["/proc/nope", "robot.toml"])
def test_reports_that_cannot_be_written_are_told_first(place, capsys, where):
    assert hil("--sim", "--robot", "robot.toml", "--only", "range", "-o", where) == 2
    said = capsys.readouterr().err
    assert f"'{where}' cannot be written" in said and said.count("\n") == 1  # no case was begun


@pytest.mark.parametrize("state", ["active", "activating"])
@pytest.mark.parametrize("kind", [("--only", "loop"), ("--loopback",)])
def test_a_robot_that_drives_by_itself_is_refused(place, capsys, monkeypatch, state, kind):
    monkeypatch.setattr(Machine, "run", lambda self, *words, limit_s=5.0: state if "edgebot.service" in words else None)
    assert hil("--robot", "robot.toml", *kind) == 2
    said = capsys.readouterr().err
    assert "sudo systemctl stop edgebot" in said and said.count("\n") == 1 and not (place / "hil").exists()


def test_a_broken_part_is_told_everywhere(place, capsys):
    code = hil("--sim", "--robot", "robot.toml", "--only", "light", "--fault", "light:swapped", "-o", "out")
    assert code == 1 and "swap light.left and light.right" in capsys.readouterr().err
    suite = ElementTree.parse("out/junit.xml").getroot()
    assert suite.get("failures") == "1" and "swap light.left" in suite.find(".//failure").get("message")
    assert "swap light.left" in (place / "out" / "report.html").read_text()
    assert not (place / "out" / "calibration.toml").exists()  # what failed is no measure


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--only", "mtors", "--sim"), "did you mean 'motors'"),
        (("--only", ",", "--sim"), "names no case"),
        (("--fault", "range:stuck"), "add --sim"),
        (("--robot", "nowhere.toml"), "nowhere.toml"),
        (("--robot", "robot.toml"), "no terminal"),
        (("--robot", "robot.toml", "--assume-safe"), "no terminal"),
        (("--loop", "0"), "from 1 to 3600"),
    ],
)
def test_mistakes_are_one_sentence(place, capsys, monkeypatch, arguments, why):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert hil(*arguments) == 2
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1
    assert not (place / "hil").exists()


def test_the_list(capsys):
    assert hil("--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:2] == ["stop", "motors"]


def test_ctrl_c_leaves_a_report_and_the_wheels_at_zero(place):
    command = [sys.executable, "-m", "edge.cli", "hil", "--sim", "--robot", "robot.toml", "--loop", "3600", "-o", "out"]
    process = subprocess.Popen([*command, "--only", "range,loop,light"], stderr=subprocess.PIPE, text=True)
    while "sonar" not in process.stderr.readline():  # the case before the long one
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the wheels are at zero" in said
    statuses = [case["status"] for case in json.loads((place / "out" / "results.json").read_text())["cases"]]
    assert statuses[0] == "passed" and statuses[-1] == "not run"


# Somebody at a terminal.


class Terminal:
    def __init__(self, monkeypatch, text):
        reader, writer = os.pipe()
        self.writer = os.fdopen(writer, "w")
        monkeypatch.setattr(sys, "stdin", os.fdopen(reader, buffering=1))
        self.type(text)

    def type(self, text):
        self.writer.write(text)
        self.writer.flush()


def test_a_person_answers(monkeypatch, capsys):
    terminal = Terminal(monkeypatch, "maybe\n\nye\nno\nleft\nb\nboth\nforw\nnone\nmany\n7,5\n\n")
    person = Person()
    assert person.confirm(Safe.WHEELS_UP) is True  # after two answers that are none
    assert person.confirm(Safe.FLOOR) is False
    assert [person.saw() for _ in range(3)] == [Saw(-1, 0), Saw(1, 1), Saw(0, 0)]
    assert person.turns("left") == 7.5
    person.set_up(Scene(Hand.TARGET, "Put a book there."))
    said = capsys.readouterr().err
    assert "OFF THE GROUND" in said and "'maybe' is none of yes, no" in said and "Put a book there." in said
    terminal.writer.close()
    with pytest.raises(Gone):
        person.confirm(Safe.FLOOR)


def test_keys_from_before_do_not_count_as_seen(monkeypatch):
    terminal = Terminal(monkeypatch, "\n\n\n")
    person = Person()
    person.attend("Look at the left wheel.")
    assert not person.turning("left")
    terminal.type("\n")
    assert person.turning("left") and not person.turning("left")


def test_what_was_assumed_is_not_asked(capsys):
    assert Person(assume_safe=True).confirm(Safe.WHEELS_UP)
    assert "--assume-safe" in capsys.readouterr().err


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.9), (-3e-3, 4e-3), (5, 5), (0, 12345)])
def test_ticks_are_round_and_cover(low, high):
    found = ticks(low, high)
    assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9 and 2 <= len(found) <= 9 and found == sorted(found)
