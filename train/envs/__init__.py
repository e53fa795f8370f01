"""Environments to learn in. Importing this registers `edgebot/Light-v0` with Gymnasium."""

import gymnasium

if "edgebot/Light-v0" not in gymnasium.registry:
    gymnasium.register("edgebot/Light-v0", entry_point="train.envs.light_env:LightEnv")
