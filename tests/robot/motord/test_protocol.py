"""The motors' protocol: what goes in comes out, and what is none of it is told."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.motor_report import SENTENCES, Cause, Flag, Report, Switch
from robot.motord import protocol
from robot.motord.protocol import Kind, ProtocolError
from robot.types import Wheels

REPORT = Report(
    12.5, Wheels(0.25, -1.0), Cause.LATCHED, math.inf, 12.7, Switch.PRESSED, Flag.DRIVEN | Flag.UNSTORED, 4711, 3.0,
    2**40, 5, 6, 2**32 - 1, 815,
)  # fmt: skip
NUMBERS = st.floats(allow_nan=False)


@given(st.integers(0, 2**64 - 1), NUMBERS, NUMBERS, NUMBERS)
def test_a_command_comes_out_as_it_went_in(sequence, left, right, until):
    data = protocol.command(sequence, left, right, until)
    assert protocol.head(data) == (Kind.COMMAND, sequence)
    assert protocol.read_command(data) == (left, right, until)


def test_a_command_may_carry_nan_to_whoever_refuses_it():
    assert all(math.isnan(n) for n in protocol.read_command(protocol.command(1, math.nan, math.nan, math.nan)))


@pytest.mark.parametrize("cause", Cause)
def test_a_report_comes_out_as_it_went_in(cause):
    found = replace(REPORT, cause=cause)
    data = protocol.report(9, found)
    assert protocol.head(data) == (Kind.REPORT, 9) and protocol.read_report(data) == found
    assert cause in SENTENCES


def test_a_refusal_is_cut_to_the_largest_message():
    data = protocol.refused(3, "ä" * 2000)
    assert protocol.head(data) == (Kind.REFUSED, 3) and len(data) <= protocol.LARGEST
    assert set(protocol.read_refused(data)) == {"ä"}


@pytest.mark.parametrize(
    "report, stopped",
    [
        (replace(REPORT, switch=Switch.RELEASED, flags=Flag(0)), False),
        (replace(REPORT, switch=Switch.ABSENT, flags=Flag(0)), False),
        (replace(REPORT, switch=Switch.PRESSED, flags=Flag(0)), True),
        (replace(REPORT, switch=Switch.FAILED, flags=Flag(0)), True),
        (replace(REPORT, switch=Switch.RELEASED, flags=Flag.LATCHED), True),
    ],
)
def test_the_emergency_stop_holds_while_pressed_unreadable_or_latched(report, stopped):
    assert report.stopped is stopped


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_told(data):
    for tail in (data, b"EB\x01" + data, b"EB\x01\x02" + data, b"EB\x01\x40" + data):
        try:
            kind, sequence = protocol.head(tail)
        except ProtocolError as error:
            assert ";" in str(error)
            continue
        assert 0 <= sequence < 2**64
        if kind is Kind.COMMAND:
            assert len(protocol.read_command(tail)) == 3


def test_another_version_is_told():
    with pytest.raises(ProtocolError, match="version 2 .* this one 1; install the same edgebot"):
        protocol.head(b"EB\x02" + protocol.request(Kind.ASK, 1)[3:])


def test_an_unknown_cause_is_told():
    data = bytearray(protocol.report(1, REPORT))
    data[protocol._HEAD.size + 24] = 200
    with pytest.raises(ProtocolError, match="200"):
        protocol.read_report(bytes(data))
