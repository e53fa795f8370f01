"""docs/safety.md says what is tested: its files are there, its reasons are the guard's, its figures are the table's."""

from __future__ import annotations

import re
from pathlib import Path

from edge.plausible import Plausible, WheelCheck
from edge.reasons import Reason
from robot.config import load
from tests.faults.table import ROWS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")


def test_what_the_page_points_at_is_there() -> None:
    files = set(re.findall(r"`(tests/[a-z0-9_/]+\.py)`", TEXT))
    assert len(files) >= 10
    assert [name for name in sorted(files) if not (ROOT / name).is_file()] == []


def test_its_reasons_are_the_guards() -> None:
    told = set(re.findall(r"`([a-z]+_[a-z]+|overrun|fault|obstacle)`", TEXT)) - {"get_throttled", "strict_gpiod"}
    assert told <= {str(reason) for reason in Reason}
    assert {"stale_frame", "bad_frame", "stuck_range", "stuck_light", "light_sides", "wheel_fault", "overrun"} <= told


def test_its_figures_are_the_products() -> None:
    config, plausible = load(), Plausible(load())
    assert config.camera is not None
    assert f"`camera.stale_s`, {config.camera.stale_s:g} s" in TEXT
    assert config.range.stale_s == config.light.stale_s == 0.3
    assert (plausible.echo.samples, plausible.echo.way_m) == (6, 0.06) and "six echoes, 0.4 s, and 6 cm" in TEXT
    assert (plausible.left.samples, plausible.left.way_m) == (25, 1.0) and "25 samples and 1 m" in TEXT
    assert (WheelCheck.PATIENCE_S, WheelCheck.OFF_MPS, WheelCheck.SHARE, WheelCheck.REST_S) == (0.4, 0.06, 0.3, 2.0)
    assert round(1000 / config.range.rate_hz) == 67


def test_every_part_of_the_table_has_its_line() -> None:
    for part in {row.name.partition(":")[0] for row in ROWS}:
        assert part.split()[0] in TEXT, part
