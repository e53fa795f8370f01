"""Published Darknet networks, whole, layer by layer against OpenCV 4's own reader, and their heads as TFLite.

    python benchmarks/darknet.py [NAME ...] [--size 416] [--write]

Random weights in Darknet's format; OpenCV 4 comes into an environment of its own (build/venvs/opencv4), made by pip the
first time. `--write` puts the table into docs/benchmarks-darknet.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from tests.convert import published  # noqa: E402
from tests.convert.darknet_proof import prove  # noqa: E402

TARGET = ROOT / "docs" / "benchmarks-darknet.md"
HEADING = """\
# Darknet networks against OpenCV

Written by `python benchmarks/darknet.py --write`. Each network is written from its published architecture, whole,
with seeded random weights in Darknet's format, and computed by our Keras model and by OpenCV {opencv}'s Darknet reader
on the same random picture. Told is the largest difference as a share of the largest value: over all layers, over the
raw heads, and of the float TFLite file's heads from the Keras model's. The limit is 1e-4.
"""


def row(name: str, size: int) -> str:
    """The table's line of one network."""
    layers = published.ARCHITECTURES[name](1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights = published.write(Path(folder), layers, (size, size))
        image = np.random.default_rng(0).random((size, size, 3), np.float32)
        proof = prove(cfg, weights, image, Path(folder))
        millions = weights.stat().st_size / 4e6
    return (
        f"| {name} | {proof.layers} | {millions:.1f} | {proof.worst_layer:.1e} | {max(proof.heads):.1e} | "
        f"{max(proof.tflite):.1e} | {time.monotonic() - began:.0f} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(published.ARCHITECTURES))
    parser.add_argument("--size", type=int, default=416, help="of the input, a multiple of 32 (416)")
    parser.add_argument("--write", action="store_true", help=f"into {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    lines = [
        f"Input {args.size} x {args.size}; {time.strftime('%Y-%m-%d')}, {platform.machine()}, Python "
        f"{platform.python_version()}.",
        "",
        "| network | layers | million weights | worst layer | worst head | TFLite from Keras | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in args.names or published.ARCHITECTURES:
        lines.append(row(name, args.size))
        print(lines[-1], flush=True)
    if args.write:
        TARGET.write_text(HEADING.format(opencv="4.11") + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
