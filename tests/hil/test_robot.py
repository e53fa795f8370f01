"""The hardware's cases as tests: `pytest tests/hil --hil -s` on a robot, somebody beside it; `--loopback` on jumpers.

EDGEBOT_ROBOT names the robot.toml (default ./robot.toml); `EDGEBOT_ROBOT=sim` takes a simulated robot.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from edge.commands.hil import electrical
from edge.hil.cases import GUIDED
from edge.hil.checklist import Checklist
from edge.hil.found import Status
from edge.hil.guided import real_bench, simulated_bench
from edge.hil.loopback import LOOPBACK
from edge.hil.operator import Person
from edge.hil.runner import Run, armed
from robot.config import load

WAYS = [("guided", case.name) for case in GUIDED] + [("loopback", case.name) for case in LOOPBACK]


@pytest.fixture(scope="module")
def outcomes(request):
    """By name: every case that this session has collected, run once."""
    loopback = request.config.getoption("--loopback")
    every = LOOPBACK if loopback else GUIDED
    names = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")}
    cases = armed([case for case in every if case.name in names], every)
    place = os.environ.get("EDGEBOT_ROBOT", "robot.toml")
    config = load(None if place == "sim" else place)
    checklist = Checklist(cases)
    with ExitStack() as stack:
        if loopback:
            bench, operator = electrical(config, place == "sim", stack), None
        else:
            bench = simulated_bench(config) if place == "sim" else real_bench(config, Person(pause=checklist.pause))
            operator = bench.operator
        stack.callback(bench.close)
        run = Run(cases, bench, operator, checklist)
        with checklist.shown():
            run.go()
    return {outcome.case.name: outcome for outcome in run.outcomes}


@pytest.mark.parametrize(("kind", "name"), WAYS, ids=["-".join(way) for way in WAYS])
def test_case(request, kind, name):
    if not request.config.getoption("--hil"):
        pytest.skip("needs a robot: run with --hil")
    if kind != ("loopback" if request.config.getoption("--loopback") else "guided"):
        pytest.skip("of the other set: with --loopback the electrical cases, without it the guided ones")
    outcome = request.getfixturevalue("outcomes")[name]
    if outcome.status is Status.SKIPPED:
        pytest.skip(outcome.sentence)
    assert outcome.status is Status.PASSED, outcome.words
