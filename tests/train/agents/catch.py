"""A game in pixels, small enough to be learnt in seconds: catch what falls with the paddle at the bottom."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

SIDE = 8


class Catch(gymnasium.Env[NDArray[np.uint8], int]):
    """A ball falls, one row a step and now and then a column to a side; +2 caught, -2 not: 5 balls are a game.

    Actions: stay, left, right. Pictures are SIDE x SIDE bytes, or with `side` larger ones. Which way the ball goes is
    seen from two pictures only.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, side: int = SIDE, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(0, 255, (side, side), np.uint8)
        self.action_space = spaces.Discrete(3)
        self._scale, self.render_mode = side // SIDE, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._paddle, self._balls = SIDE // 2, 0
        self._drop()
        return self._picture(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self._paddle = min(max(self._paddle + (0, -1, 1)[action], 1), SIDE - 2)
        self._row += 1
        self._column += self._drift
        if not 0 <= self._column < SIDE:
            self._drift, self._column = -self._drift, self._column - 2 * self._drift
        earned = 0.0
        if self._row == SIDE - 1:
            earned = 2.0 if abs(self._column - self._paddle) <= 1 else -2.0
            self._balls += 1
            self._drop()
        return self._picture(), earned, self._balls == 5, False, {}

    def render(self) -> NDArray[np.uint8]:
        return np.repeat(self._picture()[:, :, None], 3, 2)

    def _drop(self) -> None:
        self._row, self._column = 0, int(self.np_random.integers(SIDE))
        self._drift = int(self.np_random.integers(-1, 2))

    def _picture(self) -> NDArray[np.uint8]:
        picture = np.zeros((SIDE, SIDE), np.uint8)
        picture[self._row, self._column] = 255
        picture[SIDE - 1, self._paddle - 1 : self._paddle + 2] = 160
        return np.kron(picture, np.ones((self._scale, self._scale), np.uint8))


if "Catch-v0" not in gymnasium.registry:
    gymnasium.register("Catch-v0", Catch)
    gymnasium.register("CatchLarge-v0", Catch, kwargs={"side": 2 * SIDE})
