"""Gymnasium's checker finds nothing wrong with the robot's tasks, nor does Stable-Baselines3's where it is installed.

    build/venvs/stable-baselines3/bin/python -m pytest --noconftest tests/train/test_checkers.py

(in the venv of `benchmarks/stable_baselines3.py`, with pytest, pydantic and opencv-python-headless beside).
"""

from __future__ import annotations

import warnings

import gymnasium
import pytest

from train.envs import ROBOT_TASKS


@pytest.mark.parametrize("more", [{}, {"continuous": True, "wheels": True}], ids=["choices", "duties"])
@pytest.mark.parametrize("name", sorted(ROBOT_TASKS))
@pytest.mark.parametrize("library", ["gymnasium.utils", "stable_baselines3.common"])
def test_its_checker_finds_nothing(library: str, name: str, more: dict[str, bool]) -> None:
    checker = pytest.importorskip(f"{library}.env_checker")
    env = gymnasium.make(f"edgebot/{name.title()}-v0", rooms=3, render_mode="rgb_array", **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(env.unwrapped)
