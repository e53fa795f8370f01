"""Deep Q-learning (Mnih et al. 2015, https://doi.org/10.1038/nature14236), each improvement a switch.

| switch | |
|---|---|
| `fixed_targets` | the future is valued by a copy that stands still for `target_every` steps |
| `double` | the network chooses the next action, the copy values it (van Hasselt et al. 2016, arXiv:1509.06461) |
| `dueling` | the network tells a state's value and its actions' advantages (Wang et al. 2016, arXiv:1511.06581) |
| `prioritized` | surprising steps are learnt from more often (Schaul et al. 2016, arXiv:1511.05952) |
| `n_step` | rewards of so many steps before the network's guess (Sutton 1988) |
| `hold` | a random action is kept for a random time (Dabney et al. 2021, arXiv:2006.01782; here geometric) |

The rounds are those of `train.off_policy`. The policy that is kept is the trunk with the advantages: they rank the
actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats
from train.networks import NetworkPolicy, convolutional, mlp
from train.off_policy import OffPolicy
from train.schedules import linear
from train.settings import setting


@dataclass(frozen=True)
class DQNSettings:
    """The hyper-parameters; the defaults solve CartPole-v1."""

    envs: int = setting(8, "N, environments (or robots) stepped together", low=1)
    replay: int = setting(20_000, "steps remembered", low=1)
    learning_starts: int = setting(1_000, "steps before the first gradient", low=1)
    train_every: int = setting(64, "steps from one round of gradients to the next", low=1)
    gradient_steps: int = setting(32, "gradients in a round", low=1)
    iteration: int = setting(1_024, "steps that are told of together", low=1)
    batch: int = setting(128, "steps per gradient", low=1)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    learning_rate: float = setting(2e-3, "the optimiser's, at the start", low=0.0)
    learning_rate_end: float = setting(0.05, "share of it left at the last step (linear by steps)", low=0.0, high=1.0)
    optimizer: str = setting("adam", "adam or nadam", among=("adam", "nadam"))
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this global norm", low=1e-6)
    epsilon_end: float = setting(0.02, "share of random actions in the end; 1 at the start", low=0.0, high=1.0)
    epsilon_share: float = setting(0.2, "share of all steps until that is reached", low=0.0, high=1.0)
    hold: float = setting(1.0, "steps that a random action is kept, in the mean", low=1.0)
    fixed_targets: bool = setting(True, "value the future by a copy that stands still")
    target_every: int = setting(256, "steps for which it does", low=1)
    loss: str = setting("huber", "of an error: huber, beyond 1 its size, or square", among=("huber", "square"))
    double: bool = setting(False, "the network chooses the next action, the copy values it")
    dueling: bool = setting(False, "a state's value and its actions' advantages")
    dueling_less: str = setting("mean", "what advantages are taken less: their mean, or max", among=("mean", "max"))
    prioritized: bool = setting(False, "draw surprising steps more often")
    alpha: float = setting(0.6, "how much surprise counts, where it does", low=0.0, high=1.0)
    beta: float = setting(0.4, "how far importance weights make up for it at the start; in full at the end", low=0.0)
    n_step: int = setting(8, "steps of rewards before the guess", low=1, high=100)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the layers")
    activation: str = setting("tanh", "of the layers: relu, elu or tanh", among=("relu", "elu", "tanh"))
    filters: tuple[int, ...] = setting((32, 64, 64), "of pictures: filters of each convolution before those layers")
    kernels: tuple[int, ...] = setting((8, 4, 3), "pixels of a side of each")
    strides: tuple[int, ...] = setting((4, 2, 1), "pixels from one of its places to the next")


class Network:
    """Q(s, a) in two parts: the trunk with a score for each action, and where it duels the value of the state."""

    def __init__(self, env: BatchEnv, settings: DQNSettings, seed: int) -> None:
        self._settings = s = settings
        shape = getattr(env, "frame_shape", None)
        if shape is None:
            init, inputs = "glorot_uniform", env.observation_size
            self.scores = mlp(inputs, s.hidden, env.actions, 1.0, seed, "policy", s.activation, init)
        else:
            self.scores = convolutional(shape, s.filters, s.kernels, s.strides, s.hidden, env.actions, seed, "policy")
        self._value = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 99))
        self._value.build((None, settings.hidden[-1]))

    @property
    def variables(self) -> list[Any]:
        return self.scores.trainable_variables + (self._value.trainable_variables if self._settings.dueling else [])

    def __call__(self, observation: tf.Tensor) -> tf.Tensor:
        """(B, size) -> (B, actions)."""
        *trunk, last = self.scores.layers
        x = tf.cast(observation, tf.float32)
        for layer in trunk:
            x = layer(x)
        scores = last(x)
        if not self._settings.dueling:
            return scores
        less = tf.reduce_mean if self._settings.dueling_less == "mean" else tf.reduce_max
        return self._value(x) + scores - less(scores, 1, keepdims=True)


class DQN(NetworkPolicy, OffPolicy):
    """The learner."""

    Settings = DQNSettings
    default_steps = 50_000
    LOSSES = ("loss", "q", "error")

    def __init__(self, env: BatchEnv, settings: DQNSettings, seed: int) -> None:
        super().__init__(env, settings, seed, settings.n_step, settings.alpha if settings.prioritized else 0.0)
        self._copied = 0
        self._held, self._left = np.zeros((2, env.n), np.int64)  # random actions, and for how many steps more
        start = int(np.random.SeedSequence([seed, 1]).generate_state(1)[0]) >> 1
        self.network, self.target = Network(env, settings, start), Network(env, settings, start)
        self.policy = self.network.scores
        kind = {"adam": keras.optimizers.Adam, "nadam": keras.optimizers.Nadam}[settings.optimizer]
        self._optimizer = kind(settings.learning_rate, global_clipnorm=settings.max_grad_norm)
        self._optimizer.build(self.network.variables)
        self._act_with(self.policy, False)
        self._actions = env.actions
        # XLA's convolutions run backward on a CPU one number at a time.
        self._optimise = tf.function(self._round, jit_compile=not hasattr(env, "frame_shape"))

    def state(self) -> dict[str, NDArray[Any]]:
        """As every learner with a memory, when the targets were copied, and what is done at random."""
        held = {"held": self._held, "left": self._left} if self.settings.hold > 1.0 else {}
        return super().state() | {"copied": np.asarray(self._copied)} | held

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        super().load(state, env)
        self._copied = int(state["copied"])
        if self.settings.hold > 1.0:
            self._held, self._left = state["held"], state["left"]

    def everything(self) -> list[Any]:
        return [*self.network.variables, *self.target.variables, *self._optimizer.variables]

    def refresh(self) -> None:
        self._fast.refresh()

    def explore(self, seen: Floats, rng: np.random.Generator, share: float) -> NDArray[Any]:
        """Epsilon-greedy; epsilon is how likely a random action begins where none is under way."""
        s, n = self.settings, len(seen)
        chosen = self._fast(seen).argmax(1)
        begins = (rng.random(n) < self._epsilon(share)) & (self._left == 0)
        self._held = np.where(begins, rng.integers(self._actions, size=n), self._held)
        lasts = rng.geometric(1.0 / s.hold, n) if s.hold > 1.0 else 1
        self._left = np.where(begins, lasts, self._left)
        stray = self._left > 0
        self._left = self._left - stray
        return np.where(stray, self._held, chosen)

    def _epsilon(self, share: float) -> float:
        s = self.settings
        return linear(1.0, s.epsilon_end, share / s.epsilon_share if s.epsilon_share > 0.0 else 1.0)

    def update(self, share: float, rng: np.random.Generator) -> list[float]:
        """One round of gradients."""
        s = self.settings
        if not s.fixed_targets or self.steps - self._copied >= s.target_every or self._copied == 0:
            for copy, variable in zip(self.target.variables, self.network.variables, strict=True):
                copy.assign(variable)
            self._copied = self.steps
        self._optimizer.learning_rate.assign(s.learning_rate * linear(1.0, s.learning_rate_end, share))
        batch = self.replay.sample((s.gradient_steps, s.batch), rng, linear(s.beta, 1.0, share))
        errors, means = self._optimise(
            batch.observation, batch.action, batch.reward, batch.following, batch.discount, batch.weight
        )
        self.replay.reprioritize(batch.index, errors.numpy())
        told: list[float] = means.numpy().tolist()
        return told

    def _round(
        self,
        observation: tf.Tensor,
        action: tf.Tensor,
        reward: tf.Tensor,
        following: tf.Tensor,
        discount: tf.Tensor,
        weight: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """All gradient steps of a round: the error of each sample, and the means of loss, Q and |error|."""
        s, variables = self.settings, self.network.variables
        count = s.gradient_steps
        errors = tf.TensorArray(tf.float32, count, element_shape=(s.batch,))
        sums = tf.zeros(3)
        for k in tf.range(count):
            # Without fixed targets the future is valued by the network as it is now.
            future = (self.target if s.fixed_targets else self.network)(following[k])
            chooser = self.network(following[k]) if s.double else future
            best = tf.one_hot(tf.argmax(chooser, 1), tf.shape(future)[1])
            goal = tf.stop_gradient(reward[k] + discount[k] * tf.reduce_sum(future * best, 1))
            with tf.GradientTape() as tape:
                outputs = self.network(observation[k])
                q = tf.reduce_sum(outputs * tf.one_hot(action[k], tf.shape(outputs)[1]), 1)
                error = goal - q
                size = tf.abs(error)
                huber = tf.where(size < 1.0, 0.5 * tf.square(error), size - 0.5)
                loss = tf.reduce_mean(weight[k] * (huber if s.loss == "huber" else tf.square(error)))
            self._optimizer.apply(tape.gradient(loss, variables), variables)
            errors = errors.write(k, error)
            sums += tf.stack([loss, tf.reduce_mean(q), tf.reduce_mean(size)])
        return errors.stack(), sums / float(count)
