"""A Darknet network layer by layer against OpenCV 4's reader, and its heads once more as TFLite."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from convert.darknet.grammar import parse
from convert.darknet.model import build
from convert.darknet.weights import read
from convert.tflite import export, variables_of
from edge.interpreter import Interpreter

ROOT = Path(__file__).resolve().parents[2]
PINS, READER = Path(__file__).with_name("opencv4.txt"), Path(__file__).with_name("opencv_layers.py")


class NoOracle(Exception):
    """OpenCV 4 cannot be installed."""


def oracle() -> Path:
    """A Python that has OpenCV 4, in build/venvs/opencv4; made the first time, by one process at a time."""
    venv = ROOT / "build" / "venvs" / "opencv4"
    python, stamp = venv / "bin" / "python", venv / "opencv4.stamp"
    venv.parent.mkdir(parents=True, exist_ok=True)
    with open(venv.parent / "opencv4.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_bytes() == PINS.read_bytes()):
            install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", PINS]
            for command in ([sys.executable, "-m", "venv", "--clear", venv], install):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise NoOracle(done.stderr.strip().splitlines()[-1:])
            stamp.write_bytes(PINS.read_bytes())
    return python


@dataclass(frozen=True)
class Proof:
    """Largest differences, as shares of the largest value of the layer or head."""

    layers: int
    worst_layer: float
    heads: tuple[float, ...]
    tflite: tuple[float, ...]
    spread: tuple[float, ...]  # standard deviation of each head over its largest value: it is no constant


def prove(cfg: Path, weights: Path, image: np.ndarray, folder: Path) -> Proof:
    """Compare a network on one image (rows, columns, 3), float32 in 0..1; `folder` takes what passes between."""
    np.save(folder / "image.npy", image)
    subprocess.run([oracle(), READER, cfg, weights, folder / "image.npy", folder / "layers.npz"], check=True)
    model, network = build(parse(cfg))
    for fill, values in zip(network.fills, read(weights, network.shapes), strict=True):
        fill(values)
    every = [np.asarray(one)[0] for one in keras.Model(model.input, network.tensors)(image[None])]
    wanted = np.load(folder / "layers.npz")
    errors = [share(have, wanted[str(index)]) for index, have in enumerate(every)]
    heads = [index for index, section in enumerate(parse(cfg)[1:]) if section.kind in ("yolo", "region")]
    flatbuffer = export(lambda x: _list(model(x, training=False)), (1, *image.shape), variables_of(model), "none")
    made = Interpreter(flatbuffer, name="the converted model").run(image[None])
    assert len(made) == len(heads)
    return Proof(
        len(every),
        max(errors),
        tuple(errors[index] for index in heads),
        tuple(share(one[0], every[index]) for one, index in zip(made, heads, strict=True)),
        tuple(float(every[index].std() / np.abs(every[index]).max()) for index in heads),
    )


def share(have: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, of the largest magnitude."""
    assert have.shape == wanted.shape
    return float(np.abs(have - wanted).max() / np.abs(wanted).max())


def _list(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
