"""SIGKILL at random moments: what is recovered lacks the last second and one fsync at most.

Six deaths here; `EDGEBOT_KILLS=200` for more, or `python -m tests.edge.recordings.kills`, which writes the table.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.recordings.repair import check, repair
from tests.edge.recordings.files import indexes
from tests.edge.recordings.kills import ROOT, SECOND, START_S, campaign

KILLS = int(os.environ.get("EDGEBOT_KILLS", "6"))


@pytest.mark.slow
def test_a_killed_recording_loses_the_last_second_at_most() -> None:
    outcomes = campaign(KILLS, jobs=3, first=1000)
    for outcome in outcomes:
        # The promise is the writer's; a machine that did not let it run for a while adds that while.
        assert outcome.lost_s <= outcome.bound_s + outcome.stall_s, outcome
        assert not outcome.dropped or outcome.stall_s > 1.0
    assert any(outcome.damaged for outcome in outcomes)


@pytest.mark.slow
def test_without_the_flush_the_bound_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same deaths with the protection taken away: were the chunk not closed each second, they would show it."""
    monkeypatch.setenv("EDGEBOT_VICTIM_FLUSH_S", "1000")
    outcomes = campaign(2, jobs=2, first=2000, shortest_s=5.0)
    assert any(outcome.lost_s > outcome.bound_s + outcome.stall_s for outcome in outcomes)


@pytest.mark.slow
def test_a_killed_run_is_recovered(tmp_path: Path) -> None:
    """The whole runtime, as people start it."""
    path = tmp_path / "run.mcap"
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "straight", "--realtime", "--duration", "120",
         "--record", str(path)],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until and not (path.exists() and path.stat().st_size > 20_000):
            time.sleep(0.02)
        time.sleep(1.5)
        size = path.stat().st_size
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    report = repair(path)
    assert not report.whole and size > 20_000
    found = indexes(path)
    assert found == list(range(len(found))) and len(found) >= 50 * SECOND
    assert check(Path(report.original).read_bytes()), "the damaged file is kept as it was"
