"""The hand's end of the link: commands out, answers in, and whether anybody is there."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from math import inf

from edge.controls import Wish
from edge.errors import UsageError
from edge.link.wire import LARGEST, NOBODY, Answer, Command, State, Word, open_answer, resolve, seal_command

SILENT_S = 0.5
"""Without an answer for so long the link counts as gone, and the display says so."""

_MOST = 256


class Driver:
    """Sends wishes to one robot; a context manager that says goodbye.

    Args:
        to: `host:port` of a robot that runs `--policy link`.
        token: its token.

    Raises:
        UsageError: the address means nothing.
    """

    def __init__(self, to: str, token: bytes) -> None:
        self.to = to
        self.answer: Answer | None = None  # the newest
        self.heard_at = -inf  # when it came, by the clock of this machine
        self.round_trip_s = inf
        self.refused = 0
        self._token = token
        self._me = os.urandom(8)
        self._sequence = 0
        self._sent: dict[int, float] = {}
        family, place = resolve(to)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(place)
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"{to} cannot be reached ({error.strerror}); is this machine on the robot's network?"
            ) from None

    def drive(self, wish: Wish, now: float) -> None:
        """Hear what has come, then send what is wished now. Never blocks; a way that is gone is no error here."""
        self._hear(now)
        self._say(Word.DRIVE, wish, now)

    def connected(self, now: float) -> bool:
        """Whether the robot answers, and obeys."""
        return self.heard(now) and self.answer is not None and self.answer.state is State.YOURS

    def heard(self, now: float) -> bool:
        """Whether the robot answers at all."""
        return now - self.heard_at <= SILENT_S

    def told(self, now: float) -> str:
        """How things stand, in a few words."""
        answer = self.answer
        if answer is None:
            return f"no answer from {self.to}: is `edgebot run --policy link --listen ...` running there, same token?"
        if answer.state is State.ENDED:
            return "the robot's run has ended"
        if not self.heard(now):
            return f"link gone: no answer for {now - self.heard_at:.1f} s; the robot has stopped by itself"
        if answer.state is State.BUSY:
            return "another driver has the robot"
        echo = "----" if answer.range_m != answer.range_m else f"{answer.range_m:4.2f}"
        return (
            f"wheels {answer.applied_left:+.2f} {answer.applied_right:+.2f}  range {echo} m  {answer.reason}  "
            f"({1e3 * self.round_trip_s:.0f} ms there and back)"
        )

    def leave(self) -> None:
        """Say that nobody drives any more; the robot stops without waiting. Never raises."""
        for _ in range(3):  # a datagram may be lost; the robot's deadline is there where all are
            self._say(Word.LEAVE, Wish(), self.heard_at)

    def close(self) -> None:
        """Leave, and close. Idempotent."""
        if self._socket.fileno() >= 0:
            self.leave()
            self._socket.close()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _say(self, word: Word, wish: Wish, now: float) -> None:
        self._sequence += 1
        self._sent[self._sequence] = now
        if len(self._sent) > 512:
            del self._sent[next(iter(self._sent))]
        answer = self.answer
        session, echo = (NOBODY, -inf) if answer is None else (answer.session, answer.stamp)
        command = Command(session, self._me, self._sequence, word, echo, wish.forward, wish.left)
        with suppress(OSError):  # nobody there, or no way: the next one may arrive
            self._socket.send(seal_command(self._token, command))

    def _hear(self, now: float) -> None:
        for _ in range(_MOST):
            try:
                data = self._socket.recv(LARGEST + 1)
            except BlockingIOError:
                return
            except OSError:  # nobody listens there at the moment
                continue
            answer = open_answer(self._token, data)
            if answer is None or answer.driver != self._me:
                self.refused += 1
                continue
            if answer.sequence not in self._sent or (self.answer and answer.sequence < self.answer.sequence):
                continue  # overtaken, or from another life
            self.round_trip_s = now - self._sent[answer.sequence]
            self.answer, self.heard_at = answer, now
