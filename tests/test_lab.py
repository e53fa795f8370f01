"""The proofs that need a guest are no part of these tests; that they start, and judge what they read, is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import board_rows, motord_table
from tests.lab.board_guest import Lines

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["motord", "power_cut", "deploy", "board"])
def test_it_tells_how_it_is_run(name: str) -> None:
    said = subprocess.run(
        [sys.executable, f"tests/lab/{name}.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    assert f"tests/lab/{name}.py" in said.stdout and "--write" in said.stdout


def read(name: str, low_ms: float | None = 3.0, **more: Any) -> dict[str, Any]:
    return {"row": name, "low_ms": low_ms, "gap_ms": 5.0, "turning": True, "in_pulse": True, "watched_s": 4.0} | more


def rows() -> list[dict[str, Any]]:
    """A run in which every promise held."""
    found: list[dict[str, Any]] = []
    for claim in motord_table.CLAIMS:
        if claim.taken_away:
            found.append(read(claim.name, None))
        elif claim.good in (motord_table.never_high, motord_table.CLAIMS[0].good):
            found.append(read(claim.name, 0.0, turning=False))
        elif claim.good is motord_table.pulled_down:
            found.append(read(claim.name, ended_ms=9.0, pulls=["pull-down"]))
        elif claim.good.__name__ == "good":
            found.append(read(claim.name))
        else:
            found.append({"row": claim.name, "resumed": True, "resumed_ms": 900.0, "latched": True, "turns": True})
    return found


def held(found: list[dict[str, Any]]) -> bool:
    return motord_table.document(found, "0000000", 60.0, 100.0)[1]


def test_a_good_run_holds() -> None:
    assert held(rows())


@pytest.mark.parametrize("index", range(len(motord_table.CLAIMS)), ids=[claim.name for claim in motord_table.CLAIMS])
def test_each_promise_can_be_broken(index: int) -> None:
    """A line that goes on where it must not, or stands where it must go on; a latch that forgot; a row not reached."""
    good = rows()
    row = good[index]
    taken_away = motord_table.CLAIMS[index].taken_away
    worse = row | ({"low_ms": 100.0 if taken_away else None} if "low_ms" in row else {})
    worse |= {name: False for name in ("resumed", "latched", "turns") if name in row}
    assert not held([*good[:index], worse, *good[index + 1 :]])
    assert not held([*good[:index], *good[index + 1 :]])


def test_a_bound_is_a_bound() -> None:
    good = rows()
    index = next(n for n, row in enumerate(good) if row["row"] == "runtime SIGSTOP")
    late = read("runtime SIGSTOP", 230.0)
    assert not held([*good[:index], late, *good[index + 1 :]])
    stalled = late | {"gap_ms": 40.0}  # the emulation stood still for longer than what is too much
    assert held([*good[:index], stalled, *good[index + 1 :]])


def test_what_a_run_did_not_reach_is_done_by_the_next() -> None:
    good = rows()
    assert motord_table.missing(good) == []
    assert [claim for claims in motord_table.PARTS.values() for claim in claims] == list(motord_table.CLAIMS[1:])
    cut = [row for row in good if not row["row"].startswith("guest's power cut")]
    assert motord_table.missing(cut) == ["latched"]
    stood = [row | {"turning": False} if row["row"] == "motord SIGINT" else row for row in good]
    assert motord_table.missing(stood) == ["motord_ended"]
    guest = (ROOT / "tests" / "lab" / "motord_guest.py").read_text()
    assert all(f"\ndef {part}(" in guest for part in motord_table.PARTS)


def test_the_share_of_high_counts_from_the_level_before() -> None:
    """Pulses of 30 % on line 4 from 1 s to 2 s, line 0 high as long."""
    lines = Lines.__new__(Lines)
    lines.changes = [(0.0, 0)]
    for pulse in range(10):
        lines.changes += [(1 + pulse / 10, 1 << 4 | 1), (1.03 + pulse / 10, 1)]
    lines.changes.append((2.0, 0))
    assert lines.share(4, 1.25, 1.75) == pytest.approx(0.3) and lines.share(0, 1.25, 1.75) == pytest.approx(1.0)
    assert lines.share(4, 0.0, 1.0) == 0.0 and lines.share(0, 1.5, 2.5) == pytest.approx(0.5)
    found = board_rows.levels(lines)
    assert found["left_forward"] == 1.0 and found["left_enable"] == pytest.approx(0.3, abs=0.05)
    assert found["left_backward"] == found["right_forward"] == 0.0
