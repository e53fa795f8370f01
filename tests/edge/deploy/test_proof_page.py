"""The proof is of these sources: whoever changes deploy.sh, the units or motord proves them again."""

from __future__ import annotations

import pytest

from tests.lab.deploy_page import document, sources, written


def test_the_proof_is_of_these_sources() -> None:
    now, proven = sources(), written()
    if not proven:
        pytest.skip("docs/proof-deploy.md holds no whole proof yet")
    changed = sorted(name for name in {*now, *proven} if now.get(name) != proven.get(name))
    assert not changed, f"changed since docs/proof-deploy.md was written: {', '.join(changed)}; run `make proof-deploy`"


def test_a_row_that_fails_and_a_row_that_is_missing_show() -> None:
    of = {"commit": "abc", "sources": {"a": "0" * 16}}
    first = {"what": "first deploy", "good": True, "found": "x|y", "at": 0.0, **of}
    cut = {"what": "the link cut at 3 s", "good": False, "found": "z", "at": 9.0, "cut": "the link cut"}
    text = document([first, cut])
    assert "| first deploy | holds | x/y |" in text and "| the link cut at 3 s | **fails** | z |" in text
    assert "| 0 of 1 |" in text and "Not reached in this run: second deploy" in text and f"a {'0' * 16}" in text
