"""A replay memory of pictures: each is kept once, as bytes, however many observations it is part of.

An observation is the newest few pictures of an episode, so a memory of observations would keep each picture as often,
and twice again for what steps led to. Here the pictures are rows, and observations are put together when sampled: what
a step led to ends in the picture of the next row. Only where time cut an episode is its last picture kept apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats, Step
from train.replay import Indices, Replay

Picture = NDArray[np.uint8]


class FrameReplay(Replay):
    """As `Replay`, of an environment with a `frame_shape` (height, width, pictures)."""

    SEEN = ("_picture", "_began")
    LAG = 1  # the picture that the last step led to

    def __init__(self, env: BatchEnv, size: int, gamma: float, n_step: int = 1, alpha: float = 0.0) -> None:
        shape: Any = env
        height, width, self._stack = shape.frame_shape
        self._pixels = height * width
        super().__init__(env, max(size, (n_step + self.LAG + self._stack) * env.n), gamma, n_step, alpha)

    def _allocate(self, env: BatchEnv) -> None:
        self._picture = np.zeros((self._rows, self._n, self._pixels), np.uint8)
        self._began = np.zeros((self._rows, self._n), np.bool_)  # the first picture of an episode
        self._next_begins = np.ones(self._n, np.bool_)
        self._last: Picture = np.zeros((self._n, self._pixels), np.uint8)
        self._cut: dict[int, Picture] = {}  # where time cut an episode: the picture that came after

    @property
    def _oldest(self) -> int:
        """Pictures before those of the first observation are needed too."""
        full = self._added > self._rows
        return self._added - self._rows + self._stack - 1 if full else 0

    def _store(self, row: int, observation: Floats, step: Step) -> None:
        for column in range(self._n):
            self._cut.pop(row * self._n + column, None)
        self._picture[row] = self._newest(observation)
        self._began[row] = self._next_begins
        self._last = self._newest(step.final_observation).copy()
        for cut in np.flatnonzero(self._ended[row] & ~self._terminated[row]).tolist():
            self._cut[row * self._n + cut] = self._last[cut]
        self._next_begins = step.terminated | step.truncated
        if self._added >= self._rows:  # the oldest that are left lack a picture now
            for behind in range(1, self._stack):
                self._priority[(row + behind) % self._rows] = 0.0

    def cut(self) -> None:
        """All episodes begin anew after the last step that was added, wherever they are."""
        if self._added:
            row = (self._added - 1) % self._rows
            for column in np.flatnonzero(~self._ended[row]).tolist():
                self._cut[row * self._n + column] = self._last[column]
        super().cut()
        self._next_begins = np.ones(self._n, np.bool_)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint."""
        places = np.array(list(self._cut), np.int64)
        pictures = np.array(list(self._cut.values()), np.uint8).reshape(len(places), self._pixels)
        return super().arrays() | {
            "replay_cut": places, "replay_cut_picture": pictures, "replay_last": self._last,
            "replay_next_begins": self._next_begins,
        }  # fmt: skip

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go back to what `arrays` told. Raises KeyError or ValueError where it does not fit."""
        super().load(arrays)
        self._last, self._next_begins = arrays["replay_last"], arrays["replay_next_begins"]
        self._cut = dict(zip(arrays["replay_cut"].tolist(), arrays["replay_cut_picture"], strict=True))

    def _newest(self, observation: NDArray[Any]) -> Picture:
        """(N, pixels), the last picture of each observation."""
        picture: Picture = observation.reshape(self._n, self._pixels, self._stack)[..., -1]
        return picture

    def _seen(self, row: Indices, column: Indices) -> NDArray[Any]:
        return self._pictures(row, column, self._stack).reshape(*row.shape, -1)

    def _led_to(self, row: Indices, column: Indices) -> NDArray[Any]:
        whole = np.empty((*row.shape, self._pixels, self._stack), np.uint8)
        whole[..., :-1] = self._pictures(row, column, self._stack - 1)
        newest = self._picture[(row + 1) % self._rows, column]  # where an episode ended: any, as it has no future
        if self._cut:
            place = row * self._n + column
            for at in zip(*np.nonzero(np.isin(place, list(self._cut))), strict=True):
                newest[at] = self._cut[int(place[at])]
        whole[..., -1] = newest
        return whole.reshape(*row.shape, -1)

    def _pictures(self, row: Indices, column: Indices, count: int) -> Picture:
        """The newest `count` pictures at rows and columns, (..., pixels, count), the newest last."""
        whole = np.empty((*row.shape, self._pixels, count), np.uint8)
        for k in range(count - 1, -1, -1):
            whole[..., k] = self._picture[row, column]
            row = np.where(self._began[row, column], row, (row - 1) % self._rows)  # the first stands for those before
        return whole
