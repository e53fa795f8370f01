"""sd_notify: what a service manager hears, and silence where there is none."""

from __future__ import annotations

import os
import socket

import pytest

from robot.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket as systemd's, and its name in the environment."""
    name = str(tmp_path / "n.sock") if request.param == "path" else f"@edgebot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name if name[0] == "/" else "\0" + name[1:])
        sock.settimeout(5)
        yield sock, name


def test_what_is_said_is_heard(manager):
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.watchdog_s == 0.5 and notifier.watched
    notifier.ready("all\nwell")
    assert sock.recv(999) == b"READY=1\nSTATUS=all well"
    notifier.alive()
    assert sock.recv(999) == b"WATCHDOG=1"
    notifier.status("drives")
    notifier.status("drives")  # nothing new
    notifier.status("stands")
    assert sock.recv(999) == b"STATUS=drives" and sock.recv(999) == b"STATUS=stands"
    notifier.stopping()
    assert sock.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nowhere/s"}]
)
def test_where_nobody_listens_nothing_happens(environment):
    notifier = Notifier(environment)
    assert not notifier.watched
    for say in (notifier.ready, notifier.alive, notifier.stopping, notifier.close, lambda: notifier.status("x")):
        say()


@pytest.mark.parametrize("usec, pid", [("", ""), ("0", ""), ("x", ""), ("1000000", "1"), ("1000000", "x")])
def test_a_watchdog_that_is_not_ours_is_none(usec, pid):
    assert Notifier({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_s is None


def test_a_manager_that_does_not_read_holds_nobody_up(manager):
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(5000):
        notifier.alive()
    sock.close()
    notifier.alive()
