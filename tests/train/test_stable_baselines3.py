"""Stable-Baselines3 takes the robot's tasks as they are; its checker is run where it is installed.

    build/venvs/stable-baselines3/bin/python -m pytest --noconftest tests/train/test_stable_baselines3.py

(in the venv of `benchmarks/stable_baselines3.py`, with pytest, pydantic and opencv-python-headless beside).
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import pytest

from train.envs import ROBOT_TASKS

checker: Any = pytest.importorskip("stable_baselines3.common.env_checker")


@pytest.mark.parametrize("more", [{}, {"continuous": True, "wheels": True}], ids=["choices", "duties"])
@pytest.mark.parametrize("name", sorted(ROBOT_TASKS))
def test_its_checker_finds_nothing(name: str, more: dict[str, bool]) -> None:
    env = gymnasium.make(f"edgebot/{name.title()}-v0", rooms=1, render_mode="rgb_array", **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(env)
