"""The units: what safety asks of them, systemd's own opinion, and a runtime that answers as they expect."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli import main as cli
from edge.errors import UsageError
from edge.units.render import FIRMWARE, MOTORD_JSON, UNITS, WATCHDOG, Place, render
from robot.config import load
from robot.motord.config import of_robot, parse

PLACE = Place(robot="/home/pi/robot.toml", bin="/home/pi/.venv/bin", user="pi")


def settings(text: str) -> dict[str, list[str]]:
    """A unit's settings, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return render(load(), PLACE)


def test_both_units_restart_for_ever_and_tell_when_they_live(files: dict[str, str]) -> None:
    for name in UNITS:
        unit = settings(files[name])
        assert unit["Type"] == ["notify"] and unit["Restart"] == ["always"] and unit["StartLimitIntervalSec"] == ["0"]
        assert unit["ProtectSystem"] == ["strict"] and unit["NoNewPrivileges"] == ["yes"]
        assert unit["DevicePolicy"] == ["closed"] and "char-gpiochip rw" in unit["DeviceAllow"]
        assert "GPIOZERO_PIN_FACTORY=lgpio" in unit["Environment"][0].split()
        folder = unit["RuntimeDirectory"][0]
        assert unit["WorkingDirectory"] == [f"%t/{folder}"]
        assert unit["User"] == ["pi"] and unit["CapabilityBoundingSet"] == [""]
        assert unit["LimitMEMLOCK"] == ["infinity"] and "RestrictRealtime" not in unit
        assert "@" not in re.sub(r"SystemCallFilter=.*", "", files[name]), "a word that was not filled in"


def test_motord_is_killed_when_it_hangs_and_its_pins_go_low(files: dict[str, str]) -> None:
    unit = settings(files["edgebot-motord.service"])
    assert unit["WatchdogSec"] == ["1"] and unit["WatchdogSignal"] == ["SIGKILL"]
    registers, kernel = unit["ExecStopPost"]
    assert registers == "-/usr/bin/pinctrl set 17,27,12,23,24,13 op dl"
    assert kernel == "-/home/pi/.venv/bin/edgebot-motord --pins-low --config /etc/edgebot/motord.json"
    assert unit["ExecStart"] == ["/home/pi/.venv/bin/edgebot-motord --config /etc/edgebot/motord.json"]
    assert unit["RuntimeDirectoryPreserve"] == ["yes"] and unit["StateDirectory"] == ["edgebot-motord"]
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"]


def test_the_runtime_has_time_to_close_its_recording(files: dict[str, str]) -> None:
    unit = settings(files["edgebot.service"])
    assert int(unit["TimeoutStopSec"][0]) >= 20 and unit["KillMode"] == ["mixed"]
    assert unit["After"] == ["edgebot-motord.service"] and unit["Wants"] == ["edgebot-motord.service"]
    assert unit["ExecStart"] == [
        "/home/pi/.venv/bin/edgebot run --robot /home/pi/robot.toml --policy light "
        "--record %S/edgebot/recordings --keep-mb 2000"
    ]


def test_the_loop_may_ask_to_be_woken_soon_and_drives_where_it_may_not(files: dict[str, str]) -> None:
    unit = settings(files["edgebot.service"])
    assert "/dev/cpu_dma_latency rw" in unit["DeviceAllow"]
    (before,) = unit["ExecStartPre"]
    assert before == "-+/bin/chown pi /dev/cpu_dma_latency", "as root, and no matter how it ends"
    assert "ExecStartPre" not in settings(files["edgebot-motord.service"])


def test_what_else_is_written(files: dict[str, str]) -> None:
    assert parse(files[MOTORD_JSON]) == of_robot(load())
    assert "dtparam=strict_gpiod\ngpio=12,13,17,23,24,27=op,dl\n" in files[FIRMWARE]
    seconds = int(settings(files[WATCHDOG])["RuntimeWatchdogSec"][0])
    assert 0 < seconds <= 15, "what a Pi's watchdog can do"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user": "root"}, "--user is 'root'"),
        ({"user": "pi; reboot"}, "no user's name"),
        ({"bin": ".venv/bin"}, "whole path"),
        ({"robot": "/home/pi/my robot.toml"}, "a unit cannot hold"),
        ({"policy": "$(reboot)"}, "a unit cannot hold"),
        ({"policy": "runs/light.tflite"}, "whole path"),
        ({"arguments": ("--camera\nExecStartPre=/bin/false",)}, "a unit cannot hold"),
        ({"etc": "/etc/%i"}, "a unit cannot hold"),
    ],
)
def test_words_that_a_unit_would_read_otherwise_are_refused(change: dict[str, object], sentence: str) -> None:
    values = {name: getattr(PLACE, name) for name in Place.__dataclass_fields__} | change
    with pytest.raises(UsageError, match=re.escape(sentence)):
        render(load(), Place(**values))  # type: ignore[arg-type]


def test_a_robots_name_cannot_break_a_unit() -> None:
    config = load().model_copy(update={"name": "r\n[Service]\nUser=root %h"})
    text = render(config, PLACE)["edgebot.service"]
    assert settings(text)["User"] == ["pi"] and "%h" not in text


@pytest.fixture
def analyse(tmp_path: Path) -> Path:
    """A folder of units whose commands exist; skips where systemd-analyze does not."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("edgebot", "edgebot-motord"):
        (commands / name).write_text("#!/bin/sh\n")
        (commands / name).chmod(0o755)
    texts = render(load(), Place(robot="/home/pi/robot.toml", bin=str(commands), user="pi"))
    for name in UNITS:
        (tmp_path / name).write_text(texts[name])
    return tmp_path


def test_systemd_reads_the_units_without_complaint(analyse: Path) -> None:
    command = ["systemd-analyze", "verify", *(str(analyse / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if str(analyse) in line or "edgebot" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
    unit = analyse / UNITS[0]
    unit.write_text(unit.read_text().replace("WatchdogSec=1", "WatchdogSecs=1"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "WatchdogSecs" in again.stderr, "a mistake would have been seen"


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_the_units_closed_enough(analyse: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(analyse / name)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= 4.0, said


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(load.__code__.co_filename).parent / "example.toml"
    common = ["units", "--robot", str(example), "--user", "pi", "--bin", "/opt/edgebot/bin"]
    assert cli([*common, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {*UNITS, WATCHDOG, MOTORD_JSON, FIRMWARE}
    assert cli([*common, "--no-record", "--policy", "person", "-o", str(tmp_path), "--", "--camera"]) == 0
    text = (tmp_path / "edgebot.service").read_text()
    assert f"ExecStart=/opt/edgebot/bin/edgebot run --robot {example} --policy person --camera\n" in text
    assert cli([*common, "--policy", "a b"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("edgebot: --policy is 'a b'")


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.environment = os.environ | {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        self.environment.pop("WATCHDOG_PID", None)

    def hear(self, seconds: float) -> list[str]:
        """Everything that comes within so many seconds."""
        lines: list[str] = []
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.socket.settimeout(rest)
            try:
                lines += self.socket.recv(4096).decode().splitlines()
            except TimeoutError:
                break
        return lines

    def wait_for(self, word: str, seconds: float = 60.0) -> list[str]:
        """What came up to and with the first line that begins with `word`."""
        lines: list[str] = []
        until = time.monotonic() + seconds
        while not any(line.startswith(word) for line in lines):
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            lines += self.socket.recv(4096).decode().splitlines()
        return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path / "notify")
    yield found
    found.socket.close()


def test_the_runtime_feeds_the_watchdog_while_it_drives_and_only_then(manager: Manager) -> None:
    command = [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "light", "--realtime", "--duration", "600"]
    process = subprocess.Popen(command, env=manager.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = manager.wait_for("READY=1")
        assert first[0] == "READY=1", "nothing before it is ready"
        assert any(line.startswith("STATUS=") for line in manager.wait_for("STATUS="))
        manager.wait_for("WATCHDOG=1")
        assert manager.hear(2.0).count("WATCHDOG=1") >= 2
        process.send_signal(signal.SIGSTOP)
        manager.hear(0.3)
        assert manager.hear(1.0) == [], "it hangs, and says that it lives"
        process.send_signal(signal.SIGCONT)
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.wait()


HANGS = """
import sys, time
from pathlib import Path
from edge.policies import make
from edge.session import Settings, open_session
from robot.config import load
from robot.sim.rooms import make_room

config = load()
policy = make("light", config)
act, steps = policy.act, 0
def hang(observation):
    global steps
    steps += 1
    if steps == 25:
        time.sleep(600)  # other threads go on
    return act(observation)
policy.act = hang
settings = Settings(room=make_room("light", "easy", 1), realtime=True, record=Path(sys.argv[1]))
with open_session(config, policy, settings) as session:
    session.run(600)
"""


def test_a_hung_loop_beside_living_threads_does_not_feed_the_watchdog(manager: Manager, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGS, str(tmp_path / "run.mcap")], env=manager.environment)
    try:
        manager.wait_for("READY=1")
        manager.hear(3.0)  # 25 iterations, on a busy machine too
        assert manager.hear(1.5) == []
    finally:
        process.kill()
        process.wait()
