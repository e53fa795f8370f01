"""The course of a run: what counts as the best, and no tale of the first, quick episodes alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.history import WINDOW, History
from train.learner import Iteration


def ended(steps: int, episodes: int, value: float, success: bool = True) -> Iteration:
    return Iteration(steps, [value] * episodes, [7] * episodes, [success] * episodes, {"entropy": 1.0})


def test_the_first_quick_episodes_are_not_told() -> None:
    history = History(environments=200)
    assert not history.add(ended(100, 20, 9.0))
    assert "return" not in history.rows[-1] and "success" not in history.rows[-1] and history.best is None
    assert history.add(ended(200, 180, 5.0, success=False))
    assert history.rows[-1]["return"] == pytest.approx(5.0) and history.rows[-1]["success"] == 0.0


def test_the_best_is_the_highest_return_and_of_equals_the_latest() -> None:
    history = History(environments=1)
    told = [history.add(ended(100 * i, WINDOW, value)) for i, value in enumerate([1.0, 3.0, 2.0, 3.0, 2.5])]
    assert told == [True, True, False, True, False] and history.best == 3.0


def test_a_window_spans_iterations_and_a_copy_goes_on_alike() -> None:
    history = History(environments=1)
    history.add(ended(100, WINDOW, 0.0))
    again = History.from_json(history.as_json(), 1)
    for one in (history, again):
        one.add(ended(200, WINDOW // 2, 1.0))
        assert one.rows[-1]["return"] == pytest.approx(0.5)
    assert history.csv() == again.csv() and history.as_json() == again.as_json()


def test_table_and_picture(tmp_path: Path) -> None:
    history = History(environments=1)
    history.add(Iteration(10))
    history.add(ended(20, WINDOW, 1.25))
    head, first, second = history.csv().splitlines()
    assert set(head.split(",")) == {"steps", "episodes", "return", "length", "success", "entropy"}
    assert first.startswith("10,0") and "1.25" in second
    history.draw(tmp_path / "curve.png", "a run")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
