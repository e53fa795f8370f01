"""`edgebot/Light-v0`: the task `light` for one robot, behind Gymnasium's interface.

    import gymnasium, train.envs
    env = gymnasium.make("edgebot/Light-v0", level="hard")

It is `LightBatch` with one robot. Each reset draws a room; `options={"room_seed": 1_000_037}` asks for one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from edge import observation
from robot.sim.room import Room
from robot.sim.rooms import RoomPool, make_room
from train.envs.light import GOAL_M, TWISTS, LightBatch, LightSettings
from train.settings import override
from train.topdown import draw_map

ID = "edgebot/Light-v0"


class LightEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One robot that looks for its lamp.

    Args:
        render_mode: "rgb_array" for a map of the room from above.
        settings: over `LightSettings`, by name, such as `level="easy"`.

    Observation: `edge.observation`, float32 within -1..1. Actions: `TWISTS`. Reward: way to the lamp gained (m), less
    a small cost of time and of contact, 3 at the lamp. Terminated at the lamp, truncated at the time limit.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}, expected None or 'rgb_array'")
        self.render_mode = render_mode
        self.settings = override(LightSettings(), settings)
        self.observation_space = spaces.Box(-1.0, 1.0, (observation.SIZE,), np.float32)
        self.action_space = spaces.Discrete(len(TWISTS))
        self._rooms = RoomPool("light", self.settings.level, range(self.settings.rooms))
        self._batch: LightBatch | None = None
        self._trail: list[tuple[float, float]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if options and "room_seed" in options:
            room = make_room("light", self.settings.level, int(options["room_seed"]))
        else:
            room = self._rooms[int(self.np_random.integers(len(self._rooms)))]
        self._batch = LightBatch([room], 1, self.settings, goal_m=GOAL_M, in_order=True)
        seen, _ = self._batch.reset(int(self.np_random.integers(2**31)))
        self._trail = [self._place()]
        return seen[0], {"room_seed": room.seed}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self._batch is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        step = self._batch.step(np.array([action]))
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        seen = step.final_state[0, : observation.SIZE]  # the batch has begun a new episode already where this one ended
        if not (terminated or truncated):
            self._trail.append(self._place())
        return seen.copy(), float(step.reward[0]), terminated, truncated, {"is_success": terminated}

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        if self.render_mode is None or self._batch is None:
            return None
        world = self._world()
        return draw_map(world.rooms[0], world.pose[:, 0], self._trail, world.config.radius_m)

    def _world(self) -> Any:
        assert self._batch is not None and self._batch.world is not None
        return self._batch.world

    def _place(self) -> tuple[float, float]:
        x, y = self._world().pose[:2, 0].tolist()
        return x, y

    @property
    def room(self) -> Room:
        """The room of this episode."""
        room: Room = self._world().rooms[0]
        return room
