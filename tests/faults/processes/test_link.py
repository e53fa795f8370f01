"""The link at fault: `edgebot drive --to` in a terminal, `edgebot run --policy link` and `edgebot-motord`, all real.

Between driver and robot stands a relay that loses, keeps and multiplies what passes. The wheels have to stand
`guard.link_stale_s` and one period after the last word that came through: the motors' pins tell, with their stamps.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.link.wire import Command, Word, open_command, resolve, seal_command
from robot.config import load
from robot.types import STOP
from tests.faults.processes.couple import NO_DEADLINE
from tests.faults.processes.ward import PERIOD_S, ROOT, NotDriving, Patient, Ward, WheelsTurn, again, ward

STALE_S = load().guard.link_stale_s
BOUND_S = STALE_S + PERIOD_S
TOKEN = "a token that both sides know"


class Relay:
    """Passes datagrams between one driver and one robot, or does not."""

    def __init__(self, robot: str) -> None:
        self.up = self.down = True  # to the robot, to the driver
        self.copies = 1
        self.kept: list[bytes] | None = None  # on the way to the robot
        self.newest = b""  # on the way to the robot
        self._to_robot = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to_robot.connect(resolve(robot)[1])
        self._to_driver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to_driver.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._to_driver.getsockname()[1]}"
        self._driver: Any = None
        self._closed = False
        self._thread = threading.Thread(target=self._pass, daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        """To the robot."""
        with suppress(OSError):
            self._to_robot.send(data)

    def release(self) -> int:
        """Send what was kept, as it came."""
        kept, self.kept = self.kept or [], None
        for data in kept:
            self.send(data)
        return len(kept)

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._to_robot.close()
        self._to_driver.close()

    def _pass(self) -> None:
        while not self._closed:
            for sock in select.select([self._to_robot, self._to_driver], [], [], 0.05)[0]:
                try:
                    data, sender = sock.recvfrom(2048)
                except OSError:  # the robot's port is closed
                    continue
                if sock is self._to_driver:
                    self._driver, self.newest = sender, data
                    if self.kept is not None:
                        self.kept.append(data)
                    elif self.up:
                        for _ in range(self.copies):
                            self.send(data)
                elif self.down and self._driver is not None:
                    with suppress(OSError):
                        self._to_driver.sendto(data, self._driver)


class Hand:
    """`edgebot drive --to` in a pseudo-terminal, with a key that is held down by a thread of its own."""

    def __init__(self, to: str, token: Path) -> None:
        self.master, slave = pty.openpty()
        self.screen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "drive", "--to", to, "--token", str(token)],
            cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "50"},
        )  # fmt: skip
        os.close(slave)
        self.holds = True
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def _work(self) -> None:
        while not self._closed:
            with suppress(OSError):
                if self.holds and self.process.poll() is None:
                    os.write(self.master, b"a")
                while select.select([self.master], [], [], 0)[0]:
                    self.screen += os.read(self.master, 65536).decode(errors="replace")
            time.sleep(0.03)


class Chain:
    """Hand, relay, runtime, motors."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self.token = ward.folder / "link.token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.motord = ward.motord()
        self.runtime = self.start("127.0.0.1:0")
        self.robot = re.findall(r"--to (\S+:\d+)`", self.runtime.text)[0]
        self.relay = Relay(self.robot)
        self.hand = Hand(self.relay.address, self.token)
        ward.until(ward.turning, self.runtime)

    def start(self, listen: str) -> Patient:
        runtime = self.ward.runtime("--listen", listen, "--token", str(self.token), policy="link", driving=False)
        self.ward.until(lambda: "listening" in runtime.text, runtime)
        self.ward.until(lambda: runtime.do("value = 'Loop' in SEEN and SEEN['Loop']._ticks > 5"), runtime)
        return runtime

    def reasons(self) -> str:
        """Why the robot has stood so far."""
        return " ".join(self.runtime.do("value = [found.reason for found in SEEN['Loop']._incidents.told()]"))

    def close(self) -> None:
        self.hand.close()
        self.relay.close()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with ward(tmp_path_factory.mktemp("chain")) as cleared:
        made = Chain(cleared)
        yield made
        made.close()


def drives_again(chain: Chain) -> None:
    chain.ward.until(chain.ward.turning, chain.runtime)


def gone(chain: Chain) -> None:
    """Nothing passes, either way."""
    chain.relay.up = chain.relay.down = False
    try:
        chain.ward.zero_within(time.monotonic(), BOUND_S, 0.8)
        chain.ward.until(lambda: "link gone: no answer for" in chain.hand.screen)
    finally:
        chain.relay.up = chain.relay.down = True
    drives_again(chain)


def driver_killed(chain: Chain) -> None:
    """Nobody is there any more; another one takes over."""
    fault = time.monotonic()
    chain.hand.process.kill()
    chain.hand.process.wait()
    chain.ward.zero_within(fault, BOUND_S, 0.5)
    chain.hand.close()
    chain.hand = Hand(chain.relay.address, chain.token)
    drives_again(chain)


def half_open(chain: Chain) -> None:
    """The driver's words arrive, the robot's answers do not: its own time does not come back, so they count no more."""
    chain.relay.down = False
    try:
        chain.ward.zero_within(time.monotonic(), BOUND_S, 0.8)
    finally:
        chain.relay.down = True
    drives_again(chain)


def half_open_the_other_way(chain: Chain) -> None:
    chain.relay.up = False
    try:
        chain.ward.zero_within(time.monotonic(), BOUND_S, 0.3)
    finally:
        chain.relay.up = True
    drives_again(chain)


def kept_by_the_network(chain: Chain) -> None:
    """A second of commands comes at once, in order, after the hand has let go: none of them moves a wheel."""
    chain.relay.kept = []
    try:
        chain.ward.zero_within(time.monotonic(), BOUND_S, 0.6)
        chain.hand.holds = False
        chain.relay.up = False
        released = time.monotonic()
        assert chain.relay.release() > 20
        stands(chain, released, 0.3)
    finally:
        chain.hand.holds = chain.relay.up = True
        chain.relay.kept = None
    drives_again(chain)


def driver_suspended(chain: Chain) -> None:
    """What it would have sent, and the keys that waited in its terminal, are of the past when it wakes."""
    fault = time.monotonic()
    chain.hand.process.send_signal(signal.SIGSTOP)
    try:
        chain.ward.zero_within(fault, BOUND_S, 0.6)
        chain.hand.holds = False
        time.sleep(0.1)
    finally:
        chain.hand.process.send_signal(signal.SIGCONT)
    woken = time.monotonic()
    try:
        stands(chain, woken, 0.4)
    finally:
        chain.hand.holds = True
    drives_again(chain)


def robot_suspended(chain: Chain) -> None:
    """Commands pile up in its socket while it hangs; the hand lets go meanwhile: none is carried out."""
    fault = chain.runtime.send(signal.SIGSTOP)
    try:
        chain.ward.zero_within(fault, 0.2, 0.5)
        chain.relay.up = False
    finally:
        chain.runtime.send(signal.SIGCONT)
    woken = time.monotonic()
    try:
        stands(chain, woken, 0.3)
    finally:
        chain.relay.up = True
    drives_again(chain)


def stands(chain: Chain, since: float, seconds: float) -> None:
    time.sleep(max(0.0, since + seconds - time.monotonic()))
    moved = [moment for moment in chain.ward.moments() if moment.stamp > since and moment.wheels != STOP]
    if moved or chain.ward.turning():
        raise WheelsTurn(f"what was old has moved the wheels: {moved}")


FAULTS = {
    "gone": gone,
    "driver killed": driver_killed,
    "half-open": half_open,
    "half-open the other way": half_open_the_other_way,
    "kept by the network": kept_by_the_network,
    "driver suspended": driver_suspended,
    "robot suspended": robot_suspended,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_link_at_fault_stops_the_wheels_and_one_that_works_again_drives_them(chain: Chain, fault: str) -> None:
    again(lambda: FAULTS[fault](chain))
    assert "lost_link" in chain.reasons()


def flood(chain: Chain, datagrams: Callable[[int], bytes], seconds: float) -> tuple[int, int]:
    """Send as fast as it goes; returns how many were sent, and how many iterations the robot's loop did meanwhile."""
    ticks = chain.runtime.do("value = SEEN['Loop']._ticks")
    until, sent = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for _ in range(20):
            chain.relay.send(datagrams(sent))
            sent += 1
        time.sleep(0.001)
    return sent, chain.runtime.do("value = SEEN['Loop']._ticks") - ticks


def test_a_flood_delays_nothing_and_the_newest_wins(chain: Chain) -> None:
    """Of the driver's own commands, many times over: it is driven on, and the loop keeps its time."""
    drives_again(chain)
    chain.relay.copies = 200
    try:
        began = time.monotonic()
        ticks = chain.runtime.do("value = SEEN['Loop']._ticks")
        time.sleep(1.0)
        done = chain.runtime.do("value = SEEN['Loop']._ticks") - ticks
        late = chain.ward.punctual.late_s(began, time.monotonic())
        assert done > 0.8 * (time.monotonic() - began) / PERIOD_S or late > 0.02
        assert chain.ward.turning()
        chain.relay.up = False
        chain.ward.zero_within(time.monotonic(), BOUND_S)
    finally:
        chain.relay.copies, chain.relay.up = 1, True
    drives_again(chain)


@pytest.mark.parametrize("what", ["rubbish", "another token", "old commands"])
def test_a_flood_of_what_is_no_command_moves_no_wheel_and_holds_up_nothing(chain: Chain, what: str) -> None:
    drives_again(chain)
    old = chain.relay.newest
    command = open_command(TOKEN.encode(), old)
    assert command is not None
    forged = Command(command.session, b"stranger", 10**9, Word.DRIVE, command.echo, 1.0, 0.0)
    data = {"rubbish": b"x" * 90, "another token": seal_command(b"another token of them", forged), "old commands": old}
    began = time.monotonic()
    chain.hand.holds = False
    try:
        sent, done = flood(chain, lambda index: data[what], 1.0)
        span = time.monotonic() - began
        assert sent > 1000
        assert done > 0.8 * span / PERIOD_S or chain.ward.punctual.late_s(began, time.monotonic()) > 0.02
        # The hand had let go: half a second for the key, then nothing may turn.
        late = [moment for moment in chain.ward.moments() if moment.stamp > began + 0.7 and moment.wheels != STOP]
        assert not late and not chain.ward.turning()
    finally:
        chain.hand.holds = True
    drives_again(chain)


def test_q_lets_go_at_once_and_a_robot_that_is_started_anew_is_driven_on(chain: Chain) -> None:
    drives_again(chain)
    chain.runtime.send(signal.SIGTERM)
    assert chain.runtime.wait() == 143
    told = json.loads(chain.runtime.output.read_text())
    assert "lost_link" in {incident["reason"] for incident in told["incidents"]}
    chain.ward.until(lambda: "the robot's run has ended" in chain.hand.screen)
    chain.runtime = chain.start(chain.robot)
    drives_again(chain)
    chain.hand.holds = False
    left = time.monotonic()
    os.write(chain.hand.master, b"q")
    assert chain.hand.process.wait(30) == 0
    chain.ward.until(lambda: not chain.ward.turning())
    assert chain.ward.moments()[-1].stamp - left < 0.2 + 3 * chain.ward.punctual.late_s(left, time.monotonic()) + 0.1


NO_FRESHNESS = """
loop = SEEN["Loop"]
policy, guard = loop.policy, loop.guard
policy._limit_s = guard_limit = 1e9
object.__setattr__(guard.config.guard, "link_stale_s", 1e9)
"""
"""Takes away the rule that a command has to bring back a fresh stamp, and the guard's that it must be young."""


def test_without_its_protection_each_of_them_is_found_out(tmp_path: Path) -> None:
    with ward(tmp_path) as cleared:
        chain = Chain(cleared)
        try:
            chain.runtime.do(NO_FRESHNESS)
            for fault in (gone, half_open, half_open_the_other_way, kept_by_the_network, driver_suspended):
                with pytest.raises((WheelsTurn, NotDriving)):
                    again(lambda fault=fault: fault(chain))  # type: ignore[misc]
            chain.motord.do(NO_DEADLINE)
            with pytest.raises((WheelsTurn, NotDriving)):
                again(lambda: robot_suspended(chain))
            with pytest.raises((WheelsTurn, NotDriving)):
                again(lambda: driver_killed(chain))
        finally:
            chain.close()
