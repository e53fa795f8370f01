"""A wall clock that a test can step, for whole processes: libc's own, shifted by a number in a shared file.

CLOCK_REALTIME is the machine's, and no namespace has its own; so a small library stands before libc's calls
(LD_PRELOAD). Where there is no compiler the same is done to Python's `time` inside the process.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Protocol

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset;

__attribute__((constructor)) static void find(void) {
    int file = open(getenv("WALL_OFFSET"), O_RDONLY | O_CLOEXEC);
    void *there = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (there != MAP_FAILED) offset = there;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (!code && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return code;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (where) *where = found.tv_sec;
    return found.tv_sec;
}
"""


class Runs(Protocol):
    def do(self, source: str) -> object: ...


class Wall:
    """The clock on the wall of some processes; `environment` is what they have to be started with."""

    def __init__(self, folder: Path) -> None:
        path = folder / "wall"
        path.write_bytes(bytes(8))
        self._file = path.open("r+b")
        self._offset = mmap.mmap(self._file.fileno(), 8)
        self.environment: dict[str, str] = {}
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is not None:
            source, library = folder / "wall.c", folder / "wall.so"
            source.write_text(SOURCE)
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
            self.environment = {"LD_PRELOAD": str(library), "WALL_OFFSET": str(path)}

    def step(self, seconds: int, *patients: Runs) -> float:
        """Set the wall clock of these processes `seconds` off; returns when (monotonic)."""
        self._offset[:] = struct.pack("=q", seconds)
        now = time.monotonic()
        for patient in patients:
            if not self.environment:
                patient.do(f"import time; real = getattr(time, 'real', time.time); time.real = real; "
                           f"time.time = lambda: real() + {seconds}; "
                           f"time.time_ns = lambda: int((real() + {seconds}) * 1e9)")  # fmt: skip
            off = patient.do("value = __import__('time').time()") - time.time()  # type: ignore[operator]
            assert abs(off - seconds) < 60, f"its wall clock is {off} s off, not {seconds}"
        return now

    def close(self) -> None:
        self._offset.close()
        self._file.close()
