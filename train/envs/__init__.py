"""Environments to learn in. Importing this registers the robot's tasks with Gymnasium."""

import gymnasium

ROBOT_TASKS = {
    "light": "train.envs.light:LightTask",
    "approach": "train.envs.approach:ApproachTask",
    "wander": "train.envs.wander:WanderTask",
    "dock": "train.envs.dock:DockTask",
    "follow": "train.envs.follow:FollowTask",
}
"""By the name that `edgebot train` takes. Each is `edgebot/Name-v0` too."""


for _name in ROBOT_TASKS:
    if f"edgebot/{_name.title()}-v0" not in gymnasium.registry:
        gymnasium.register(
            f"edgebot/{_name.title()}-v0", entry_point="train.envs.robot_env:RobotEnv", kwargs={"task": _name}
        )
