"""REINFORCE on CartPole-v1: our time for a step, beside the lecture's own way of doing it in Keras.

    edgebot train CartPole-v1 --algo reinforce --seeds 10 --run runs/reinforce
    python benchmarks/reinforce.py [--iterations N] [--steps N] [--curves runs/reinforce] [--write]

The lecture asks Keras at each step, by `predict`, and takes that step's gradient with a tape of its own; then weighs
the gradients, averages them and applies them. Ours is `train.agents.reinforce` with the same settings. Time is this
process's own (CPU) time, so that a busy machine tells the same; compilation is not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

import gymnasium  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from train.agents.reinforce import Reinforce, ReinforceSettings  # noqa: E402
from train.envs.gym_batch import GymBatch  # noqa: E402
from train.returns import discount_and_normalize  # noqa: E402

TARGET = ROOT / "docs" / "benchmarks-reinforce.md"
PICTURE = ROOT / "docs" / "images" / "reinforce.png"


def ours(iterations: int) -> float:
    """Steps a second of whole iterations, acting and updating."""
    env = GymBatch("CartPole-v1", ReinforceSettings().envs)
    agent = Reinforce(env, ReinforceSettings(), seed=0)
    learning = agent.learn(env, 10**9)
    next(learning)  # compiles
    before, steps = time.process_time(), agent.steps
    for _ in range(iterations):
        next(learning)
    return (agent.steps - steps) / (time.process_time() - before)


def lectures(steps: int, predict: bool) -> float:
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


def learning(runs: Path) -> str:
    """Of runs of ten seeds: their picture, copied to where the page has it, and the greedy returns."""
    shutil.copyfile(runs.parent / "CartPole-v1-reinforce-seeds.png", PICTURE)
    files = sorted(runs.glob("seed-*/evaluation.json"))
    returns = [json.loads(file.read_text(encoding="utf-8"))["return_mean"] for file in files]
    told = ", ".join(f"{each:.0f}" for each in sorted(returns))
    return (
        f"\n## Learning\n\n{len(returns)} seeds of the same recipe; greedily, over 100 unseen episodes, "
        f"they reach {told} (mean {np.mean(returns):.0f}).\n\n"
        f"![return over steps of each seed, and their spread](images/{PICTURE.name})\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=30, help="of ours (30)")
    parser.add_argument("--steps", type=int, default=500, help="of the lecture's way (500)")
    parser.add_argument("--curves", type=Path, metavar="RUNS", help="the folder of the ten seeds, for their picture")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    train.threads.one_thread()
    rows = [
        ("ours: NumPy acts, one compiled update", ours(args.iterations)),
        ("Keras `predict` and a tape at each step", lectures(args.steps, True)),
        ("Keras called directly, a tape at each step", lectures(args.steps, False)),
    ]
    lines = ["| way | steps/s | ours is so many times faster |", "|---|---|---|"]
    lines += [f"| {name} | {rate:,.0f} | {rows[0][1] / rate:,.0f} |" for name, rate in rows]
    told = f"{platform.machine()}, {platform.system()}, keras {keras.__version__}, {time.strftime('%Y-%m-%d')}"
    text = "\n".join([*lines, "", f"REINFORCE on CartPole-v1 as the lecture sets it; CPU time; {told}.", ""])
    text += learning(args.curves) if args.curves else ""
    print(text)
    if args.write:
        TARGET.write_text(
            f"# REINFORCE beside the lecture's way\n\n<!-- Written by benchmarks/reinforce.py --write. -->\n\n{text}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
