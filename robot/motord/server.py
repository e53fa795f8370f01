"""The motors' process at work: one thread, one loop, over a `MotorCore`.

Each pass looks at the clock first, then at the emergency stop, then at the sockets, of which it takes all that
has come and obeys the newest; then it feeds the watchdog. So nothing but this loop keeps the process alive, and
nothing that waits in a queue is ever carried out late.
"""

from __future__ import annotations

import errno
import math
import select
import socket
from collections.abc import Callable

from robot.motor_port import MotorCore
from robot.motor_report import SENTENCES, Cause, Flag, Report, Switch
from robot.motord import protocol
from robot.motord.latch import Latch
from robot.motord.peer import Peer
from robot.motord.protocol import Kind, ProtocolError
from robot.notify import Notifier
from robot.types import Clock, Wheels

LOOK_S = 0.01
"""The emergency stop is looked at so often. (Its wiring has cut the motors already.)"""

NO_FLAG = Flag(0)

_PEERS = 16
_BATCH = 1024  # messages taken from one socket in one pass; a socket's queue holds a few hundred
_STATUS_S = 0.5
_FIRST_S = 10.0  # a process that ends with its driver waits so long for the first one


class Ended(Exception):
    """The driver has gone, and this process was to end with it."""


class Server:
    """Serves one driver, and any number who look on, over `listener`.

    Args:
        core: the motors.
        listener: a listening SOCK_SEQPACKET socket.
        read_switch: the emergency stop's input.
        latch: its memory.
        clock: the monotonic clock, the core's.
        notifier: the service manager.
        flags: what is true of this process from its start on.
        digest: of its configuration.
        with_driver: end when the driver has gone.
        say: a line for the journal; must not block.
    """

    def __init__(
        self,
        core: MotorCore,
        listener: socket.socket,
        read_switch: Callable[[], Switch],
        latch: Latch,
        clock: Clock,
        notifier: Notifier,
        *,
        flags: Flag = NO_FLAG,
        digest: int = 0,
        with_driver: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self._core, self._listener, self._read_switch, self._latch = core, listener, read_switch, latch
        self._clock, self._notifier, self._say = clock, notifier, say
        self._flags, self._digest, self._with_driver = flags, digest, with_driver
        self._listener.setblocking(False)
        self._peers: dict[socket.socket, Peer] = {}
        self._driver: Peer | None = None
        self._switch = Switch.ABSENT
        self._said = ""
        now = clock.now()
        self._look_at = self._feed_at = now
        self._first_by = now + _FIRST_S if with_driver else math.inf
        self._look(now)
        self._hold()

    def run(self) -> None:
        """Serve until an exception: a signal handler's, or `Ended`."""
        while True:
            self.step()

    def step(self) -> None:
        """Wait for what comes first, and do all that is due."""
        core, now = self._core, self._clock.now()
        deadline = core.deadline if core.deadline > -math.inf else now + LOOK_S  # a zero that failed is tried again
        wake = min(deadline, self._look_at, self._feed_at)
        # select() rather than epoll: its timeout has microseconds, and the sockets are few.
        ready, _, _ = select.select([self._listener, *self._peers], [], [], max(0.0, wake - now))
        core.tick()
        now = self._clock.now()
        if now >= self._look_at:
            self._look(now)
        for sock in ready:
            if sock is self._listener:
                self._accept()
            elif sock in self._peers:
                self._serve(self._peers[sock])
        if now >= self._feed_at:
            self._feed(now)
        if now >= self._first_by and self._driver is None:
            raise Ended

    # The emergency stop.

    @property
    def _standing(self) -> Cause | None:
        """Why the emergency stop holds the wheels, where it does."""
        if self._switch in (Switch.PRESSED, Switch.FAILED):
            return Cause.EMERGENCY_STOP
        return Cause.LATCHED if self._latch.latched else None

    def _look(self, now: float) -> None:
        self._look_at = now + LOOK_S
        found = self._read_switch()
        self._switch = found
        self._hold()  # the wheels first
        if found in (Switch.PRESSED, Switch.FAILED) and not self._latch.latched:
            self._latch.set()
            self._say(f"emergency stop: {'pressed' if found is Switch.PRESSED else 'cannot be read'}; latched")

    def _hold(self) -> bool:
        """Keep the wheels at zero where the emergency stop says so, and say whether it does."""
        cause = self._standing
        if cause is not None and (self._core.cause is not cause or self._core.deadline != math.inf):
            self._core.stop(cause)
        return cause is not None

    def _acknowledge(self) -> str:
        """Release the latch; a sentence where it cannot be."""
        self._look(self._clock.now())
        if self._switch is Switch.PRESSED:
            return "the emergency stop is still pressed, or its wire is broken; release the switch, then acknowledge"
        if self._switch is Switch.FAILED:
            return "the emergency stop's pin cannot be read; mend the wiring, restart edgebot-motord, then acknowledge"
        if not self._latch.latched:
            return ""
        if not self._latch.release():
            return f"the latch {str(self._latch.path)!r} cannot be written; make room on its disk, then acknowledge"
        self._core.stop(Cause.STOPPED)
        self._say("emergency stop: acknowledged")
        return ""

    # The sockets.

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # it would be asked again and again: start anew, at zero
            return
        connection.setblocking(False)
        peer = Peer(connection)
        if len(self._peers) >= _PEERS:
            peer.send(protocol.refused(0, f"edgebot-motord serves {_PEERS} connections already; end one of them"))
            connection.close()
            return
        self._peers[connection] = peer

    def _serve(self, peer: Peer) -> None:
        """Take all that has come; obey the newest order; answer each kind of question once."""
        order: tuple[Kind | None, int, bytes] | None = None  # None in place of a kind: what could not be read
        questions: dict[Kind, int] = {}
        gone = False
        for _ in range(_BATCH):
            try:
                data = peer.socket.recv(protocol.LARGEST + 1)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                gone = True
                break
            try:
                kind, sequence = protocol.head(data)
            except ProtocolError as error:
                order = (None, 0, str(error).encode())
                continue
            if kind in (Kind.COMMAND, Kind.STOP):
                order = (kind, sequence, data)
            else:
                questions[kind] = sequence
        if gone:  # whatever it wanted before, it does not want it any more
            if Kind.HALT in questions:
                self._halt(peer)
            self._drop(peer)
            return
        if Kind.CLAIM in questions and not self._claim(peer, questions[Kind.CLAIM]):
            return
        if order is not None and not self._obey(peer, *order):
            return
        for kind, sequence in questions.items():
            self._answer(peer, kind, sequence)

    def _obey(self, peer: Peer, kind: Kind | None, sequence: int, data: bytes) -> bool:
        """Do what it orders; False where the connection has ended over it."""
        if kind is None:
            if peer is self._driver:
                self._core.refuse(Cause.MALFORMED)
            peer.send(protocol.refused(sequence, data.decode()))
            if peer is not self._driver:
                self._drop(peer)
                return False
            return True
        if kind is Kind.STOP:
            if peer is self._driver and not self._hold():
                self._core.stop()
        elif not self._claim(peer, sequence):
            return False
        else:
            self._command(data)
        self._report(peer, sequence)
        return True

    def _command(self, data: bytes) -> None:
        left, right, until = protocol.read_command(data)
        if self._hold():
            return
        try:
            self._core.apply(Wheels(left, right), until)
        except ValueError:  # not finite, or beyond the limits: stopped and counted
            return
        except Exception as error:  # a pin: stopped, and the stop is tried again where it failed
            self._say(f"a motor pin failed: {error}")

    def _claim(self, peer: Peer, sequence: int) -> bool:
        """Make it the driver; where there is another, refuse and drop it."""
        if self._driver is not None and self._driver is not peer and self._driver.dead:
            self._drop(self._driver)  # somebody inherited its socket and keeps it open
        if self._driver is None:
            self._driver = peer
            self._first_by = math.inf
            self._say(f"driver: process {peer.pid}")
        if self._driver is peer:
            return True
        peer.send(
            protocol.refused(
                sequence,
                f"the motors have a driver already, process {self._driver.pid}; end it first "
                "(`edgebot motors status` shows it)",
            )
        )
        self._drop(peer)
        return False

    def _answer(self, peer: Peer, kind: Kind, sequence: int) -> None:
        if kind is Kind.HALT:
            self._halt(peer)
        if kind is Kind.ACKNOWLEDGE and (sentence := self._acknowledge()):
            peer.send(protocol.refused(sequence, sentence))
        elif kind in (Kind.ACKNOWLEDGE, Kind.ASK, Kind.CLAIM, Kind.HALT):
            self._report(peer, sequence)

    def _halt(self, peer: Peer) -> None:
        self._core.stop(Cause.LATCHED)
        self._latch.set()
        self._hold()
        self._say(f"stopped by process {peer.pid} until acknowledged")

    def _report(self, peer: Peer, sequence: int) -> None:
        peer.send(protocol.report(sequence, self.report(peer)))

    def report(self, peer: Peer | None = None) -> Report:
        """The motors as they are now, for the one who asks."""
        flags = self._flags
        if self._driver is not None:
            flags |= Flag.DRIVEN | (Flag.YOURS if self._driver is peer else Flag(0))
        if self._latch.latched:
            flags |= Flag.LATCHED
        if not self._latch.stored:
            flags |= Flag.UNSTORED
        driver = 0 if self._driver is None else self._driver.pid
        return self._core.report(self._switch, flags, self._digest, driver)

    def _drop(self, peer: Peer) -> None:
        if peer is self._driver:
            self._core.stop(self._standing or Cause.GONE)
            self._driver = None
            self._say(f"driver: process {peer.pid} has gone; the wheels are at zero")
        self._peers.pop(peer.socket, None)
        peer.socket.close()
        if self._with_driver and self._driver is None and self._first_by == math.inf:
            raise Ended

    # The service manager.

    def _feed(self, now: float) -> None:
        period = self._notifier.watchdog_s
        if period is not None:
            self._notifier.alive()
        self._feed_at = now + min(_STATUS_S, _STATUS_S if period is None else period)
        driver = "no driver" if self._driver is None else f"driver: process {self._driver.pid}"
        words = f"{SENTENCES[self._core.cause]}; {driver}"
        if words != self._said:
            self._said = words
            self._notifier.status(words)
