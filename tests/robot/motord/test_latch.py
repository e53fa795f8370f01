"""The emergency stop's latch, on disks of every kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robot.errors import RobotError
from robot.motord.latch import Latch


def test_a_new_one_is_released_and_a_set_one_stays_set(tmp_path):
    path = tmp_path / "deep" / "latch"
    latch = Latch(path)
    assert not latch.latched and latch.stored
    latch.set()
    assert latch.latched and Latch(path).latched
    assert latch.release() and not latch.latched and not Latch(path).latched


@pytest.mark.parametrize("found", [b"latched \n", b"latched", b"released", b"\0" * 9, b"something else\n"])
def test_whatever_is_not_released_counts_as_latched(tmp_path, found):
    path = tmp_path / "latch"
    path.write_bytes(found)
    assert Latch(path).latched


def test_one_that_cannot_be_written_holds_all_the_same(tmp_path, monkeypatch):
    latch = Latch(tmp_path / "latch")

    def full(handle, data, offset):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        latch.set()
        assert latch.latched and not latch.stored
        assert not latch.release() and latch.latched
    assert latch.release() and not latch.latched


def test_a_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RobotError, match="cannot be written .*--state"):
        Latch(tmp_path / "file" / "latch")


def test_a_full_disk_from_the_start_is_told():
    with pytest.raises(RobotError, match="cannot be written"):
        Latch(Path("/dev/full"))
