"""The policies by name, and learned ones by their model file."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from edge.errors import UsageError
from edge.types import Policy
from robot.config import RobotConfig


def _light(config: RobotConfig) -> Policy:
    from edge.policies.light import LightPolicy

    return LightPolicy(config)


def _range(config: RobotConfig) -> Policy:
    from edge.policies.range import RangePolicy

    return RangePolicy(config)


def _person(config: RobotConfig) -> Policy:
    from edge.policies.person import PersonPolicy

    if config.camera is None:
        raise UsageError("the policy 'person' needs a camera, and this robot has none; add a [camera] to robot.toml")
    return PersonPolicy(config)


def _follow(config: RobotConfig, target: str = "nearest") -> Policy:
    from edge.policies.follow import FollowPolicy

    if config.camera is None:
        raise UsageError("the policy 'follow' needs a camera, and this robot has none; add a [camera] to robot.toml")
    return FollowPolicy(config, target)


def _random(config: RobotConfig) -> Policy:
    from edge.policies.baselines import RandomPolicy

    return RandomPolicy(config)


def _straight(config: RobotConfig) -> Policy:
    from edge.policies.baselines import StraightPolicy

    return StraightPolicy(config)


REGISTRY: dict[str, Callable[[RobotConfig], Policy]] = {
    "light": _light,
    "range": _range,
    "person": _person,
    "follow": _follow,
    "random": _random,
    "straight": _straight,
}


def make(name: str | Path, config: RobotConfig) -> Policy:
    """A policy by its name, or a learned one from a model file.

    Args:
        name: one of `REGISTRY`, "follow:WHO" (see `edge.perception.target`), or the path of a `.tflite` policy.

    Raises:
        UsageError: no policy has this name, and no file either.
        ModelError: the file is not a policy that can be used.
    """
    known = REGISTRY.get(str(name))
    if known is not None:
        return known(config)
    plain, _, target = str(name).partition(":")
    if plain == "follow" and target:
        return _follow(config, target)
    path = Path(name)
    if path.suffix == ".tflite" or path.exists():
        from edge.policies.learned import LearnedPolicy

        return LearnedPolicy(path, config)
    near = difflib.get_close_matches(str(name), REGISTRY, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"take one of {', '.join(REGISTRY)}, or a .tflite file"
    raise UsageError(f"there is no policy {str(name)!r}; {hint}")
