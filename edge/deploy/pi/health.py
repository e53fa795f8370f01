"""Is the release that was switched to healthy: its units active, its loop ticking, its doctor content."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from edge.deploy.pi import programs
from edge.deploy.pi.place import UNITS, USER, AgentError, Place

START_S = 240.0
TICKING_S = 10.0
BEATS, PATIENCE = 3, 6.0  # so many reports of the loop, in at most so many times `TICKING_S`
DEATHS = 3  # a unit that dies so often will not start


def healthy(place: Place, order: dict[str, Any], tell: Callable[[str], None]) -> list[str]:
    """Wait for the units, watch the loop, ask the doctor.

    Returns:
        What the doctor found and the order accepts.

    Raises:
        AgentError: what is not as it must be.
    """
    deadline = time.monotonic() + float(order.get("start_s", START_S))
    deaths = {unit: _restarts(unit) for unit in UNITS}
    for unit in UNITS:
        while (state := programs.properties(unit, "ActiveState", "NRestarts"))["ActiveState"] != "active":
            died = int(state["NRestarts"] or 0) - deaths[unit]
            if died >= DEATHS or time.monotonic() > deadline:
                how = f"died {died} times" if died >= DEATHS else "was not ready in time"
                raise AgentError(f"{unit} {how}: {_journal(unit)}")
            time.sleep(0.5)
    tell("ticking")
    _ticking(float(order.get("ticking_s", TICKING_S)))
    tell("doctor")
    return _doctor(place, order)


def _restarts(unit: str) -> int:
    return int(programs.properties(unit, "NRestarts").get("NRestarts") or 0)


def _ticking(seconds: float) -> None:
    """Both units stay active as the same processes, and the loop, which alone feeds the watchdog, goes round.

    A busy machine looks and is looked at less often, so it gets longer to be seen going round.
    """
    names = ("ActiveState", "MainPID", "WatchdogTimestampMonotonic")
    first = {unit: programs.properties(unit, *names) for unit in UNITS}
    beats: set[str] = set()
    began = time.monotonic()
    while (lived := time.monotonic() - began) < seconds or len(beats) < BEATS:
        if lived > PATIENCE * seconds:
            raise AgentError(f"the loop does not go round: it reported {len(beats)} times in {lived:.0f} s")
        for unit in UNITS:
            now = programs.properties(unit, *names)
            if now["ActiveState"] != "active" or now["MainPID"] != first[unit]["MainPID"]:
                raise AgentError(f"{unit} did not live for {seconds:g} s: {_journal(unit)}")
        beats.add(now["WatchdogTimestampMonotonic"])
        time.sleep(0.5)


def _doctor(place: Place, order: dict[str, Any]) -> list[str]:
    """`edgebot doctor` as the runtime's user. A pressed emergency stop is no fault of the release."""
    command = [str(place.current / "venv/bin/edgebot"), "doctor", "--json", *order["doctor"]]
    said = programs.run(*command, user=USER, limit_s=300.0, good=(0, 1))
    accepted = set(order.get("accept", ()))
    try:
        rows = json.loads(said)["rows"]
    except (ValueError, KeyError):
        raise AgentError(f"`edgebot doctor` said no table: {programs.last_words(said)}") from None
    bad = [row for row in rows if row["level"] == "failure"]
    stopped = [row for row in bad if row["check"] == "motord" and "emergency stop" in row["found"]]
    left = [row for row in bad if row["check"] not in accepted and row not in stopped]
    if left:
        first = left[0]
        raise AgentError(f"`edgebot doctor` fails at {first['check']}: {first['found']} (mend: {first['mend']})")
    return [f"{row['check']}: {row['found']}" for row in bad]


def _journal(unit: str) -> str:
    """What the unit's own processes said last, best of all what was wrong; else what systemd said of it."""
    show = ("journalctl", "-n", "20", "-o", "cat", "--no-pager")
    own, all_ = (
        [line.strip() for line in programs.run(*show, *which, good=range(256)).splitlines() if line.strip()]
        for which in ((f"_SYSTEMD_UNIT={unit}",), ("-u", unit))
    )
    telling = [line for line in own if any(word in line for word in ("edgebot: ", "edgebot-motord: ", "Error"))]
    failed = [line for line in all_ if "Failed at step" in line]
    return (failed or telling or own or all_ or ["its journal says nothing"])[-1][:300]
