"""`start`: a real `edgebot-motord` on mock pins; `delay`: how late this machine is by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot.config import load
from robot.motord.config import MotordConfig, of_robot
from tests.robot.motord.harness import Delay, Motord

Start = Callable[..., Motord]


@pytest.fixture
def config() -> MotordConfig:
    return of_robot(load())


@pytest.fixture
def start(tmp_path: Path, config: MotordConfig) -> Iterator[Start]:
    """start(*arguments, **environment) -> a Motord, ended with the test."""
    running: list[Motord] = []

    def begin(*arguments: str, config: MotordConfig = config, **environment: str) -> Motord:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Motord(folder, config, arguments, environment))
        return running[-1]

    yield begin
    for motord in running:
        motord.end()


@pytest.fixture
def delay() -> Iterator[Delay]:
    with Delay() as watch:
        yield watch
