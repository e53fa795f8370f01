"""Each fault in each policy: what the wheels were given, and how soon; and the same without the protection.

The second test is the proof of the first: with its one protection taken away the same check on the same fault fails,
so that no row passes for another reason than the one that it names.
"""

from __future__ import annotations

import pytest

from tests.faults.scene import POLICIES, Life, forward, live
from tests.faults.table import DRIVES, NO_FORWARD, ROWS, SEES, ZERO, Row
from tests.faults.without import PROTECTIONS, without

CASES = [(row, policy) for row in ROWS for policy in row.policies]
STILL = 1e-9


class WheelsError(AssertionError):
    """The wheels did what they must not."""


def put_through(row: Row, policy: str) -> tuple[Life, float, float]:
    """A life with this fault in it, and when it began and ended."""
    start = row.start_s
    end = start + row.lasts_s
    options = {"render": "camera" in row.name and policy in SEES} | row.options
    life = live(
        policy, end + (row.again_s or 0.0) + 0.1, row.faults(start, end),
        lambda scene: row.prepare(scene, start, end), **options,
    )  # fmt: skip
    return life, start, end


def turns(wheels: object) -> bool:
    return max(abs(wheels.left), abs(wheels.right)) > STILL  # type: ignore[attr-defined]


def check_wheels(row: Row, life: Life, start: float, end: float) -> float:
    """Raises `WheelsError` where the wheels got what they must not; returns how long it took until they did not."""
    wrong = turns if row.wheels == ZERO else lambda wheels: forward(wheels) > 1e-6
    bad = [stamp for stamp, wheels in life.wheels(start + row.within_s, end) if wrong(wheels)]
    if bad:
        raise WheelsError(
            f"{row.name}: {bad[0] - start:.3f} s after its beginning the wheels still have other than {row.wheels}, "
            f"which was due within {row.within_s:.3f} s"
        )
    before = [stamp for stamp, wheels in life.wheels(start, end) if wrong(wheels)]
    after = [stamp for stamp, _ in life.wheels(start, end) if not before or stamp > before[-1]]
    return (after[0] if after else end) - start if before else 0.0


@pytest.mark.parametrize(("row", "policy"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_the_wheels_in_time(row: Row, policy: str) -> None:
    life, start, end = put_through(row, policy)
    if row.wheels == DRIVES:
        moving = [turns(tick.applied) for tick in life.ticks if start <= tick.now < end]
        assert sum(moving) > 0.7 * len(moving)
        assert not [incident for incident in life.summary.incidents if incident.reason != "stale_frame"]
        return
    if start > 0:
        assert any(turns(wheels) for _, wheels in life.wheels(start - 0.1, start)), "it stood before the fault too"
    took = check_wheels(row, life, start, end)
    assert took <= row.within_s + 1e-9
    if row.wheels == ZERO and "arriving" not in row.protection:
        told = [incident for incident in life.summary.incidents if incident.last_s >= start - 1e-9]
        assert told and told[0].stopped_s > 0, "a summary says what happened"
    if row.again_s is not None:
        assert any(turns(wheels) for _, wheels in life.wheels(end, end + row.again_s)), "it goes on by itself"
    else:
        assert not any(turns(wheels) for _, wheels in life.wheels(end, end + 0.1))


@pytest.mark.parametrize(
    ("row", "policy"), [(row, policy) for row, policy in CASES if row.protection],
    ids=lambda value: value if isinstance(value, str) else value.name,
)  # fmt: skip
def test_without_its_protection_the_same_check_fails(row: Row, policy: str) -> None:
    with without(row.protection):
        life, start, end = put_through(row, policy)
    with pytest.raises(WheelsError):
        check_wheels(row, life, start, end)


def test_every_fault_of_the_contract_is_in_the_table_for_every_policy() -> None:
    contract = {
        "camera": ("none", "unplugged", "frozen", "black", "wrong size", "slow"),
        "range": ("no echo", "stuck", "0", "infinity", "NaN", "alternating", "late"),
        "light": ("dead", "saturated", "swapped"),
        "motors": ("one dead", "one reversed"),
        "exception": ("sense", "policy", "guard", "actuation"),
    }
    elsewhere = {("camera: none", "light"), ("camera: none", "range"), ("camera: none", "learned")}  # they open none
    elsewhere.add(("light: swapped", "learned"))  # docs/safety.md: it does not turn about, so nobody can know
    there = {(row.name, policy) for row in ROWS for policy in row.policies}
    wanted = {(f"{part}: {what}", policy) for part, found in contract.items() for what in found for policy in POLICIES}
    assert wanted - there == elsewhere
    assert {row.protection for row in ROWS} - {""} == set(PROTECTIONS)
    assert {row.wheels for row in ROWS} == {ZERO, NO_FORWARD, DRIVES}
