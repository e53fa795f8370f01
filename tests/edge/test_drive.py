"""`edgebot drive`: keys and sticks move the robot while they are held, and at no other time."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from edge import cli
from edge.controls import FIRST_HOLD_S, REPEAT_HOLD_S, STALL_S, Gamepad, HoldToDrive, Keyboard, Wish, raw_terminal
from edge.errors import UsageError
from edge.sketch import Sketch
from edge.types import Observation
from robot.config import load
from robot.sim.rooms import make_room
from robot.sim.world import World
from robot.types import STOP, Reading, Senses, Twist

CONFIG = load()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def keys() -> Iterator[tuple[Keyboard, int]]:
    reading, writing = os.pipe()
    yield Keyboard(reading), writing
    for end in (reading, writing):
        with suppress(OSError):  # closed by the test
            os.close(end)


@pytest.mark.parametrize(
    ("key", "wish"),
    [
        (b"w", Wish(1, 0)), (b"W", Wish(1, 0)), (b"s", Wish(-1, 0)), (b"a", Wish(0, 1)), (b"d", Wish(0, -1)),
        (b"\x1b[A", Wish(1, 0)), (b"\x1b[B", Wish(-1, 0)), (b"\x1b[D", Wish(0, 1)), (b"\x1bOC", Wish(0, -1)),
        (b"x", Wish()), (b"\x1b[5", Wish()),
    ],
)  # fmt: skip
def test_each_key_asks_for_its_motion(keys: tuple[Keyboard, int], key: bytes, wish: Wish) -> None:
    keyboard, writing = keys
    os.write(writing, key)
    assert keyboard.wish(1.0) == wish


def test_a_tap_holds_for_a_bounded_time(keys: tuple[Keyboard, int]) -> None:
    keyboard, writing = keys
    os.write(writing, b"w")
    assert keyboard.wish(1.0) == Wish(1, 0)
    assert keyboard.wish(1.0 + FIRST_HOLD_S - 0.01) == Wish(1, 0)
    assert keyboard.wish(1.0 + FIRST_HOLD_S) == Wish()


def test_a_held_key_drives_on_and_stops_soon_after_it_is_let_go(keys: tuple[Keyboard, int]) -> None:
    keyboard, writing = keys
    os.write(writing, b"w")
    for step in range(20):  # the desktop's pause before it repeats
        assert keyboard.wish(0.02 * step) == Wish(1, 0)
    now = 0.4
    for _ in range(30):
        os.write(writing, b"w")
        assert keyboard.wish(now) == Wish(1, 0)
        now += 1 / 30
    last = now - 1 / 30
    assert keyboard.wish(last + REPEAT_HOLD_S - 0.01) == Wish(1, 0)
    assert keyboard.wish(last + REPEAT_HOLD_S) == Wish()


def test_keys_that_waited_while_the_program_was_suspended_drive_nothing_but_q_still_ends(
    keys: tuple[Keyboard, int],
) -> None:
    keyboard, writing = keys
    os.write(writing, b"w")
    assert keyboard.wish(0.0) == Wish(1, 0)
    os.write(writing, b"wwww")
    assert keyboard.wish(STALL_S + 0.01) == Wish()
    os.write(writing, b"w")
    assert keyboard.wish(STALL_S + 0.03) == Wish(1, 0)
    os.write(writing, b"q")
    assert keyboard.wish(9.0) == Wish() and keyboard.quit


def test_two_keys_drive_a_bow_and_space_stops_at_once(keys: tuple[Keyboard, int]) -> None:
    keyboard, writing = keys
    os.write(writing, b"wa")
    assert keyboard.wish(0.0) == Wish(1, 1)
    os.write(writing, b"s")
    assert keyboard.wish(0.1) == Wish(-1, 1)
    os.write(writing, b" ")
    assert keyboard.wish(0.2) == Wish()
    assert not keyboard.quit


def test_q_ends_and_so_does_a_terminal_that_is_gone(keys: tuple[Keyboard, int]) -> None:
    keyboard, writing = keys
    os.write(writing, b"wq")
    assert keyboard.wish(0.0) == Wish()
    assert keyboard.quit
    other = Keyboard(keyboard.descriptor)
    os.write(writing, b"w")
    os.close(writing)
    other.wish(0.0)
    assert other.quit
    assert other.wish(0.0) == Wish()


def test_an_arrow_that_comes_in_two_pieces_is_one_key(keys: tuple[Keyboard, int]) -> None:
    keyboard, writing = keys
    os.write(writing, b"\x1b[")
    assert keyboard.wish(0.0) == Wish()
    os.write(writing, b"A")
    assert keyboard.wish(0.02) == Wish(1, 0)


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack("<IhBB", 0, value, kind, number)


@pytest.fixture
def pad(tmp_path: Path) -> Iterator[tuple[Gamepad, int]]:
    os.mkfifo(tmp_path / "js0")
    gamepad = Gamepad(tmp_path / "js0")
    writing = os.open(tmp_path / "js0", os.O_WRONLY)
    yield gamepad, writing
    gamepad.close()
    gamepad.close()
    os.close(writing)


def test_a_stick_drives_as_far_as_it_is_pushed_and_stops_when_let_go(pad: tuple[Gamepad, int]) -> None:
    gamepad, writing = pad
    os.write(writing, event(0x82, 1, 0) + event(2, 1, -32767) + event(2, 0, 16384))
    assert gamepad.wish(0.0) == Wish(1.0, pytest.approx(-0.5, abs=0.001))
    assert gamepad.wish(60.0).forward == 1.0  # a stick that is held does not repeat
    os.write(writing, event(2, 1, 900) + event(2, 0, -300))
    assert gamepad.wish(60.1) == Wish()


def test_a_button_stops_until_the_stick_is_let_go_and_start_ends(pad: tuple[Gamepad, int]) -> None:
    gamepad, writing = pad
    os.write(writing, event(0x81, 0, 1))  # the state at opening is no press
    os.write(writing, event(2, 1, -20000))
    assert gamepad.wish(0.0).forward > 0.5
    os.write(writing, event(1, 0, 1) + event(1, 0, 0) + event(2, 1, -25000))
    assert gamepad.wish(0.1) == Wish()
    os.write(writing, event(2, 1, 0) + event(2, 1, -20000))
    assert gamepad.wish(0.2).forward > 0.5
    os.write(writing, event(1, 9, 1)[:3])
    assert not gamepad.quit
    os.write(writing, event(1, 9, 1)[3:])
    assert gamepad.wish(0.3) == Wish()
    assert gamepad.quit


def test_a_gamepad_that_is_not_there_is_told_in_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"gamepad /dev/input/js77 cannot be opened \(No such file or directory\)"):
        Gamepad("/dev/input/js77")


def test_the_first_of_the_controls_that_asks_for_anything_wins(pad: tuple[Gamepad, int]) -> None:
    gamepad, writing = pad
    reading, keyboard_end = os.pipe()
    policy = HoldToDrive(CONFIG, [gamepad, Keyboard(reading)], share=0.5)
    fresh = Reading(0.5, 0.0)
    observation = Observation(0.0, Senses(0.0, fresh, fresh, fresh), None, STOP)
    os.write(keyboard_end, b"d")
    assert policy.act(observation) == Twist(0.0, -0.5 * CONFIG.drive.max_omega_radps)
    os.write(writing, event(2, 1, -32767))
    assert policy.act(observation) == Twist(0.5 * CONFIG.drive.max_v_mps, 0.0)
    os.close(reading)
    os.close(keyboard_end)


class Terminal:
    """`edgebot drive` at the far end of a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.screen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "drive", "--sim", *arguments],
            cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "50"},
        )  # fmt: skip

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def watch(self, seconds: float, until: str | None = None) -> None:
        """Take what is shown for so long, or until a pattern is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                self.screen += os.read(self.master, 65536).decode(errors="replace")
            if until is not None and re.search(until, self.screen):
                return

    def end(self) -> int:
        """The exit code, with all that was still shown."""
        limit = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < limit:
            self.watch(0.2)
        while select.select([self.master], [], [], 0.2)[0]:
            self.screen += os.read(self.master, 65536).decode(errors="replace")
        assert self.process.poll() is not None, self.screen[-2000:]
        return self.process.returncode

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
        os.close(terminal.slave)


def commands(path: Path) -> list[tuple[float, dict[str, Any]]]:
    with path.open("rb") as file:
        return [
            (message.log_time * 1e-9, json.loads(message.data))
            for _, _, message in make_reader(file).iter_messages(topics=["/command"])
        ]


def test_holding_a_key_drives_letting_go_stops_and_q_gives_the_terminal_back(
    terminals: list[Terminal], tmp_path: Path
) -> None:
    path = tmp_path / "drive.mcap"
    terminals.append(terminal := Terminal("--seed", "1", "--record", str(path)))
    terminal.watch(60, r"hold W A S D")
    assert "#" in terminal.screen  # the map
    assert termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO) == 0
    for _ in range(30):
        terminal.type(b"a")
        terminal.watch(1 / 30)
    released = time.monotonic()
    terminal.watch(1.5)
    terminal.type(b"q")
    assert terminal.end() == 0, terminal.screen[-2000:]
    assert terminal.restored()
    assert "as asked" in terminal.screen

    found = commands(path)
    turning = [stamp for stamp, command in found if command["applied"]["right"] > 0]
    assert len(turning) > 25
    assert all(command["applied"]["left"] <= 0 for stamp, command in found)
    assert turning[-1] - released < FIRST_HOLD_S + 0.3
    assert found[-1][1]["applied"] == {"left": 0.0, "right": 0.0}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_terminal_is_given_back_after_a_signal(terminals: list[Terminal], number: int, code: int) -> None:
    terminals.append(terminal := Terminal())
    terminal.watch(60, r"hold W A S D")
    if number == signal.SIGINT:
        terminal.type(b"w")
    terminal.process.send_signal(number)
    assert terminal.end() == code, terminal.screen[-2000:]
    assert terminal.restored()
    assert "Traceback" not in terminal.screen


def test_the_guard_stays_in_force(terminals: list[Terminal], tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    terminals.append(terminal := Terminal("--seed", "1", "--speed", "1", "--record", str(path)))
    terminal.watch(60, r"hold W A S D")
    until = time.monotonic() + 25
    while time.monotonic() < until and not re.search(r"obstacle|no_echo", terminal.screen):
        terminal.type(b"w")
        terminal.watch(1 / 20)
    for _ in range(20):
        terminal.type(b"w")
        terminal.watch(1 / 20)
    terminal.type(b"q")
    assert terminal.end() == 0
    refused = [command for _, command in commands(path) if command["reason"] in ("obstacle", "no_echo")]
    assert refused
    assert refused[-1]["wanted"]["v_mps"] > refused[-1]["command"].get("v_mps", 0.0)


def test_without_a_terminal_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert cli.main(["drive", "--sim"]) == 2
        assert "needs a terminal" in capsys.readouterr().err
        with pytest.raises(UsageError, match="needs a terminal"), raw_terminal(nothing.fileno()):
            pass
    for arguments in (["--sim"], ["--record", "run.mcap"], ["--robot", "robot.toml"]):
        assert cli.main(["drive", "--to", "127.0.0.1:7245", *arguments]) == 2
        assert "--to drives a robot that runs elsewhere" in capsys.readouterr().err
    assert cli.main(["drive", "--to", "127.0.0.1:7245", "--token", "/nowhere/token"]) == 2
    assert "makes one on the other machine" in capsys.readouterr().err
    assert cli.main(["drive"]) == 2
    assert "--sim for a simulated one" in capsys.readouterr().err
    assert cli.main(["drive", "--sim", "--gamepad", "/dev/input/js77"]) == 2
    assert "js77 cannot be opened" in capsys.readouterr().err


def test_help_tells_of_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["drive", "--help"])
    told = capsys.readouterr().out
    assert f"{FIRST_HOLD_S} s after a tap" in told
    assert f"{REPEAT_HOLD_S} s after a" in told


def test_the_map_shows_walls_obstacles_lamp_and_the_robots_heading() -> None:
    room = make_room("light", "easy", 7)
    world = World(CONFIG, [room])
    sketch = Sketch(world, 50)
    lines = sketch.lines()
    text = "".join(lines)
    assert len({len(line) for line in lines}) == 1
    assert text.count("*") == 1
    share = text.count("#") * (room.size_m[0] / 48) * (room.size_m[1] / (len(lines) - 2))
    corners = room.obstacles
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    assert share == pytest.approx(float((sides[:, 0] * sides[:, 1]).sum()), rel=0.4)
    for yaw, arrow in ((0.0, "→"), (np.pi / 2, "↑"), (np.pi, "←"), (-np.pi / 2, "↓")):
        world.pose[2, 0] = yaw
        assert arrow in "".join(sketch.lines())
