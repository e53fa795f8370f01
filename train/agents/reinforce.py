"""REINFORCE (Williams 1992, https://doi.org/10.1007/BF00992696), as the lecture sets it, or with a baseline.

One iteration: some whole episodes, side by side, in NumPy on copied weights; then one compiled function follows the
gradient of each action's log probability, weighted by the normalised discounted return that came after it, averaged
over all steps. With `baseline=value` the weight is how much better that return was than a critic expected.

With two actions the network has one sigmoid unit, the probability of the first; binary cross-entropy with the action
taken is then the negative log probability. The policy that is kept has a score for each action: the unit's, and 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats
from train.heads import Bernoulli, Categorical, Head
from train.learner import Iteration
from train.networks import FastMLP, mlp
from train.returns import discount
from train.settings import setting


@dataclass(frozen=True)
class ReinforceSettings:
    """The defaults are the lecture's."""

    envs: int = setting(10, "episodes per iteration, played side by side", low=1)
    iterations: int = setting(150, "the run ends after so many, or its steps; 0: by its steps alone", low=0)
    max_steps: int = setting(200, "an episode is left after so many", low=1)
    gamma: float = setting(0.95, "discount per step", low=0.0, high=1.0)
    learning_rate: float = setting(0.01, "Nadam's", low=0.0)
    hidden: tuple[int, ...] = setting((5,), "widths of the policy's relu layers")
    baseline: str = setting("none", "what returns are compared with: none, or value, a critic", among=("none", "value"))
    critic_hidden: tuple[int, ...] = setting((32, 32), "widths of the critic's tanh layers, where there is one")
    critic_rate: float = setting(0.01, "learning rate of the critic, Adam's", low=0.0)
    critic_epochs: int = setting(20, "gradient steps of the critic per iteration", low=1)


@dataclass
class Played:
    """Whole episodes of N environments, each array (max_steps, N, ...); what lies after an episode's end is 0."""

    observation: Floats
    state: Floats
    action: NDArray[np.int32]
    reward: Floats
    lengths: NDArray[np.int64]  # (N,)


class Reinforce:
    """The learner."""

    Settings = ReinforceSettings
    default_steps = 150 * 10 * 200

    def __init__(self, env: BatchEnv, settings: ReinforceSettings, seed: int) -> None:
        self.settings, self.seed, self.steps, self.iteration = settings, seed, 0, 0
        self._over = False  # learning is: what acts is `policy`
        self.head: Head = Bernoulli() if env.actions == 2 else Categorical(env.actions)
        seeds = (np.random.SeedSequence([seed, 1]).generate_state(2) >> 1).tolist()
        s, inputs = settings, env.observation_size
        self.network = mlp(inputs, s.hidden, self.head.size, 1.0, seeds[0], "policy", "relu", "glorot_uniform")
        self.policy = mlp(inputs, s.hidden, env.actions, 1.0, 0, "policy", "relu", "glorot_uniform")
        self.critic = mlp(env.state_size, s.critic_hidden, 1, 1.0, seeds[1], "critic")
        self._optimizer = keras.optimizers.Nadam(s.learning_rate)
        self._optimizer.build(self.network.trainable_variables)
        self._critic_optimizer = keras.optimizers.Adam(s.critic_rate)
        self._critic_optimizer.build(self.critic.trainable_variables)
        self._fast, self._fast_critic = FastMLP(self.network), FastMLP(self.critic)

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done, or all iterations."""
        s = self.settings
        while self.steps < total_steps and (self.iteration < s.iterations or s.iterations == 0):
            report = Iteration(self.steps)
            played = self._play(env, report)
            report.steps += int(played.lengths.sum())
            report.losses = self._update(played)
            self.steps, self.iteration = report.steps, self.iteration + 1
            yield report

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The likeliest action for each row."""
        return self.head.mode(self._fast(observation))

    def weights(self) -> list[NDArray[Any]]:
        """The policy's weights, with a score for each action."""
        if self._over:
            return [np.asarray(weight) for weight in self.policy.get_weights()]
        return self.head.scores([np.asarray(weight) for weight in self.network.get_weights()])

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these policy weights from now on."""
        self._over = True
        self.policy.set_weights(weights)
        self.head = Categorical(self.policy.output_shape[-1])
        self._fast.copy(weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights, optimisers and counts. No episode outlives an iteration."""
        arrays = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._all())}
        return arrays | {"steps": np.asarray(self.steps), "iteration": np.asarray(self.iteration)}

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        for i, variable in enumerate(self._all()):
            variable.assign(state[f"variable_{i}"])
        self._fast.refresh()
        self._fast_critic.refresh()
        self.steps, self.iteration = int(state["steps"]), int(state["iteration"])

    def _all(self) -> list[Any]:
        """Everything that learning changes."""
        weights = self.network.trainable_variables + self.critic.trainable_variables
        return [*weights, *self._optimizer.variables, *self._critic_optimizer.variables]

    def _play(self, env: BatchEnv, report: Iteration) -> Played:
        """One episode of each environment."""
        t, n = self.settings.max_steps, env.n
        rng = np.random.default_rng([self.seed, 2, self.iteration])
        observations = np.zeros((t, n, env.observation_size), np.float32)
        states = np.zeros((t, n, env.state_size), np.float32)
        actions, rewards = np.zeros((t, n), np.int32), np.zeros((t, n), np.float32)
        lengths, running = np.zeros(n, np.int64), np.ones(n, np.bool_)
        observation, state = env.reset(int(rng.integers(2**31)))
        for i in range(t):
            observations[i], states[i] = observation, state
            outputs = self._fast(observation)
            chosen = self.head.draw(outputs, self.head.noise(rng, outputs.shape))
            step = env.step(chosen)
            actions[i], rewards[i] = chosen, step.reward * running
            lengths += running
            ended = running & (step.terminated | step.truncated)
            if step.success is not None:
                report.successes += step.success[ended].tolist()
            running = running & ~ended
            if not running.any():
                break
            observation, state = step.observation, step.state
        report.returns = rewards.sum(0, dtype=np.float64).tolist()
        report.lengths = lengths.tolist()
        if report.successes:  # those that were left had none
            report.successes += [False] * int(running.sum())
        return Played(observations, states, actions, rewards, lengths)

    def _update(self, played: Played) -> dict[str, float]:
        t, n = played.reward.shape
        within = np.arange(t)[:, None] < played.lengths
        returns = discount(played.reward, self.settings.gamma).astype(np.float32)
        advantage = returns
        if self.settings.baseline == "value":
            advantage = returns - self._fast_critic(played.state.reshape(t * n, -1)).reshape(t, n)
        spread = float(advantage[within].std())
        weight = (advantage - advantage[within].mean()) / (spread if spread > 0.0 else 1.0) * within
        means = self._optimise(
            played.observation.reshape(t * n, -1),
            played.state.reshape(t * n, -1),
            played.action.reshape(-1),
            weight.astype(np.float32).reshape(-1),
            returns.reshape(-1),
            within.astype(np.float32).reshape(-1),
        )
        policy_loss, critic_loss, entropy = means.numpy().tolist()
        self._fast.refresh()
        losses = {"policy_loss": policy_loss, "entropy": entropy}
        if self.settings.baseline == "value":
            self._fast_critic.refresh()
            losses["value_loss"] = critic_loss
        return losses

    @tf.function(jit_compile=True)
    def _optimise(
        self,
        observation: tf.Tensor,
        state: tf.Tensor,
        action: tf.Tensor,
        weight: tf.Tensor,
        returns: tf.Tensor,
        within: tf.Tensor,
    ) -> tf.Tensor:
        """One step of the policy, all steps of the critic; the losses before them, and the entropy."""
        count = tf.reduce_sum(within)
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.network(observation)
            policy_loss = -tf.reduce_sum(weight * self.head.log_prob(outputs, action)) / count
        self._optimizer.apply(tape.gradient(policy_loss, variables), variables)
        entropy = tf.reduce_sum(self.head.entropy(outputs) * within) / count
        critic_loss = tf.zeros(())
        if self.settings.baseline == "value":
            variables = self.critic.trainable_variables
            for _ in tf.range(self.settings.critic_epochs):
                with tf.GradientTape() as tape:
                    error = self.critic(state)[:, 0] - returns
                    critic_loss = tf.reduce_sum(tf.square(error) * within) / count
                self._critic_optimizer.apply(tape.gradient(critic_loss, variables), variables)
        return tf.stack([policy_loss, critic_loss, entropy])
