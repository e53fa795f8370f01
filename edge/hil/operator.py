"""Whoever stands beside the robot: what is asked of them, and the one at the terminal."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

SIDES = ("left", "right")
T = TypeVar("T")


class Safe(StrEnum):
    """What has to be confirmed before a wheel turns."""

    WHEELS_UP = "Are the wheels OFF THE GROUND, with nothing near them?"
    NO_SWITCH = "robot.toml has no emergency stop. Is your hand at the switch of the motors' supply?"
    FLOOR = "Is the robot on the FLOOR, with no edge or stairs near, and your hand at the emergency stop?"


class Hand(StrEnum):
    """What a hand has to do; `Scene` says it in words."""

    PRESS = "press"
    RELEASE = "release"
    TARGET = "target"
    LIT = "lit"
    COVER_LEFT = "cover_left"
    COVER_RIGHT = "cover_right"
    COVER_BOTH = "cover_both"
    UNCOVER = "uncover"
    PERSON = "person"
    RUNWAY = "runway"


@dataclass(frozen=True, slots=True)
class Scene:
    """What the robot's surroundings shall be; `wait` for a word that they are."""

    hand: Hand
    words: str
    value: float = 0.0
    wait: bool = True


class Saw(NamedTuple):
    """How each wheel turned: 1 forward, -1 backward, 0 not at all."""

    left: int
    right: int

    def __str__(self) -> str:
        words = {1: "forward", -1: "backward", 0: "not"}
        if self.left == self.right:
            return f"both wheels turned {words[self.left]}" if self.left else "no wheel turned"
        turned = [f"the {side} wheel turned {words[sign]}" for side, sign in zip(SIDES, self, strict=True) if sign]
        return " and ".join(turned)


class Operator(Protocol):
    """Somebody with eyes and hands."""

    def confirm(self, what: Safe) -> bool:
        """Whether it is so."""

    def set_up(self, scene: Scene) -> None:
        """Make it so."""

    def attend(self, words: str) -> None:
        """Look at the wheels from now on: they are about to turn."""

    def saw(self) -> Saw:
        """How the wheels turned since `attend`."""

    def turning(self, side: str) -> bool:
        """Whether this wheel has begun to turn since `attend`; asked again and again, never waits."""

    def turns(self, side: str) -> float:
        """How often this wheel has gone round since `attend`."""


class Gone(Exception):
    """Nobody answers: the terminal was closed."""


class Person:
    """Somebody at the terminal. Questions go to standard error, answers come from standard input.

    Args:
        assume_safe: take it for granted that it is safe (`--assume-safe`); what only eyes can tell is still asked.
        pause: held while a question stands, so that a live display keeps off the screen.
    """

    def __init__(self, assume_safe: bool = False, pause: Callable[[], AbstractContextManager[object]] = nullcontext):
        self._assume_safe, self._pause = assume_safe, pause

    def confirm(self, what: Safe) -> bool:
        if self._assume_safe:
            self._say(f"  {what}  taken for granted (--assume-safe)")
            return True
        return self._choose(f"{what} [yes/no]", {"yes": True, "no": False})

    def set_up(self, scene: Scene) -> None:
        with self._pause():
            self._say(f"\n> {scene.words}")
            if scene.wait:
                self._ask("  Enter when it is so: ")

    def attend(self, words: str) -> None:
        with self._pause():
            self._say(f"\n> {words}")
            self._ask("  Enter when you look: ")
        while self._typed():  # an Enter too many is no answer to what comes
            pass

    def saw(self) -> Saw:
        which = self._choose(
            "Which wheel turned? [left/right/both/none]", {"left": "left", "right": "right", "both": "both", "none": ""}
        )
        if not which:
            return Saw(0, 0)
        sign = self._choose("Forwards or backwards? [f/b]", {"forwards": 1, "backwards": -1})
        return Saw(sign if which != "right" else 0, sign if which != "left" else 0)

    def turning(self, side: str) -> bool:
        return self._typed()

    def turns(self, side: str) -> float:
        with self._pause():
            while True:
                text = self._ask(f"  How many turns did the {side} wheel make (such as 7.5)? ").strip()
                try:
                    found = float(text.replace(",", "."))
                except ValueError:
                    found = -1.0
                if 0 <= found <= 1000:
                    return found
                self._say(f"  {text!r} is no number of turns")

    def _choose(self, question: str, options: dict[str, T]) -> T:
        with self._pause():
            while True:
                text = self._ask(f"\n? {question} ").strip().lower()
                found = [value for name, value in options.items() if text and name.startswith(text)]
                if len(found) == 1:
                    return found[0]
                self._say(f"  {text!r} is none of {', '.join(options)}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _ask(self, prompt: str) -> str:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise Gone("nobody answers at the terminal any more")
        return line

    def _typed(self) -> bool:
        """Whether a line was typed; takes it."""
        if not select.select([sys.stdin], [], [], 0)[0]:
            return False
        return bool(os.read(sys.stdin.fileno(), 4096))

