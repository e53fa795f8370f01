"""The robot's end of the link: a policy that does what a distant hand asks, as long as it is heard.

Everything happens in the loop's own thread. `act` drains the socket to the newest command, at most `MOST` datagrams an
iteration, so that a flood can neither delay the loop nor build up a past; `tell` answers. `heard_at` says to the
guard how fresh the driver's word is: without a fresh one it stops the wheels as LOST_LINK.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any

from edge.errors import UsageError
from edge.link.wire import LARGEST, Answer, Command, State, Word, open_command, resolve, seal_answer
from edge.tick import Tick
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist

MOST = 256
"""Datagrams taken in one iteration: some 2 ms of a Pi's time. A hand sends one."""

BUFFER_BYTES = 32768
"""The kernel keeps no more than about this much unread, some 50 datagrams: after a hang there is little to skip."""

HOLD_S = 1.0
"""A driver that is silent for so long gives way to another."""


@dataclass(slots=True)
class _Held:
    """Who drives, and what was last asked for."""

    driver: bytes
    sequence: int
    heard_at: float  # the robot's stamp that the newest command brought back
    since: float  # when that command was taken
    command: Command


class LinkPolicy:
    """A policy that passes on what comes over the link; the guard stands behind it as behind any other.

    Args:
        config: the robot, whose limits the driver's shares are of.
        listen: `host:port` to listen on; port 0 takes a free one (`address` tells which).
        token: what commands must be sealed with.

    Raises:
        UsageError: the address cannot be listened on.
    """

    name = "link"
    needs_camera = False

    def __init__(self, config: RobotConfig, listen: str, token: bytes) -> None:
        self.session = os.urandom(8)
        self.refused = 0  # datagrams that were no commands, or sealed with another token
        self.stale = 0  # commands that were too old when they came
        self._token = token
        self._limit_s = config.guard.link_stale_s
        self._v, self._omega = config.drive.max_v_mps, config.drive.max_omega_radps
        self._held: _Held | None = None
        self._to_answer: dict[bytes, tuple[Any, int]] = {}
        self._peer: tuple[bytes, Any, int] | None = None  # the newest that was answered as the driver
        family, place = resolve(listen, listening=True)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self._socket.setblocking(False)
            self._socket.bind(place)
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"cannot listen on {listen} ({error.strerror}); choose another --listen HOST:PORT"
            ) from None

    @property
    def address(self) -> str:
        """Where it listens, as a driver's `--to` takes it."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def heard_at(self) -> float | None:
        """How fresh the driver's newest command is: the robot's time that it brought back. None without a driver."""
        return None if self._held is None else self._held.heard_at

    @property
    def link(self) -> LinkPolicy:
        """What the loop asks for `heard_at`."""
        return self

    @property
    def note(self) -> str:
        """What was odd, for the summary."""
        parts = (
            (self.refused, "datagrams were refused: another token, or no edgebot"),
            (self.stale, "commands came too late to be obeyed"),
        )
        return "; ".join(f"{count} {what}" for count, what in parts if count)

    def act(self, observation: Observation) -> Twist:
        """The newest command, or a halt where there is none that is fresh."""
        now = observation.now
        for _ in range(MOST):
            try:
                data, sender = self._socket.recvfrom(LARGEST + 1)
            except BlockingIOError:
                break
            except OSError:  # an answer could not be delivered: the driver will be silent, and that is seen
                continue
            self._take(data, sender, now)
        held = self._held
        if held is None or not 0.0 <= now - held.heard_at <= self._limit_s:
            return Twist(0.0, 0.0)
        return Twist(_share(held.command.forward) * self._v, _share(held.command.left) * self._omega)

    def reset(self) -> None:
        """A new run obeys nobody yet."""
        self._held = None
        self._to_answer.clear()

    def tell(self, tick: Tick) -> None:
        """Answer whoever was heard in this iteration; each answer carries the robot's time."""
        held, metres = self._held, tick.senses.range.value
        for driver, (sender, sequence) in self._to_answer.items():
            mine = held is not None and held.driver == driver
            state = State.YOURS if mine else State.UNHEARD if self._free(tick.acted) else State.BUSY
            answer = Answer(
                self.session, driver, sequence, state, tick.acted, tick.applied.left, tick.applied.right,
                nan if metres is None else metres, str(tick.reason),
            )  # fmt: skip
            self._send(answer, sender)
            if mine:
                self._peer = (driver, sender, sequence)
        self._to_answer.clear()

    def close(self) -> None:
        """Tell the last driver that it is over, and give the address back. Idempotent."""
        if self._peer is not None:
            driver, sender, sequence = self._peer
            self._send(Answer(self.session, driver, sequence, State.ENDED, -inf, 0.0, 0.0, nan, "shutdown"), sender)
            self._peer = None
        self._socket.close()

    def _take(self, data: bytes, sender: Any, now: float) -> None:
        command = open_command(self._token, data)
        if command is None:
            self.refused += 1
            return
        if command.driver in self._to_answer or len(self._to_answer) < 4:
            self._to_answer[command.driver] = (sender, command.sequence)
        if command.session != self.session:
            return  # a first word, or one to an earlier run: the answer brings our session and time
        if not 0.0 <= now - command.echo <= self._limit_s:  # NaN fails too
            self.stale += 1
            return
        held = self._held
        if held is not None and held.driver == command.driver:
            if command.sequence <= held.sequence:
                return  # overtaken by a newer one, or played again
        elif not self._free(now):
            return
        if command.word is Word.LEAVE:
            # Its number is kept: what of this driver comes later is older.
            self._held = _Held(command.driver, command.sequence, -inf, -inf, command)
        else:
            self._held = _Held(command.driver, command.sequence, command.echo, now, command)

    def _free(self, now: float) -> bool:
        return self._held is None or now - self._held.since > HOLD_S

    def _send(self, answer: Answer, sender: Any) -> None:
        with suppress(OSError):  # full or unreachable: the driver hears nothing, sends no fresh stamp, and is lost
            self._socket.sendto(seal_answer(self._token, answer), sender)


def _share(share: float) -> float:
    """Within -1..1; NaN stays NaN, for the guard to refuse."""
    return share if isnan(share) else max(-1.0, min(1.0, share))
