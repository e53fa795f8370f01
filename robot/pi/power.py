"""Whether the Pi's own supply has sagged: what `vcgencmd get_throttled` knows, from the kernel's files.

The driver `raspberrypi-hwmon` asks the firmware every two seconds and shows the answer as an alarm of the chip
`rpi_volt` (docs.kernel.org, "Kernel driver raspberrypi-hwmon"); reading it takes microseconds. A motor that stalls
pulls a shared supply down, and a Pi below 4.63 V does not compute dependably: the guard stops the wheels.
"""

from __future__ import annotations

from pathlib import Path


class Supply:
    """The alarm, found once.

    Args:
        root: of the file system; another one for tests.

    Attributes:
        path: of the alarm, None on a machine without one: then nothing is measured.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.path: Path | None = None
        for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
            alarm = chip / "in0_lcrit_alarm"
            try:
                if (chip / "name").read_text().strip() == "rpi_volt" and alarm.exists():
                    self.path = alarm
                    return
            except OSError:
                continue

    def read(self) -> float | None:
        """1.0 while the supply is too low, 0.0 while it is not, None where the file says neither."""
        if self.path is None:
            return None
        try:
            return {"0": 0.0, "1": 1.0}.get(self.path.read_text().strip())
        except OSError:
            return None
