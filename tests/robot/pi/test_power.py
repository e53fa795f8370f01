"""The supply's alarm, from a tree of files as a Pi's kernel shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot.pi.power import Supply


def chip(root: Path, number: int, name: str, alarm: str | None = None) -> Path:
    folder = root / "sys/class/hwmon" / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    if alarm is not None:
        (folder / "in0_lcrit_alarm").write_text(alarm)
    return folder


@pytest.mark.parametrize(("alarm", "value"), [("0\n", 0.0), ("1\n", 1.0), ("", None), ("nonsense\n", None)])
def test_the_alarm_of_rpi_volt_is_found_among_other_chips(tmp_path: Path, alarm: str, value: float | None) -> None:
    chip(tmp_path, 0, "cpu_thermal", "1\n")
    volt = chip(tmp_path, 1, "rpi_volt", alarm)
    supply = Supply(tmp_path)
    assert supply.path == volt / "in0_lcrit_alarm"
    assert supply.read() == value


def test_a_machine_without_it_measures_nothing_and_a_chip_that_goes_says_so(tmp_path: Path) -> None:
    assert Supply(tmp_path).path is None
    assert Supply(tmp_path).read() is None
    alarm = chip(tmp_path, 2, "rpi_volt", "0\n") / "in0_lcrit_alarm"
    supply = Supply(tmp_path)
    alarm.unlink()
    assert supply.read() is None
