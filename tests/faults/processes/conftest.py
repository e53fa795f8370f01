"""A driving robot of two real processes for each module of tests: with its protections, and without them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.processes.couple import Couple, couple


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Couple]:
    with couple(tmp_path_factory.mktemp("protected"), True) as found:
        yield found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Couple]:
    with couple(tmp_path_factory.mktemp("bare"), False) as found:
        yield found
