"""`edgebot motors`, against the real process on mock pins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edge.cli import main
from robot.config import EXAMPLE, load
from robot.motord.child import ChildPort
from robot.motord.config import of_robot, parse
from robot.types import STOP, Wheels

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def socket(tmp_path, monkeypatch):
    """A running one's socket, named by the environment."""
    (tmp_path / "m.json").write_text(of_robot(load()).text())
    path = tmp_path / "m.sock"
    monkeypatch.setenv("EDGEBOT_MOTORD", str(path))
    command = [sys.executable, "-m", "robot.motord", "--config", "m.json", "--pins", "mock", "--mock-switch", "pressed"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    yield path
    process.kill()
    process.wait()


def status(capsys):
    main(["motors", "status", "--json"])
    return json.loads(capsys.readouterr().out)


def test_status_stop_acknowledge(socket, capsys):
    assert main(["motors", "status"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "" and "at zero since the start" in shown.err and "mock pins: no wheel turns" in shown.err
    assert main(["motors", "stop"]) == 0
    assert main(["motors", "status"]) == 1 and "edgebot motors acknowledge" in capsys.readouterr().err
    assert main(["motors", "acknowledge"]) == 0
    capsys.readouterr()
    found = status(capsys)
    assert found["emergency_stop"] is False and found["switch"] == "released" and found["flags"]
    assert found["applied"] == {"left": 0.0, "right": 0.0} and found["age_s"] is None and found["driver"] is None


def test_a_pressed_switch_cannot_be_acknowledged(socket, capsys):
    (socket.parent / "pressed").touch()
    until = time.monotonic() + 30
    while not status(capsys)["emergency_stop"]:
        assert time.monotonic() < until
    assert main(["motors", "acknowledge"]) == 2
    assert "still pressed" in capsys.readouterr().err
    assert status(capsys)["cause"] == "emergency_stop"


def test_a_run_that_brought_its_own_process_is_found(tmp_path, monkeypatch, capsys, request):
    """Without a service its latch must be acknowledged too."""
    short = tempfile.TemporaryDirectory(dir="/tmp")  # a socket's path has at most 107 bytes
    request.addfinalizer(short.cleanup)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", short.name)
    monkeypatch.delenv("EDGEBOT_MOTORD", raising=False)
    ports = [ChildPort(of_robot(load()), ("--pins", "mock"))]
    try:
        assert main(["motors", "stop"]) == 0
        assert ports[0].apply(Wheels(0.5, 0.5), time.monotonic() + 0.2) == STOP
        assert main(["motors", "acknowledge"]) == 0
        assert ports[0].apply(Wheels(0.5, 0.5), time.monotonic() + 0.2) == Wheels(0.5, 0.5)
        ports.append(ChildPort(of_robot(load()), ("--pins", "mock")))
        capsys.readouterr()
        assert main(["motors", "status"]) == 2 and "name one: --socket" in capsys.readouterr().err
    finally:
        for port in ports:
            port.close()


def test_config_is_what_the_process_reads(tmp_path, capsys):
    assert main(["motors", "config", "--robot", str(EXAMPLE)]) == 0
    assert parse(capsys.readouterr().out) == of_robot(load())
    assert main(["motors", "config", "--robot", str(EXAMPLE), "-o", str(tmp_path / "deep" / "m.json")]) == 0
    assert parse((tmp_path / "deep" / "m.json").read_text()) == of_robot(load())


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["status", "--socket", "/nowhere/m.sock"], "does not run .*start it with"),
        (["config"], "say which robot"),
        (["config", "--robot", "nowhere.toml"], "cannot be read"),
        (["status", "--robot", "x.toml"], "are for `edgebot motors config`"),
        (["go"], "invalid choice"),
        ([], "required"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, sentence):
    assert main(["motors", *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error) and error.count("\n") == 1
