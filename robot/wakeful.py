"""How long an idle processor may take to wake: asked of the kernel while a loop runs, never required.

The kernel puts an idle processor to sleep, the deeper the longer it expects to have nothing to do; a thread that is due
meanwhile waits until it is awake again. On a virtual machine that sleep is a halt, and waking up waits for the host to
give the processor back: milliseconds, for a loop that is due every 20. Who holds /dev/cpu_dma_latency open sets the
limit, in microseconds, for all processors; closing it, or the process's end by whatever death, gives it back.
Where the kernel has no idle states to choose from (it is so on some boards) asking costs and changes nothing.

Documentation/power/pm_qos_interface.rst and Documentation/virt/guest-halt-polling.rst of the Linux kernel.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICE = Path("/dev/cpu_dma_latency")
GOVERNOR = Path("/sys/devices/system/cpu/cpuidle/current_governor")

LIGHT_US = 20
"""On a machine: light sleep stays allowed, which wakes in a few microseconds and saves most of the power."""

AWAKE_US = 0
"""On a virtual machine, whose only sleep is the halt: none, so its idle processors poll, as busy as any."""


def wanted_us() -> int:
    """The limit to ask for here, microseconds."""
    try:
        virtual = GOVERNOR.read_text().strip() == "haltpoll"  # the kernel takes it where a hypervisor is underneath
    except OSError:
        virtual = False
    return AWAKE_US if virtual else LIGHT_US


@contextmanager
def wakeful(limit_us: int | None = None) -> Iterator[int]:
    """Inside, an idle processor wakes within the limit.

    Args:
        limit_us: the limit, microseconds; `wanted_us()` by default.

    Yields:
        The limit asked for.

    Raises:
        OSError: not on Linux, or this user may not open the device.
    """
    limit_us = wanted_us() if limit_us is None else limit_us
    held = os.open(DEVICE, os.O_WRONLY | os.O_CLOEXEC)  # a child that lives on must not hold it
    try:
        os.write(held, struct.pack("=i", limit_us))
        yield limit_us
    finally:
        os.close(held)
