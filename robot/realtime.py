"""What a thread that must not be late asks of the kernel, and what the kernel grants: wished for, never required.

Five things, each by itself: the real-time scheduler (SCHED_FIFO, where RLIMIT_RTPRIO or CAP_SYS_NICE allows it),
locked memory (where RLIMIT_MEMLOCK is unlimited), timers without slack, for the loop idle processors that wake soon
(`robot.wakeful`), and, for what stays under the ordinary scheduler, short time slices: a thread that asks for short
ones is let in sooner when it wakes (Linux 6.12 and later, open to everyone). Standard library only, since the motors'
own process uses it too.

The manual pages: sched(7), sched_setattr(2), mlockall(2), PR_SET_TIMERSLACK(2const).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from robot.wakeful import wakeful

LOOP_PRIORITY, MOTORD_PRIORITY = 20, 30
"""Of SCHED_FIFO, 1 to 99: what stops the wheels comes before what moves them; kernel threads (50) before both."""

VARIABLE = "EDGEBOT_REALTIME"
"""This environment variable set to `off` asks for nothing at all, to `ordinary` for what needs no privilege."""

SLICE_S = 0.0001  # of a thread under the ordinary scheduler, the shortest there is; the kernel's own are 0.7 to 3 ms
_SET_SLACK, _GET_SLACK = 29, 30  # prctl
_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4  # mlockall
_CAP_IPC_LOCK = 14
_SETATTR = {"x86_64": 314, "aarch64": 274, "armv7l": 380, "riscv64": 274}  # sched_setattr; getattr is the next number


@dataclass(frozen=True, slots=True)
class Granted:
    """What a thread has of what it asked for."""

    priority: int = 0  # of SCHED_FIFO; 0: the ordinary scheduler
    locked: bool = False  # no page of this process goes out to the disk
    slack_ns: int = 0  # how late the kernel may let a timer be to save power; 0: not known
    slice_us: int = 0  # time slice under the ordinary scheduler; 0: the kernel's own
    wake_us: int | None = None  # an idle processor wakes within it; None: as soon as the kernel likes
    refused: tuple[str, ...] = ()  # what was not granted, and why

    def sentence(self) -> str:
        """In words, for a table."""
        parts = [
            f"real-time priority {self.priority}" if self.priority else "ordinary priority",
            "memory locked" if self.locked else "memory not locked",
        ]
        if self.slice_us and not self.priority:
            parts.append(f"slices of {self.slice_us} us")
        if self.wake_us is not None:
            parts.append(f"idle processors wake within {self.wake_us} us" if self.wake_us else "processors kept awake")
        return ", ".join(parts)


def ask(priority: int = LOOP_PRIORITY, *, threads: bool = False) -> Granted:
    """Ask for the calling thread, its process's other threads (one below) and memory; never raises.

    Args:
        priority: of SCHED_FIFO.
        threads: whether what is started later inherits the priority; else it starts as an ordinary one.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked == "off":
        return Granted(refused=(f"{VARIABLE} is off",))
    if not sys.platform.startswith("linux"):
        return Granted(refused=(f"{platform.system()} is not asked",))
    refused: list[str] = []

    def attempt(what: str, call: Callable[[], object]) -> bool:
        try:
            call()
            return True
        except (OSError, AttributeError, ValueError) as error:
            refused.append(f"{what}: {getattr(error, 'strerror', None) or error}")
            return False

    ordinary = asked == "ordinary"
    fifo = not ordinary and attempt("real-time priority", lambda: _fifo(priority, threads))
    locked = not ordinary and attempt("locked memory", _lock)
    attempt("timers without slack", lambda: _prctl(_SET_SLACK, 1))
    if not fifo:
        attempt("short slices", lambda: _short_slices(SLICE_S))
    return Granted(priority if fifo else 0, locked, _slack(), 0 if fifo else _slice_us(), refused=tuple(refused))


@contextmanager
def realtime(priority: int = LOOP_PRIORITY) -> Iterator[Granted]:
    """Inside, the calling thread has what it asked for and processors wake soon; afterwards all of it is given back."""
    slack = _slack()
    granted = ask(priority)
    with ExitStack() as stack:
        stack.callback(_give_back, granted, slack)
        if os.environ.get(VARIABLE, "") not in ("off", "ordinary"):
            try:
                granted = replace(granted, wake_us=stack.enter_context(wakeful()))
            except OSError as error:
                granted = replace(granted, refused=(*granted.refused, f"waking soon: {error.strerror}"))
        yield granted


def _give_back(granted: Granted, slack: int) -> None:
    """What `ask` was granted."""
    with suppress(OSError, AttributeError):
        if granted.priority:
            _ordinary()
        if granted.slice_us:
            _short_slices(0.0)
        if granted.locked:
            _libc().munlockall()
        if slack:
            _prctl(_SET_SLACK, slack)


def probe(priority: int = LOOP_PRIORITY) -> Granted:
    """What would be granted here: asked for, and given back at once."""
    with realtime(priority) as granted:
        return granted


def _fifo(priority: int, threads: bool) -> None:
    """The calling thread first; this process's other threads one below: whoever holds the interpreter keeps it waiting.

    A thread that was preempted by ordinary processes while it held the interpreter would make the loop late.
    """
    policy = os.SCHED_FIFO | (0 if threads else os.SCHED_RESET_ON_FORK)
    os.sched_setscheduler(0, policy, os.sched_param(priority))  # 0 is the calling thread
    for thread in _others():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(max(priority - 1, 1)))


def _ordinary() -> None:
    """All threads of this process back under the ordinary scheduler."""
    for thread in (0, *_others()):
        with suppress(ProcessLookupError):
            os.sched_setscheduler(thread, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))


def _others() -> list[int]:
    """Ids of this process's threads but the calling one."""
    return [int(task) for task in os.listdir("/proc/self/task") if int(task) != threading.get_native_id()]


def _lock() -> None:
    """All pages, as they are touched. Only where there is no limit: else a later allocation would fail instead."""
    import resource

    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _may_lock():
        raise OSError(errno.EPERM, "the limit on locked memory (ulimit -l) is not unlimited")
    _check(_libc().mlockall(_CURRENT | _FUTURE | _ON_FAULT))


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK."""
    with suppress(OSError, ValueError), open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def _short_slices(seconds: float) -> None:
    """Short slices for each thread that this process has: one that holds the interpreter keeps the others waiting.

    0 gives back the kernel's own.
    """
    number = _SETATTR.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"not known on {platform.machine()}")
    for thread in (0, *_others()):
        try:
            if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK != os.SCHED_OTHER:
                continue
            nice = os.getpriority(os.PRIO_PROCESS, thread)
        except ProcessLookupError:  # it has ended meanwhile
            continue
        # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
        data = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, round(seconds * 1e9), 0, 0)
        with suppress(ProcessLookupError):
            _check(_libc().syscall(number, thread, data, 0))


def _slice_us() -> int:
    """The calling thread's time slice, microseconds; 0 where the kernel does not tell."""
    number = _SETATTR.get(platform.machine())
    if number is None:
        return 0
    data = ctypes.create_string_buffer(48)
    if _libc().syscall(number + 1, 0, data, len(data), 0) != 0:
        return 0
    return int(struct.unpack("=IIQiIQQQ", data.raw)[5] // 1000)


def _slack() -> int:
    try:
        return _prctl(_GET_SLACK)
    except (OSError, AttributeError):
        return 0


def _prctl(option: int, argument: int = 0) -> int:
    return _check(_libc().prctl(option, ctypes.c_ulong(argument), 0, 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
