"""The link: newest word wins, old words never drive, and a way that is gone is found out by the robot's own clock."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.controls import Wish
from edge.errors import UsageError
from edge.guard import Guard, Reason
from edge.link.driver import SILENT_S, Driver
from edge.link.robot import HOLD_S, MOST, LinkPolicy
from edge.link.wire import (
    Answer,
    Command,
    State,
    Word,
    open_answer,
    open_command,
    read_token,
    resolve,
    seal_answer,
    seal_command,
)
from edge.loop import Loop, Tick
from edge.types import Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import STOP, Reading, Senses, Twist

CONFIG = load()
TOKEN = b"0123456789abcdef"
STALE_S = CONFIG.guard.link_stale_s
AHEAD = Wish(1.0, 0.5)
FULL = Twist(CONFIG.drive.max_v_mps, 0.5 * CONFIG.drive.max_omega_radps)


def observation(now: float) -> Observation:
    fresh = Reading(0.5, now)
    return Observation(now, Senses(now, fresh, fresh, fresh), None, STOP)


def tick(now: float) -> Tick:
    seen = observation(now)
    return Tick(0, now, now, now, seen.senses, None, STOP, STOP, STOP, Reason.OK, "", 0)


class Pair:
    """A robot's end and a driver's, each at its own time, with the loop's order of things."""

    def __init__(self) -> None:
        self.robot = LinkPolicy(CONFIG, "127.0.0.1:0", TOKEN)
        self.driver = Driver(self.robot.address, TOKEN)
        self.now = 100.0

    def exchange(self, wish: Wish = AHEAD, seconds: float = 0.02) -> Any:
        """One command, one iteration of the robot with its answer; returns what the robot would do."""
        self.driver.drive(wish, self.now + 5e6)  # another machine's clock
        return self.iterate(seconds)

    def iterate(self, seconds: float = 0.02) -> Any:
        self.now += seconds
        wanted = self.robot.act(observation(self.now))
        self.robot.tell(tick(self.now))
        return wanted


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    made.exchange()
    yield made
    made.driver.close()
    made.robot.close()


def test_the_first_answer_brings_the_robots_time_and_the_next_command_drives(pair: Pair) -> None:
    assert pair.robot.heard_at is None
    assert pair.exchange() == FULL
    assert pair.robot.heard_at == pytest.approx(100.02)
    assert pair.exchange(Wish(-1.0, 0.0)) == Twist(-CONFIG.drive.max_v_mps, 0.0)


def test_a_command_counts_until_the_robots_time_in_it_is_too_old(pair: Pair) -> None:
    pair.exchange()
    while pair.now + 0.02 <= 100.02 + STALE_S:
        assert pair.iterate() == FULL
    assert pair.iterate() == Twist(0.0, 0.0)
    assert pair.exchange() == Twist(0.0, 0.0)  # says an old time still
    assert pair.exchange() == FULL  # the answer to it brought the new one


def test_what_waited_while_the_robot_hung_is_never_carried_out(pair: Pair) -> None:
    pair.exchange()
    for _ in range(20):
        pair.driver.drive(AHEAD, 0.0)
    assert pair.iterate(2.0) == Twist(0.0, 0.0)
    assert pair.robot.stale == 20
    pair.exchange()
    assert pair.exchange() == FULL


def test_what_a_driver_that_hung_sends_first_is_old_and_so_is_what_the_network_kept(pair: Pair) -> None:
    pair.exchange()
    kept = seal_command(TOKEN, Command(pair.robot.session, b"another!", 9, Word.DRIVE, 100.02, 1.0, 0.0))
    pair.now += 1.0
    assert pair.exchange() == Twist(0.0, 0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.sendto(kept, resolve(pair.robot.address)[1])
        assert pair.iterate() == Twist(0.0, 0.0)


def test_the_newest_of_a_flood_wins_and_an_iteration_takes_a_bounded_number(pair: Pair) -> None:
    for index in range(5000):
        pair.driver.drive(Wish(0.0, 0.0) if index < 10 else AHEAD, 0.0)
    began = time.perf_counter()
    taken = [pair.iterate() for _ in range(3)]
    assert taken[-1] == FULL
    assert time.perf_counter() - began < 1.0
    received: list[int] = []
    whole = pair.robot._take
    pair.robot._take = lambda *arguments: received.append(1) or whole(*arguments)  # type: ignore[method-assign, func-returns-value]
    for _ in range(5000):
        pair.driver.drive(AHEAD, 0.0)
    pair.iterate()
    assert 1 <= len(received) <= MOST


def test_commands_that_overtake_each_other_or_come_twice_do_not_count_again(pair: Pair) -> None:
    pair.exchange()
    pair.iterate(HOLD_S + 0.02)  # the first driver gives way
    stamp = pair.now
    raw = [
        seal_command(TOKEN, Command(pair.robot.session, b"replayer", n, Word.DRIVE, stamp, n / 10, 0.0)) for n in (1, 2)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for data in (raw[1], raw[0], raw[0]):
            other.sendto(data, resolve(pair.robot.address)[1])
        assert pair.iterate().v == pytest.approx(0.2 * CONFIG.drive.max_v_mps)


def test_one_drives_at_a_time_and_the_next_may_when_the_first_has_left(pair: Pair) -> None:
    pair.exchange()
    with Driver(pair.robot.address, TOKEN) as second:
        for _ in range(4):
            second.drive(Wish(-1.0, 0.0), 0.0)
            assert pair.exchange() == FULL
        assert second.answer is not None and second.answer.state is State.BUSY
        assert "another driver" in second.told(0.0)
        pair.driver.leave()
        second.drive(Wish(-1.0, 0.0), 0.0)
        assert pair.iterate() == Twist(-CONFIG.drive.max_v_mps, 0.0)


def test_leaving_stops_at_once(pair: Pair) -> None:
    pair.exchange()
    pair.driver.leave()
    assert pair.iterate() == Twist(0.0, 0.0)
    heard = pair.robot.heard_at
    assert heard is not None and not pair.now - heard <= STALE_S


@pytest.mark.parametrize("spoil", ["token", "byte", "short", "long", "empty", "answer"])
def test_what_is_not_sealed_with_the_token_is_refused_and_gets_no_answer(pair: Pair, spoil: str) -> None:
    good = seal_command(TOKEN, Command(pair.robot.session, b"stranger", 1, Word.DRIVE, pair.now, 1.0, 0.0))
    answer = seal_answer(TOKEN, Answer(pair.robot.session, b"stranger", 1, State.YOURS, pair.now, 0, 0, 0, "ok"))
    data = {
        "token": seal_command(b"another token of", Command(pair.robot.session, b"stranger", 1, Word.DRIVE, 0, 1, 0)),
        "byte": good[:40] + bytes([good[40] ^ 1]) + good[41:], "short": good[:-1], "long": good + b"!", "empty": b"",
        "answer": answer,
    }[spoil]  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.setblocking(False)
        stranger.sendto(data, resolve(pair.robot.address)[1])
        assert pair.iterate() == Twist(0.0, 0.0)
        assert pair.robot.refused == 1
        with pytest.raises(BlockingIOError):
            stranger.recv(512)
        stranger.sendto(good, resolve(pair.robot.address)[1])
        assert pair.iterate().v > 0  # the same, unspoilt
    assert "1 datagrams were refused" in pair.robot.note


@pytest.mark.parametrize("echo", [float("nan"), float("inf"), 1e300])
def test_a_time_that_the_robot_has_not_said_is_no_proof_of_freshness(pair: Pair, echo: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        data = seal_command(TOKEN, Command(pair.robot.session, b"liar-lia", 1, Word.DRIVE, echo, 1.0, 0.0))
        liar.sendto(data, resolve(pair.robot.address)[1])
        assert pair.iterate() == Twist(0.0, 0.0)
        assert pair.robot.heard_at is None


def test_wishes_beyond_the_limits_are_cut_and_nan_reaches_the_guard(pair: Pair) -> None:
    assert pair.exchange(Wish(7.0, -9.0)) == Twist(CONFIG.drive.max_v_mps, -CONFIG.drive.max_omega_radps)
    wanted = pair.exchange(Wish(float("nan"), 0.0))
    assert wanted.v != wanted.v
    seen = observation(pair.now).senses
    assert Guard(CONFIG).check(seen, wanted, pair.now) == (STOP, Reason.NOT_FINITE)


def test_messages_come_out_as_they_went_in() -> None:
    command = Command(b"session!", b"driver!!", 2**40, Word.LEAVE, -float("inf"), -0.5, 0.25)
    assert open_command(TOKEN, seal_command(TOKEN, command)) == command
    answer = Answer(b"session!", b"driver!!", 7, State.BUSY, 12.5, 0.5, -0.5, 1.25, "stale_command")
    assert open_answer(TOKEN, seal_answer(TOKEN, answer)) == answer
    assert open_answer(TOKEN, seal_command(TOKEN, command)) is None


def test_the_driver_sees_that_nobody_answers_and_that_somebody_does_again(pair: Pair) -> None:
    pair.exchange()
    driver, now = pair.driver, pair.now + 5e6
    driver.drive(AHEAD, now)
    assert driver.connected(now)
    assert "there and back" in driver.told(now)
    later = now + SILENT_S + 0.1
    driver.drive(AHEAD, later)
    assert not driver.heard(later) and "link gone" in driver.told(later)
    pair.iterate()
    driver.drive(AHEAD, later + 0.02)
    assert driver.heard(later + 0.02)
    pair.robot.close()
    for _ in range(3):
        driver.drive(AHEAD, later + 0.04)  # nobody listens: no error
    assert "ended" in driver.told(later)


def test_a_robot_that_was_started_anew_is_driven_on_without_doing_anything(pair: Pair) -> None:
    pair.exchange()
    address = pair.robot.address
    pair.robot.close()
    for _ in range(3):
        pair.driver.drive(AHEAD, 0.0)
    pair.robot, pair.now = LinkPolicy(CONFIG, address, TOKEN), 5.0  # the machine was started anew too
    pair.driver.drive(AHEAD, 0.0)
    assert pair.iterate() == Twist(0.0, 0.0)
    assert pair.exchange() == FULL


def test_in_the_loop_a_lost_link_stops_the_wheels_within_a_period_and_a_found_one_lets_them_turn() -> None:
    clock = VirtualClock(0.02)
    robot = LinkPolicy(CONFIG, "127.0.0.1:0", TOKEN)
    ticks: list[Tick] = []
    with Driver(robot.address, TOKEN) as driver, SimBody(CONFIG, make_room("light", "easy", 7), clock) as body:
        loop = Loop(body, robot, Guard(CONFIG, needs_link=True), clock, link=robot)

        def on_tick(tick: Tick) -> None:
            robot.tell(tick)
            ticks.append(tick)
            if not 100 <= tick.index < 150:
                driver.drive(Wish(0.0, 0.5), tick.now)

        summary = loop.run(4.0, on_tick=on_tick)
    robot.close()
    assert ticks[0].reason is Reason.LOST_LINK and ticks[0].applied == STOP
    assert all(tick.applied != STOP for tick in ticks[10:100])
    lost = [tick for tick in ticks if tick.reason is Reason.LOST_LINK and tick.index > 50]
    assert lost[0].now - ticks[99].now <= STALE_S + 0.02 + 1e-9
    assert lost[-1].index in (150, 151, 152) and all(tick.applied == STOP for tick in lost)
    assert all(tick.applied != STOP for tick in ticks[155:])
    told = [incident for incident in summary.incidents if incident.reason == "lost_link"]
    assert told[0].times == 2 and told[0].stopped_s > 0.8


def test_a_token_is_made_once_for_its_owner_alone_and_a_loose_or_short_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "link.token"
    with pytest.raises(UsageError, match="makes one on the other machine"):
        read_token(path)
    token = read_token(path, make=True)
    assert len(token) == 64 and read_token(path) == token == read_token(path, make=True)
    assert path.stat().st_mode & 0o777 == 0o600
    os.chmod(path, 0o644)
    with pytest.raises(UsageError, match=r"open to others \(mode 644\); `chmod 600"):
        read_token(path)
    path.write_text("secret\n")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="has 6 characters, and 16 are the least"):
        read_token(path)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("robot.local", "is no address; write it like robot.local:7245"), ("robot:port", "is no address"),
        ("127.0.0.1:0", "is no address"), ("127.0.0.1:99999", "is no address"),
        ("no-such-host.invalid:7245", "host 'no-such-host.invalid' of .* is not known"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_in_one_sentence(address: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Driver(address, TOKEN)


def test_two_robots_cannot_listen_in_one_place() -> None:
    robot = LinkPolicy(CONFIG, "127.0.0.1:0", TOKEN)
    with pytest.raises(UsageError, match="cannot listen on .* choose another --listen"):
        LinkPolicy(CONFIG, robot.address, TOKEN)
    robot.close()
