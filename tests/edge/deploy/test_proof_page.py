"""The proof is of these sources: whoever changes deploy.sh, the units or motord proves them again."""

from __future__ import annotations

import pytest

from tests.lab.deploy_page import DEPLOY, Known, Plan, document, merged, sources, sources_in, whole


def test_the_proof_is_of_these_sources() -> None:
    now, proven = sources(), sources_in(DEPLOY.path.read_text(encoding="utf-8"))
    if not proven:
        pytest.skip("docs/proof-deploy.md holds no whole proof yet")
    changed = sorted(name for name in {*now, *proven} if now.get(name) != proven.get(name))
    assert not changed, f"changed since docs/proof-deploy.md was written: {', '.join(changed)}; run `make proof-deploy`"


PLANNED = [
    Plan("first", "first deploy", lambda rig: (True, "")),
    Plan("link1", "the link cut at 3 %", lambda rig: (True, ""), "the link cut"),
]


def known(**good: bool) -> Known:
    rows = {
        row.name: {"what": row.what, "good": good[row.name], "found": "x|y", "at": 0.0, "seconds": 9.0}
        for row in PLANNED if row.name in good
    }  # fmt: skip
    return {"commit": "abc", "sources": {"edge/a.py": "0" * 16}, "rows": rows}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (known(first=True), "Not a whole proof: 0 rows fail, 1 were not reached"),
        (known(first=True, link1=False), "Not a whole proof: 1 rows fail, 0 were not reached"),
    ],
)
def test_a_proof_with_a_row_that_fails_or_is_missing_is_none(found: Known, state: str) -> None:
    text = document(found, PLANNED)
    assert state in text and not sources_in(text) and not whole(found, PLANNED)


def test_a_whole_proof_names_its_sources() -> None:
    text = document(known(first=True, link1=True), PLANNED)
    assert "| first deploy | holds | x/y |" in text and "| the link cut, in all | holds | 1 of 1 |" in text
    assert sources_in(text) == {"edge/a.py": "0" * 16} and "Not a whole" not in text


def test_rows_of_other_sources_do_not_make_one_proof() -> None:
    one, other = known(first=True), known(first=False, link1=True)
    assert whole(merged([one, other]), PLANNED) and whole(merged([other, one]), PLANNED)
    older = {**other, "sources": {"edge/a.py": "1" * 16}, "commit": "old"}
    with pytest.raises(ValueError, match="not of the same sources"):
        merged([one, older])


def test_rows_across_sources_keep_their_commit_and_tell_what_changed() -> None:
    then = {"edge/a.py": "1" * 16, "edge/b.py": "2" * 16}
    older = {**known(first=True, link1=True), "sources": then, "commit": "old"}
    text = document(merged([known(first=True), older], across=True), PLANNED)
    assert "1 of 2 rows, marked old" in text and "edge/a.py, edge/b.py." in text
    assert "| the link cut at 3 % | holds | x/y (old) |" in text and "| first deploy | holds | x/y |" in text
    assert sources_in(text) == {"edge/a.py": "0" * 16}
