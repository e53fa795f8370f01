"""The learning algorithms by name: where each is, and what it can drive. A name costs no import of TensorFlow.

| name | |
|---|---|
| `ppo` | proximal policy optimisation, with an entropy bonus and a critic that may see the truth |
| `reinforce` | REINFORCE, plain as the lecture sets it or with a baseline |
| `genetic`, `cem` | search among policies: by mutation and selection, by the cross-entropy method |
| `dqn` | deep Q-learning, each of its improvements a switch |
"""

from __future__ import annotations

import difflib
import importlib
from typing import cast

from edge.errors import UsageError
from train.learner import Learner

ALGORITHMS = {
    "ppo": "train.agents.ppo:PPO",
    "reinforce": "train.agents.reinforce:Reinforce",
    "genetic": "train.agents.genetic:Genetic",
    "cem": "train.agents.cem:CEM",
    "dqn": "train.agents.dqn:DQN",
}


def check_name(name: str) -> None:
    """Raises `UsageError`, naming the nearest, where there is no algorithm called `name`."""
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ALGORITHMS)}"
        raise UsageError(f"unknown algorithm {name!r}; {hint}")


def find(name: str) -> type[Learner]:
    """The learner's class."""
    module, _, attribute = ALGORITHMS[name].partition(":")
    return cast(type[Learner], getattr(importlib.import_module(module), attribute))
