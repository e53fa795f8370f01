"""Gymnasium environments that show pictures, N of them at once, prepared as Mnih et al. 2015 do for Atari's games.

A picture becomes grey, is cropped and made small; an action is repeated for some frames, and the brighter of the last
two is kept, as Atari's sprites flicker; the newest few pictures are seen together, so that what moves shows. While
learning, rewards are cut to their sign, and a lost life has no future. (https://doi.org/10.1038/nature14236)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from edge.errors import UsageError
from train.envs.batch import Flags, Floats, Step
from train.envs.gym_batch import Interface, make_one
from train.settings import setting

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class FrameSettings:
    """How a picture is prepared. Atari's games begin with other values: see `settings_for`."""

    size: int = setting(84, "pixels of a side of what is seen", low=8, high=512)
    crop_top: int = setting(0, "rows of the game's picture left out above", low=0)
    crop_bottom: int = setting(0, "and below", low=0)
    stack: int = setting(4, "newest pictures seen together", low=1, high=16)
    skip: int = setting(1, "frames for which an action is repeated", low=1, high=60)
    clip: bool = setting(True, "learn from the sign of a reward")
    lives: bool = setting(True, "a lost life has no future, where the game counts lives")


def shows_pictures(space: spaces.Space[Any]) -> bool:
    """Whether what is observed is a picture: bytes, of height and width, perhaps with colours."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def settings_for(task: str) -> FrameSettings:
    """The defaults of a task."""
    return FrameSettings(skip=4) if task.startswith("ALE/") else FrameSettings()


class Game:
    """One environment as small grey pictures.

    Raises:
        UsageError: actions that are no choices, or a crop that leaves nothing.
    """

    def __init__(self, task: str, settings: FrameSettings, render_mode: str | None = None) -> None:
        # Atari's own frame skip would keep the last picture only, and flicker.
        atari = {"frameskip": 1, "obs_type": "grayscale"} if task.startswith("ALE/") else {}
        self.env = make_one(task, **atari, **({"render_mode": render_mode} if render_mode else {}))
        self.interface = Interface(task, self.env, False)
        self.settings = settings
        inner: Any = self.env.unwrapped
        meanings = inner.get_action_meanings() if hasattr(inner, "get_action_meanings") else []
        self._fire = meanings.index("FIRE") if "FIRE" in meanings else None
        self._ale: Any = getattr(inner, "ale", None)
        self._lives = 0
        height = self.env.observation_space.shape[0]  # type: ignore[index]
        if settings.crop_top + settings.crop_bottom > height - 8:
            raise UsageError(
                f"crop_top={settings.crop_top} and crop_bottom={settings.crop_bottom} leave less than 8 of {height} "
                f"rows of {task}; make them smaller"
            )

    def reset(self, seed: int | None = None) -> Picture:
        """(size, size), the first picture."""
        seen, _ = self.env.reset(seed=seed)
        self._lives = self._count()
        return self._begin(seen)

    def step(self, action: Any) -> tuple[Picture, float, bool, bool, bool]:
        """The newest picture, what was earned, and whether a life was lost, the game ended, or its time did."""
        earned, last, seen = 0.0, None, None
        terminated = truncated = False
        for _ in range(self.settings.skip):
            last = seen
            seen, reward, terminated, truncated, _ = self.env.step(action)
            earned += float(reward)
            if terminated or truncated:
                break
        assert seen is not None
        both = seen if last is None else np.maximum(seen, last)
        lives, self._lives = self._lives, self._count()
        lost = self._lives < lives and not terminated
        if lost and not truncated:
            return self._begin(both), earned, True, terminated, truncated
        return self._small(both), earned, lost, terminated, truncated

    def _begin(self, seen: Any) -> Picture:
        """Press FIRE where a game waits for it: whoever never tries would wait for ever."""
        if self._fire is not None:
            after, _, terminated, truncated, _ = self.env.step(self._fire)
            seen = seen if terminated or truncated else np.maximum(seen, after)
        return self._small(seen)

    def _count(self) -> int:
        return 0 if self._ale is None else int(self._ale.lives())

    def _small(self, seen: Any) -> Picture:
        s = self.settings
        picture = np.asarray(seen)
        picture = picture[s.crop_top : picture.shape[0] - s.crop_bottom]
        if picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.shape[2] == 3 else picture[:, :, 0]
        if picture.shape != (s.size, s.size):
            picture = cv2.resize(picture, (s.size, s.size), interpolation=cv2.INTER_AREA)
        return picture.astype(np.uint8, copy=False)


class FrameBatch:
    """N games side by side. Observations are bytes, (N, size * size * stack), the newest picture last.

    Args:
        learning: rewards and lives are as the settings say; else the game's own score counts.
    """

    continuous = False
    restart_steps = 250_000
    """All episodes begin anew so often: whoever resumes plays again what came since."""

    def __init__(self, task: str, n: int, settings: FrameSettings, learning: bool = True) -> None:
        self.n, self._made = n, (task, settings, learning)
        self._games = [Game(task, settings) for _ in range(n)]
        interface = self._games[0].interface
        if interface.continuous:
            raise UsageError(f"task {task!r} shows pictures and has continuous actions, which no algorithm here drives")
        self.actions = interface.actions
        self.frame_shape = (settings.size, settings.size, settings.stack)
        self.observation_size = self.state_size = settings.size**2 * settings.stack
        self._seen = np.zeros((n, *self.frame_shape), np.uint8)
        self._settings, self._learning = settings, learning

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        seeds = np.random.SeedSequence(seed).generate_state(self.n).tolist()
        for i, (game, own) in enumerate(zip(self._games, seeds, strict=True)):
            self._seen[i] = game.reset(own)[:, :, None]
        seen = self._flat()
        return seen, seen

    def step(self, actions: NDArray[Any]) -> Step:
        earned = np.zeros(self.n, np.float32)
        lost, terminated, truncated = np.zeros((3, self.n), np.bool_)
        self._seen[..., :-1] = self._seen[..., 1:]
        for i, (game, action) in enumerate(zip(self._games, self._games[0].interface.act(actions), strict=True)):
            self._seen[i, :, :, -1], earned[i], lost[i], terminated[i], truncated[i] = game.step(action)
        final = seen = self._flat()
        done = terminated | truncated
        if done.any():
            for i in np.flatnonzero(done).tolist():
                self._seen[i] = self._games[i].reset()[:, :, None]
            seen = self._flat()
        learning, s = self._learning, self._settings
        reward = np.sign(earned) if learning and s.clip else earned
        lives: Flags | None = lost if learning and s.lives else None
        return Step(seen, seen, final, reward, terminated, truncated, earned=earned, lost=lives)

    def like(self, n: int) -> FrameBatch:
        task, settings, learning = self._made
        return FrameBatch(task, n, settings, learning)

    def close(self) -> None:
        for game in self._games:
            game.env.close()

    def _flat(self) -> Any:
        return self._seen.reshape(self.n, -1).copy()
