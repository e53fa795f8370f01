"""A detector's network, loss, training steps and whole training on another backend of Keras, beside TensorFlow's.

    python -m venv build/venvs/jax && build/venvs/jax/bin/pip install keras jax pydantic opencv-python-headless \
        rich pyyaml matplotlib tensorboard
    python benchmarks/backends.py --python build/venvs/jax/bin/python --backend jax

The other Python needs no TensorFlow, and here has none. Same weights, same pictures: heads and losses must agree, and
after some steps of training still nearly so. Then `edgebot train detector` runs there on a few rendered rooms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

STEPS, BATCH, WIDTH, HEIGHT, CLASSES = 12, 4, 96, 64, 3


def work(folder: Path) -> dict[str, object]:
    """Heads, losses and a short training with the weights and pictures of `folder`, on this process's backend."""
    import keras
    from keras import ops

    from train.detector.learn import Learner
    from train.detector.loss import YoloLoss
    from train.detector.model import build, photos, specification
    from train.detector.settings import LearnSettings

    anchors = [[(8.0 * size, 8.0 * size), (6.0 * size, 10.0 * size), (10.0 * size, 6.0 * size)] for size in (1, 2, 4)]
    image, decode = specification(anchors, CLASSES)
    network = build(photos(WIDTH, HEIGHT), CLASSES)
    with np.load(folder / "case.npz") as data:
        pictures, truth = data["pictures"], data["truth"]
        if "weight_0" in data:
            network.set_weights([data[f"weight_{index}"] for index in range(len(network.weights))])
    weights = {f"weight_{index}": np.array(weight) for index, weight in enumerate(network.get_weights())}
    heads = [ops.convert_to_numpy(head) for head in network(pictures.astype(np.float32) / 255, training=False)]
    grids = [head.shape[1:3] for head in heads]
    terms = [float(term) for term in YoloLoss(decode, grids, WIDTH, HEIGHT)(heads, truth)]
    settings = LearnSettings(learning_rate=5e-4, warm_up=1)
    learner = Learner(network, image, decode, settings, 1, STEPS, lambda epoch: iter([(pictures, truth)] * STEPS))
    losses = [step.loss for step in learner.learn_epoch()]
    if not (folder / "heads.npz").exists():
        np.savez(folder / "case.npz", pictures=pictures, truth=truth, **weights)
        np.savez(folder / "heads.npz", *heads)
    with np.load(folder / "heads.npz") as first:
        worst = max(float(np.abs(first[name] - head).max()) for name, head in zip(first.files, heads, strict=True))
    return {
        "backend": keras.backend.backend(),
        "tensorflow": "tensorflow" in sys.modules,
        "worst": worst,
        "terms": terms,
        "losses": losses,
    }


def whole(python: str, backend: str, folder: Path) -> str:
    """A small run of the verb itself, and what it said at its end."""
    run = folder / "run"
    small = ["--set", "rooms=8", "--set", "check_rooms=4", "--set", "batch=8", "--epochs", "2", "--run"]
    command = [python, "-m", "train.detector.train", *small, str(run)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    said = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=True).stderr
    if not (run / "checkpoint.keras").exists():
        sys.exit(f"{run} has no checkpoint")
    return next(line for line in said.splitlines() if "AP@0.5" in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment with the other backend")
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(work(args.child)))
        return
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        pictures = rng.integers(0, 256, (BATCH, HEIGHT, WIDTH, 3), dtype=np.uint8)
        truth = np.concatenate([rng.uniform(0.3, 0.7, (BATCH, 4, 2)), rng.uniform(0.1, 0.4, (BATCH, 4, 2))], axis=2)
        truth = np.concatenate([truth, rng.integers(-2, CLASSES, (BATCH, 4, 1))], axis=2).astype(np.float32)
        np.savez(Path(name) / "case.npz", pictures=pictures, truth=truth)
        rows = []
        for python, backend in ((sys.executable, "tensorflow"), (args.python, args.backend)):
            environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [python, __file__, "--child", name]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
        said = whole(args.python, args.backend, Path(name))
    ours, other = rows
    print("| backend | TensorFlow loaded | worst difference of a head | loss | after 1 step | after 12 |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['backend']} | {'yes' if row['tensorflow'] else 'no'} | {row['worst']:.1e} | {row['terms'][0]:.6f} "
            f"| {row['losses'][1]:.4f} | {row['losses'][-1]:.4f} |"
        )
    if not (np.allclose(ours["terms"], other["terms"], rtol=1e-4) and other["losses"][-1] < other["losses"][0]):
        sys.exit("the backends disagree")
    print(f"the whole training on {args.backend}: {said}")


if __name__ == "__main__":
    main()
