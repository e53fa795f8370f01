"""Stable-Baselines3's side of `stable_baselines3.py`, run by the Python of a venv that has it; prints JSON.

    build/venvs/stable-baselines3/bin/python benchmarks/stable_baselines3_worker.py CASE SECONDS SEED
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

TANH, RELU = torch.nn.Tanh, torch.nn.ReLU


def linear(start: float, end: float) -> Any:
    return lambda left: start * (end + (1.0 - end) * left)


def make(case: str, seed: int) -> tuple[Any, int]:
    """A learner and its steps, set as `stable_baselines3.py` sets ours."""
    task = "Pendulum-v1" if case == "sac" else "CartPole-v1"
    common: dict[str, Any] = {"seed": seed, "device": "cpu", "verbose": 0}
    if case == "ppo":
        model = sb3.PPO(
            "MlpPolicy", make_vec_env(task, 64, seed=seed), n_steps=32, n_epochs=4, batch_size=256, ent_coef=0.0025,
            learning_rate=linear(3e-3, 0.05), policy_kwargs={"net_arch": [64, 64], "activation_fn": TANH}, **common,
        )  # fmt: skip
        return model, 100_000
    if case == "dqn":
        model = sb3.DQN(
            "MlpPolicy", make_vec_env(task, 8, seed=seed), buffer_size=20_000, learning_starts=1_000, batch_size=128,
            train_freq=8, gradient_steps=32, target_update_interval=256, exploration_fraction=0.2,
            exploration_final_eps=0.02, learning_rate=linear(2e-3, 0.05),
            policy_kwargs={"net_arch": [64, 64], "activation_fn": TANH}, **common,
        )  # fmt: skip
        return model, 50_000
    model = sb3.SAC(
        "MlpPolicy", make_vec_env(task, 1, seed=seed), buffer_size=100_000, learning_starts=500, batch_size=256,
        train_freq=8, gradient_steps=8, tau=0.01, learning_rate=1e-3,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": RELU}, **common,
    )  # fmt: skip
    return model, 20_000


def greedy(model: Any, task: str, episodes: int, seed: int) -> float:
    """The mean return of greedy episodes, all at once."""
    env = make_vec_env(task, episodes, seed=seed)
    seen, returns, running = env.reset(), np.zeros(episodes), np.ones(episodes, bool)
    while running.any():
        actions, _ = model.predict(seen, deterministic=True)
        seen, reward, done, _ = env.step(actions)
        returns += reward * running
        running &= ~done
    return float(returns.mean())


class Clock(BaseCallback):
    """Stops after so many processor seconds; notes when a greedy 475 was reached. Evaluations are not counted."""

    def __init__(self, seconds: float, task: str, every: int) -> None:
        super().__init__()
        self.seconds, self.task, self.every = seconds, task, every
        self.began, self.apart, self.reached, self.due = time.process_time(), 0.0, None, every

    @property
    def used(self) -> float:
        return time.process_time() - self.began - self.apart

    def _on_step(self) -> bool:
        if self.task == "CartPole-v1" and self.reached is None and self.num_timesteps >= self.due:
            self.due += self.every
            now = time.process_time()
            used = self.used
            if greedy(self.model, self.task, 20, 7) >= 475.0:
                self.reached = used
            self.apart += time.process_time() - now
        return self.used < self.seconds


def main() -> None:
    case, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)  # on two cores more threads cost such small networks more than they give
    model, steps = make(case, seed)
    task = model.get_env().envs[0].spec.id
    clock = Clock(seconds, task, 4_096)
    model.learn(steps, callback=clock)
    told = {"steps": model.num_timesteps, "seconds": clock.used, "reached": clock.reached, "of": steps}
    told["return"] = greedy(model, task, 100, 1_000_000)
    print(json.dumps(told | {"versions": f"stable-baselines3 {sb3.__version__}, torch {torch.__version__}"}))


if __name__ == "__main__":
    main()
