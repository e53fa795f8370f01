"""The learning algorithms by name: where each is, and what it can drive. A name costs no import of TensorFlow.

| name | |
|---|---|
| `ppo` | proximal policy optimisation, with an entropy bonus and a critic that may see the truth |
| `a2c` | advantage actor-critic: one gradient for each few steps of many environments |
| `a3c` | the same with workers that each learn when they are ready, and do not wait for one another |
| `reinforce` | REINFORCE, plain as the lecture sets it or with a baseline |
| `sac` | soft actor-critic, for continuous actions |
| `dqn` | deep Q-learning, each of its improvements a switch |
| `dqn-lecture` | the same as the lecture sets it, by episodes |
| `mcts` | tree search guided by a network that learns from it, in the robot's world as its model |
| `genetic`, `cem` | search among policies: by mutation and selection, by the cross-entropy method |
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import cast

from edge.errors import UsageError
from train.envs.batch import BatchEnv
from train.learner import Learner


@dataclass(frozen=True)
class Entry:
    """Where an algorithm is, and which kinds of actions it drives."""

    place: str  # module:class
    discrete: bool = True
    continuous: bool = False
    frames: bool = False  # it has a network for pictures
    foresees: bool = False  # it asks the environments what would come: `train.envs.foresight`


ALGORITHMS = {
    "ppo": Entry("train.agents.ppo:PPO", continuous=True),
    "a2c": Entry("train.agents.a2c:A2C", continuous=True),
    "a3c": Entry("train.agents.a3c:A3C", continuous=True),
    "reinforce": Entry("train.agents.reinforce:Reinforce"),
    "sac": Entry("train.agents.sac:SAC", discrete=False, continuous=True),
    "dqn": Entry("train.agents.dqn:DQN", frames=True),
    "dqn-lecture": Entry("train.agents.dqn_lecture:LectureDQN"),
    "mcts": Entry("train.agents.mcts:MCTS", foresees=True),
    "genetic": Entry("train.agents.genetic:Genetic"),
    "cem": Entry("train.agents.cem:CEM"),
}


def check_name(name: str) -> None:
    """Raises `UsageError`, naming the nearest, where there is no algorithm called `name`."""
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ALGORITHMS)}"
        raise UsageError(f"unknown algorithm {name!r}; {hint}")


def check_fit(name: str, task: str, env: BatchEnv) -> None:
    """Raises `UsageError`, naming those that do, where algorithm `name` does not drive the actions of `task`."""
    kind = "continuous" if env.continuous else "discrete"
    if not getattr(ALGORITHMS[name], kind):
        others = ", ".join(other for other, entry in ALGORITHMS.items() if getattr(entry, kind))
        raise UsageError(f"task {task!r} has {kind} actions, which {name} does not drive; these do: {others}")
    if hasattr(env, "frame_shape") and not ALGORITHMS[name].frames:
        others = ", ".join(other for other, entry in ALGORITHMS.items() if entry.frames)
        raise UsageError(f"task {task!r} shows pictures, which {name} does not see; these do: {others}")
    if ALGORITHMS[name].foresees and not hasattr(env, "snapshot"):
        raise UsageError(f"{name} needs a world that is its own model, which light and dock have, {task!r} has not")


def find(name: str) -> type[Learner]:
    """The learner's class."""
    module, _, attribute = ALGORITHMS[name].place.partition(":")
    return cast(type[Learner], getattr(importlib.import_module(module), attribute))
