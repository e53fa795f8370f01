"""The lecture's recipes of REINFORCE and DQN on CartPole-v1: our time for a step, beside its own way in Keras.

    edgebot train CartPole-v1 --algo reinforce --seeds 10 --run runs/reinforce
    edgebot train CartPole-v1 --algo dqn-lecture --seeds 10 --run runs/dqn-lecture
    python benchmarks/lecture.py [--iterations N] [--steps N] [--curves runs] [--write]

The lecture asks Keras at each step, by `predict`. For REINFORCE it takes that step's gradient with a tape of its own,
then weighs the gradients, averages them and applies them; for DQN a gradient follows each episode. Ours are
`train.agents.reinforce` and `train.agents.dqn_lecture` with the same settings. Time is this process's own (CPU) time,
so that a busy machine tells the same; compilation is not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

import gymnasium  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from train.agents.dqn_lecture import LectureDQN, LectureDQNSettings  # noqa: E402
from train.agents.reinforce import Reinforce, ReinforceSettings  # noqa: E402
from train.envs.gym_batch import GymBatch  # noqa: E402
from train.returns import discount_and_normalize  # noqa: E402

TARGET = ROOT / "docs" / "benchmarks-lecture.md"
PICTURES = ROOT / "docs" / "images"


def ours(agent: Any, learning: Iterator[Any], warming: int, iterations: int) -> float:
    """Steps a second of whole iterations, acting and updating, after some in which all is compiled."""
    for _ in range(warming):
        next(learning)
    before, steps = time.process_time(), agent.steps
    for _ in range(iterations):
        next(learning)
    return (agent.steps - steps) / (time.process_time() - before)


def our_reinforce(iterations: int) -> float:
    env = GymBatch("CartPole-v1", ReinforceSettings().envs)
    agent = Reinforce(env, ReinforceSettings(), seed=0)
    return ours(agent, agent.learn(env, 10**9), 1, iterations)


def our_dqn(iterations: int) -> float:
    """Of ten episodes for each iteration, from the first one with a gradient on."""
    env, settings = GymBatch("CartPole-v1", 1), LectureDQNSettings()
    agent = LectureDQN(env, settings, seed=0)
    return ours(agent, agent.learn(env, 10**9), settings.learning_starts + 1, 10 * iterations)


def lectures_reinforce(steps: int, predict: bool) -> float:
    """Steps a second of at least so many in whole episodes, with the update after them."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(1, "sigmoid")])
    optimizer, env, rng = keras.optimizers.Nadam(0.01), gymnasium.make("CartPole-v1"), np.random.default_rng(0)
    model.predict(np.zeros((1, 4), np.float32), verbose=0)  # compiles
    gradients, rewards = [], []
    before = time.process_time()
    while sum(map(len, rewards)) < steps:
        seen, _ = env.reset(seed=len(rewards))
        rewards.append([])
        for _ in range(200):
            row = seen[None]
            with tf.GradientTape() as tape:
                left = model(row)
                action = int(rng.random() > (model.predict(row, verbose=0) if predict else left.numpy())[0, 0])
                target = tf.constant([[1.0 - action]])
                loss = tf.reduce_mean(keras.losses.binary_crossentropy(target, left))
            gradients.append(tape.gradient(loss, model.trainable_variables))
            seen, reward, terminated, truncated, _ = env.step(action)
            rewards[-1].append(float(reward))
            if terminated or truncated:
                break
    weights = np.concatenate(discount_and_normalize(rewards, 0.95))
    means = [
        tf.reduce_mean([weight * each[i] for weight, each in zip(weights, gradients, strict=True)], 0)
        for i in range(len(model.trainable_variables))
    ]
    optimizer.apply(means, model.trainable_variables)
    return len(weights) / (time.process_time() - before)


def lectures_dqn(steps: int, predict: bool) -> float:
    """Steps a second of at least so many in whole episodes, a gradient after each; all but 1 % ask the network."""
    layers = [keras.layers.Dense(32, "elu"), keras.layers.Dense(32, "elu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    optimizer, env, rng = keras.optimizers.Nadam(0.01), gymnasium.make("CartPole-v1"), np.random.default_rng(0)
    memory: deque[Any] = deque(maxlen=2_000)

    def values(rows: Any) -> Any:
        return model.predict(rows, verbose=0) if predict else model(rows).numpy()

    values(np.zeros((1, 4), np.float32))  # compiles
    values(np.zeros((32, 4), np.float32))
    before, done = time.process_time(), 0
    while done < steps:
        seen, _ = env.reset(seed=done)
        for _ in range(200):
            action = int(rng.integers(2) if rng.random() < 0.01 else values(seen[None]).argmax())
            following, reward, terminated, truncated, _ = env.step(action)
            memory.append((seen, action, reward, following, terminated))
            seen, done = following, done + 1
            if terminated or truncated:
                break
        if len(memory) < 32:
            continue
        drawn = [memory[i] for i in rng.integers(len(memory), size=32)]
        observed, actions, rewards, followings, ended = (np.array(column) for column in zip(*drawn, strict=True))
        goal = (rewards + (1 - ended) * 0.95 * values(followings).max(1)).astype(np.float32)
        with tf.GradientTape() as tape:
            q = tf.reduce_sum(model(observed) * tf.one_hot(actions, 2), 1)
            loss = tf.reduce_mean(tf.square(goal - q))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return done / (time.process_time() - before)


def learning(runs: Path, algo: str) -> str:
    """Of runs of ten seeds: their picture, copied to where the page has it, and the greedy returns."""
    picture = PICTURES / f"lecture-{algo}.png"
    shutil.copyfile(runs / f"CartPole-v1-{algo}-seeds.png", picture)
    files = sorted((runs / algo).glob("seed-*/evaluation.json"))
    returns = [json.loads(file.read_text(encoding="utf-8"))["return_mean"] for file in files]
    told = ", ".join(f"{each:.0f}" for each in sorted(returns))
    half = 1.96 * np.std(returns) / math.sqrt(len(returns))
    return (
        f"{len(returns)} seeds of the same recipe; greedily, over 100 unseen episodes of at most 500 steps, "
        f"they reach {told} (mean {np.mean(returns):.0f} +- {half:.0f}).\n\n"
        f"![return over steps of each seed, and their spread](images/{picture.name})\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=30, help="of ours (30)")
    parser.add_argument("--steps", type=int, default=500, help="of the lecture's way (500)")
    parser.add_argument("--curves", type=Path, metavar="DIR", help="where the two folders of ten seeds are")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    train.threads.one_thread()
    told = f"{platform.machine()}, {platform.system()}, keras {keras.__version__}, {time.strftime('%Y-%m-%d')}"
    text = f"CartPole-v1 by the recipes as the lecture sets them; CPU time; {told}.\n"
    for title, algo, our_way, their_way, more in (
        ("REINFORCE", "reinforce", our_reinforce, lectures_reinforce, " and a tape at each step"),
        ("DQN", "dqn-lecture", our_dqn, lectures_dqn, " at each step, a gradient after each episode"),
    ):
        rows = [
            ("ours: NumPy acts, one compiled update", our_way(args.iterations)),
            (f"Keras `predict`{more}", their_way(args.steps, True)),
            (f"Keras called directly{more}", their_way(args.steps, False)),
        ]
        lines = ["| way | steps/s | ours is so many times faster |", "|---|---|---|"]
        lines += [f"| {name} | {rate:,.0f} | {rows[0][1] / rate:,.0f} |" for name, rate in rows]
        text += "\n".join(["", f"## {title}", "", *lines, ""])
        text += "\n" + learning(args.curves, algo) if args.curves else ""
    print(text)
    if args.write:
        title = "# The lecture's recipes beside the lecture's way\n\n<!-- Written by benchmarks/lecture.py --write. -->"
        TARGET.write_text(f"{title}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
