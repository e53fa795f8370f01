"""How fast a learned policy acts: against the bare interpreter, and against stable-baselines3.

    python benchmarks/policy.py [MODEL.tflite] [--sb3-python PYTHON | --without-sb3] [--write]

Without a model, one of the same shape with random weights is made. stable-baselines3 brings its own torch and
lives in a venv apart: give its interpreter, or one is made by pip in the cache folder (about 1 GB, once).
Every row is the median of many rounds, rows taken in turn, so that a busy moment touches all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from edge import observation  # noqa: E402
from edge.policies.learned import LearnedPolicy  # noqa: E402
from edge.types import Observation  # noqa: E402
from robot.types import STOP, Reading, Senses  # noqa: E402

ROUNDS, CALLS = 60, 2000
TARGET = ROOT / "docs" / "benchmarks-policy.md"
PACKAGES = ("stable-baselines3==2.9.2", "torch==2.13.0")

SB3 = """
import json, statistics, sys, time
import gymnasium, numpy as np, torch
from stable_baselines3 import PPO
size, actions, rounds, calls = map(int, sys.argv[1:])
torch.set_num_threads(1)
class Shape(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (size,), np.float32)
    action_space = gymnasium.spaces.Discrete(actions)
    def reset(self, *, seed=None, options=None): return self.observation_space.sample(), {}
    def step(self, action): return self.observation_space.sample(), 0.0, False, False, {}
model = PPO("MlpPolicy", Shape(), policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}}, device="cpu")
rows = np.random.default_rng(0).uniform(-1, 1, (calls, size)).astype(np.float32)
for row in rows: model.predict(row, deterministic=True)
times = []
for _ in range(rounds):
    start = time.perf_counter()
    for row in rows: model.predict(row, deterministic=True)
    times.append((time.perf_counter() - start) / calls)
import stable_baselines3
print(json.dumps({"seconds": statistics.median(times), "version": stable_baselines3.__version__}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="a policy's .tflite")
    parser.add_argument("--sb3-python", type=Path, help="the interpreter of a venv with stable-baselines3")
    parser.add_argument("--without-sb3", action="store_true", help="leave that row out")
    parser.add_argument("--json", action="store_true", help="the figures (us) as JSON to stdout")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    policy = LearnedPolicy(args.model or random_model())
    figures, version = measure(policy), ""
    if not args.without_sb3:
        assert policy.manifest.actions is not None
        python = args.sb3_python or sb3_python()
        figures["stable-baselines3 predict"], version = sb3(python, policy.manifest.actions.outputs)
    text = table(policy, figures, version)
    print(json.dumps({name: seconds * 1e6 for name, seconds in figures.items()}) if args.json else text)
    if args.write:
        TARGET.write_text(f"# How fast a policy acts\n\n<!-- Written by benchmarks/policy.py --write. -->\n\n{text}")
    return 0


def random_model() -> Path:
    """A policy of the default shape, converted from random weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from rich.console import Console
    from rich.progress import Progress

    from convert.policy import convert
    from convert.progress import Steps
    from edge import manifest as manifests
    from train.envs.light import TWISTS, LightTask
    from train.networks import mlp

    model = mlp(observation.SIZE, (64, 64), len(TWISTS), 0.01, 0, "policy")
    with Progress(console=Console(stderr=True), disable=True) as bar:
        converted = convert(model, LightTask().manifest(), "dynamic", None, Steps(bar), "random weights")
    path = Path(tempfile.mkdtemp(prefix="edgebot-")) / "random.tflite"
    manifests.save(path, converted.flatbuffer, converted.manifest)
    return path


def measure(policy: LearnedPolicy) -> dict[str, float]:
    """Seconds a call, by row."""
    rows = np.random.default_rng(0).uniform(-1, 1, (CALLS, observation.SIZE)).astype(np.float32)
    invoke, decide = policy._invoke, policy.decide
    numbers = np.random.default_rng(1).uniform(0.05, 0.4, (CALLS, 3)).tolist()
    period = policy.period_s
    seen = [
        Observation(k * period, Senses(k * period, *(Reading(value, k * period) for value in three)), None, STOP)
        for k, three in enumerate(numbers)
    ]

    def bare() -> None:
        for _ in rows:
            invoke()

    def command() -> None:
        for row in rows:
            decide(row)

    def senses() -> None:
        policy.reset()
        for moment in seen:
            policy.act(moment)

    tasks: dict[str, Callable[[], None]] = {
        "bare invoke": bare,
        "observation to Command": command,
        "Senses to Command (the observation is built)": senses,
    }
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for call in tasks.values():
        call()
    for _ in range(ROUNDS):
        for name, call in tasks.items():
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) / CALLS)
    return {name: statistics.median(found) for name, found in times.items()}


def sb3_python() -> Path:
    """The interpreter of a venv with stable-baselines3, made where there is none yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebot" / "sb3"
    python = cache / "bin" / "python"
    if not (cache / "complete").exists():
        print(f"making a venv with {', '.join(PACKAGES)} in {cache} (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(cache)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (cache / "complete").touch()
    return python


def sb3(python: Path, actions: int) -> tuple[float, str]:
    """Seconds of one deterministic `predict` of an equal network, and the version."""
    argv = [str(python), "-c", SB3, str(observation.SIZE), str(actions), "15", "500"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["version"]


def table(policy: LearnedPolicy, figures: dict[str, float], version: str) -> str:
    """The rows, with their ratio to the bare invoke and to `observation to Command`, in Markdown."""
    ours, bare = figures["observation to Command"], figures["bare invoke"]
    lines = [
        f"One decision of a {observation.SIZE}-64-64 network with int8 weights on {policy._interpreter.backend}, one "
        f"thread, {platform.machine()}, Python {platform.python_version()}; medians of {ROUNDS} rounds.",
        "",
        "| | us | x bare invoke | x ours |",
        "|---|---|---|---|",
    ]
    for name, seconds in figures.items():
        label = f"{name} {version}" if name.startswith("stable") else name
        lines.append(f"| {label} | {seconds * 1e6:.2f} | {seconds / bare:.2f} | {seconds / ours:.2f} |")
    lines += ["", "Bars: observation to Command at most 3 x the bare invoke; stable-baselines3 at least 10 x ours."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
