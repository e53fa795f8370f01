"""The robot's tasks for one robot, behind Gymnasium's interface: `edgebot/Light-v0` and its siblings.

    import gymnasium, train.envs
    env = gymnasium.make("edgebot/Light-v0", level="hard")

Each is the task's batch with one robot. A reset draws a room; `options={"room_seed": 1_000_037}` asks for one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robot.sim.room import Room
from robot.sim.rooms import make_room
from train.envs.robot import RobotBatch
from train.envs.robot_task import RobotTask
from train.tasks import make
from train.topdown import draw_map


class RobotEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One robot at a task.

    Args:
        task: which, by its name.
        render_mode: "rgb_array" for a map of the room from above.
        settings: over the task's, by name, such as `level="easy"`, `continuous=True`, `wheels=True`.

    Observation: float32 within -1..1. Actions: a motion to choose, or two numbers within -1..1
    (`train.envs.body.Controls`). Terminated where the task ends, truncated at the time limit; `info["is_success"]`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, task: str, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}, expected None or 'rgb_array'")
        self.render_mode = render_mode
        made: Any = make(task, settings)
        self._task: RobotTask = made
        self._rooms = self._task.rooms()
        probe = self._make(self._rooms[0])
        self.observation_space = spaces.Box(-1.0, 1.0, (probe.observation_size,), np.float32)
        self.action_space: spaces.Space[Any] = (
            spaces.Box(-1.0, 1.0, (probe.actions,), np.float32)
            if probe.continuous
            else spaces.Discrete(probe.actions)
        )  # fmt: skip
        self._batch: RobotBatch | None = None
        self._trail: list[tuple[float, float]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if options and "room_seed" in options:
            room = make_room(self._task.room_task, self._task.settings.level, int(options["room_seed"]))
        else:
            room = self._rooms[int(self.np_random.integers(len(self._rooms)))]
        self._batch = self._make(room)
        seen, _ = self._batch.reset(int(self.np_random.integers(2**31)))
        self._trail = [self._place()]
        return seen[0], {"room_seed": room.seed}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self._batch is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        step = self._batch.step(np.array([action]))
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        seen = step.final_observation[0]  # the batch has begun a new episode already where this one ended
        if not (terminated or truncated):
            self._trail.append(self._place())
        success = step.success is not None and bool(step.success[0])
        return seen.copy(), float(step.reward[0]), terminated, truncated, {"is_success": success}

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        if self.render_mode is None or self._batch is None:
            return None
        world = self._world()
        return draw_map(world.rooms[0], world.pose[:, 0], self._trail, world.config.radius_m, world.persons(0))

    def _make(self, room: Room) -> RobotBatch:
        return self._task.batch([room], 1, judged=True, in_order=True)

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
