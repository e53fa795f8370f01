"""Driving by hand: a keyboard in a terminal, or a gamepad; hold to drive, let go to stop.

A terminal tells of keys pressed, never of keys let go: while a key is held it repeats, after a first pause that
the desktop sets (a quarter to two thirds of a second), then some thirty times a second. So a first press counts for
`FIRST_HOLD_S` and each repetition for `REPEAT_HOLD_S`: the robot stops at most that long after the key is let go. A
gamepad tells of every change, its sticks spring back, and a stick that is let go is zero at once.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.errors import UsageError
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist

FIRST_HOLD_S = 0.5
REPEAT_HOLD_S = 0.2
QUICK_S = 0.15
"""Two bytes of one key closer than this are a repetition, not two presses."""

STALL_S = 0.25
"""Keys that waited because nobody asked for so long, as in a suspended program, tell nothing of the hand now."""

KEYS = {
    b"w": (1.0, 0.0), b"s": (-1.0, 0.0), b"a": (0.0, 1.0), b"d": (0.0, -1.0),
    b"q": (0.0, 0.0), b" ": (0.0, 0.0),
    b"\x1b[A": (1.0, 0.0), b"\x1b[B": (-1.0, 0.0), b"\x1b[D": (0.0, 1.0), b"\x1b[C": (0.0, -1.0),
    b"\x1bOA": (1.0, 0.0), b"\x1bOB": (-1.0, 0.0), b"\x1bOD": (0.0, 1.0), b"\x1bOC": (0.0, -1.0),
}  # fmt: skip
"""What a key asks for: shares of the forward and of the turning speed. The arrows come as escape sequences."""

_JS_EVENT = struct.Struct("<IhBB")  # linux/joystick.h: time (ms), value, type, number
_AXIS, _BUTTON, _INIT = 2, 1, 0x80
_FULL = 32767.0
_REST = 0.12  # sticks do not rest at zero exactly


@dataclass(frozen=True, slots=True)
class Wish:
    """What the hand asks for: shares (-1..1) of the forward and of the turning speed."""

    forward: float = 0.0
    left: float = 0.0


class Controls(Protocol):
    """Something that a hand holds."""

    quit: bool

    def wish(self, now: float) -> Wish:
        """What is asked for now. Never blocks."""


class Keyboard:
    """Keys from a terminal; W A S D or the arrows, space stops, Q ends.

    Forward and turning keys hold each by themselves: W held while A is tapped drives a bow, as far as the terminal
    repeats only the last key.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.quit = False
        self._rest = b""
        self._axes = (_Held(), _Held())
        self._asked = float("inf")

    def wish(self, now: float) -> Wish:
        """See `Controls.wish`."""
        stalled, self._asked = now - self._asked > STALL_S, now
        for key in self._pressed():
            if key == b"q":
                self.quit = True
            if stalled or key in (b"q", b" "):
                for axis in self._axes:
                    axis.release()
                continue
            for axis, share in zip(self._axes, KEYS[key], strict=True):
                if share:
                    axis.press(share, now)
        if self.quit:
            return Wish()
        return Wish(*(axis.value(now) for axis in self._axes))

    def _pressed(self) -> Iterator[bytes]:
        data = self._rest
        while select.select([self.descriptor], [], [], 0)[0]:
            try:
                read = os.read(self.descriptor, 1024)
            except OSError:
                read = b""
            if not read:  # the terminal is gone, and with it whoever held the key
                self.quit = True
                break
            data += read
        data, self._rest = data, b""
        while data:
            if data[0] != 0x1B:
                key, data = data[:1].lower(), data[1:]
            elif len(data) >= 3:
                key, data = data[:3], data[3:]
            else:
                self._rest = data  # an escape sequence that has not come whole
                return
            if key in KEYS:
                yield key


class _Held:
    """One direction's key, held until its time runs out."""

    def __init__(self) -> None:
        self._share = 0.0
        self._pressed = self._until = float("-inf")

    def press(self, share: float, now: float) -> None:
        repeats = share == self._share and now - self._pressed <= QUICK_S
        self._until = now + (REPEAT_HOLD_S if repeats else FIRST_HOLD_S)
        self._share, self._pressed = share, now

    def release(self) -> None:
        self._until = float("-inf")

    def value(self, now: float) -> float:
        return self._share if now < self._until else 0.0


class Gamepad:
    """A Linux joystick device, read without a library: left stick drives, any of the first four buttons stops.

    Args:
        path: `/dev/input/js0` and the like.

    Raises:
        UsageError: there is none, or it may not be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.quit = False
        self.gone = False
        self._rest = b""
        self._forward = self._left = 0.0
        self._stopped = False
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            found = sorted(str(other) for other in Path("/dev/input").glob("js*"))
            hint = f"found: {', '.join(found)}" if found else "none is connected; plug it in, or use the keyboard"
            raise UsageError(f"gamepad {self.path} cannot be opened ({error.strerror}); {hint}") from None

    def wish(self, now: float) -> Wish:
        """See `Controls.wish`."""
        self._read()
        if self.quit or self._stopped:
            return Wish()
        return Wish(self._forward, self._left)

    def close(self) -> None:
        """Give the device back. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            while data := os.read(self._descriptor, 64 * _JS_EVENT.size):
                self._rest += data
        except BlockingIOError:
            pass
        except OSError:  # unplugged: the stick is in nobody's hand now
            self._forward = self._left = 0.0
            self.gone = self.quit = True
        whole = len(self._rest) - len(self._rest) % _JS_EVENT.size
        for _, value, kind, number in _JS_EVENT.iter_unpack(self._rest[:whole]):
            self._take(kind & ~_INIT, number, value, bool(kind & _INIT))
        self._rest = self._rest[whole:]

    def _take(self, kind: int, number: int, value: int, initial: bool) -> None:
        if kind == _AXIS:
            share = -value / _FULL  # up and left are negative there
            share = 0.0 if abs(share) < _REST else max(-1.0, min(1.0, share))
            if number == 1:
                self._forward = share
            elif number == 0:
                self._left = share
            if self._forward == self._left == 0.0:
                self._stopped = False  # let go: a new push may drive again
        elif kind == _BUTTON and value and not initial:
            if number < 4:
                self._stopped = True
            elif number in (8, 9):  # back and start
                self.quit = True


def asked(controls: list[Controls], now: float) -> Wish:
    """What the first of `controls` asks for that asks for anything."""
    wishes = [control.wish(now) for control in controls]  # each is asked: keys must not pile up unread
    return next((wish for wish in wishes if wish != Wish()), Wish())


class HoldToDrive:
    """The policy that passes on what hands ask for; the first of `controls` that asks for anything wins.

    Args:
        share: of the robot's limits that a full wish gets, 0..1.
    """

    name = "drive"
    needs_camera = False

    def __init__(self, config: RobotConfig, controls: list[Controls], share: float = 0.6) -> None:
        self.controls = controls
        self._v = share * config.drive.max_v_mps
        self._omega = share * config.drive.max_omega_radps

    @property
    def quit(self) -> bool:
        """Somebody asked for the end, or a device is gone."""
        return any(control.quit for control in self.controls)

    def act(self, observation: Observation) -> Twist:
        wish = asked(self.controls, observation.now)
        # Backwards the wheel turns the other way in a car, not here: left is always to the left.
        return Twist(wish.forward * self._v, wish.left * self._omega)

    def reset(self) -> None:
        """Nothing to forget: keys run out by themselves."""


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[int]:
    """Keys at once, without echo; Ctrl-C stays a signal, Ctrl-Z is none, and the terminal is put back whatever comes.

    Raises:
        UsageError: it is no terminal.
    """
    if not os.isatty(descriptor):
        raise UsageError("driving by keyboard needs a terminal, and standard input is none; run it in one")
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        quiet = termios.tcgetattr(descriptor)
        # A robot whose program is suspended is a robot that nobody stops.
        quiet[6][termios.VSUSP] = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        yield descriptor
    finally:
        with suppress(termios.error, OSError):  # the terminal itself is gone
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.flush()


def open_controls(gamepad: str | None, stack: ExitStack) -> list[Controls]:
    """The gamepad, where one is named, and the keyboard, where there is one; `stack` gives them back.

    Raises:
        UsageError: the gamepad cannot be opened, or there is neither that nor a terminal.
    """
    controls: list[Controls] = []
    if gamepad is not None:
        pad = Gamepad(gamepad)
        stack.callback(pad.close)
        controls.append(pad)
    if gamepad is None or sys.stdin.isatty():
        controls.append(Keyboard(stack.enter_context(raw_terminal(sys.stdin.fileno()))))
    return controls
