"""From a 640 x 480 frame to boxes, against the bare `invoke` of the same model: what everything around it costs.

The two sides are timed in turn, frame by frame, on one thread, so that other work on the machine falls on both.

    python benchmarks/detect.py                    the shipped detector, and models made before; writes
                                                   docs/benchmarks-detect.md
    python benchmarks/detect.py --convert          first make Darknet's detectors of ../shared/data, float and int8
    python benchmarks/detect.py --rounds 50        quickly; writes nothing
    python benchmarks/detect.py --model x.tflite --photo crowd.jpg

Every interpreter that is installed is measured (tflite-runtime needs an environment with numpy below 2).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from edge.errors import ModelError  # noqa: E402
from edge.interpreter import BACKENDS  # noqa: E402
from edge.perception.detector import SHIPPED, Detector  # noqa: E402

ROUNDS = 400
MADE = ROOT / "build" / "benchmarks-detect"
SHARED = ROOT.parent / "shared" / "data"
DARKNET = {
    "body": ("yolo-fastest-1.1_body/yolo-fastest-1.1_body", "yolo-fastest-1.1_body/body.names"),
    "xl": ("yolo-fastest-1.1_coco/yolo-fastest-1.1-xl", "yolo-fastest-1.1_coco/coco.names"),
}


@dataclass(frozen=True)
class Row:
    """One model on one interpreter; medians in microseconds."""

    model: str
    kind: str
    backend: str
    invoke: float
    total: float
    prepare: float
    decode: float
    found: int

    @property
    def ratio(self) -> float:
        return self.total / self.invoke


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", help="a detector's .tflite; may be repeated")
    parser.add_argument("--photo", type=Path, help="a picture instead of the simulated camera's")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed frames a row")
    parser.add_argument("--convert", action="store_true", help="make Darknet's detectors first (needs tensorflow)")
    args = parser.parse_args()
    if args.convert:
        convert()
    models = args.model or [path for path in (SHIPPED, *sorted(MADE.glob("*.tflite"))) if path.is_file()]
    if not models:
        print("no model to measure: the shipped one is missing; give --model", file=sys.stderr)
        return 2
    frames = pictures(args.photo)
    cv2.setNumThreads(1)
    rows = []
    for model in models:
        for backend in BACKENDS:
            if backend == "tensorflow":
                continue  # the same C++ as ai-edge-litert, two seconds of import
            os.environ["EDGEBOT_INTERPRETER"] = backend
            with contextlib.suppress(ModelError):
                rows.append(measure(model, backend, frames, args.rounds))
    report(rows, args.rounds, write=args.rounds == ROUNDS and not args.model and not args.photo)
    return 0


def measure(path: Path, backend: str, frames: list[np.ndarray], rounds: int) -> Row:
    """Both sides in turn."""
    detector = Detector(path)
    invoke, clock = detector.interpreter.invoke, time.perf_counter
    for frame in frames:
        detector.detect(frame)
    bare, whole, prepare, decode, found = [], [], [], [], 0
    for index in range(rounds):
        frame = frames[index % len(frames)]
        start = clock()
        invoke()
        middle = clock()
        result = detector.detect(frame)
        end = clock()
        bare.append(middle - start)
        whole.append(end - middle)
        prepare.append(detector.times["preprocess"])
        decode.append(detector.times["decode"])
        found += len(result)
    medians = [float(np.median(times)) * 1e6 for times in (bare, whole, prepare, decode)]
    kind = detector.manifest.inputs[0].dtype.replace("float32", "float")
    return Row(path.stem.removesuffix("-int8").removesuffix("-float"), kind, backend, *medians, found)


def pictures(photo: Path | None) -> list[np.ndarray]:
    """Frames of 640 x 480, RGB."""
    if photo is not None:
        from robot.pi.frames import fit, read_image

        return [np.ascontiguousarray(fit(read_image(photo), 640, 480))]
    from edge.perception.sources import open_source
    from robot.config import load

    return [shot.image for shot in open_source("sim", load(), seed=1_000_003, frames=24).shots]


def convert() -> None:
    """Darknet's detectors, float and int8, kept for the next time."""
    from edge.cli import main as edgebot

    for name, (stem, names) in DARKNET.items():
        files = SHARED / "detectors" / "yolo-fastest"
        for mode in ("float", "int8"):
            out = MADE / f"{name}-{mode}.tflite"
            if out.is_file():
                continue
            argv = [
                "--cfg",
                f"{files / stem}.cfg",
                "--weights",
                f"{files / stem}.weights",
                "--names",
                str(files / names),
            ]
            if mode == "int8":
                argv += ["--quantize", "int8", "--calibrate", str(SHARED / "coco_train128")]
            if edgebot(["convert", "darknet", *argv, "-o", str(out)]):
                raise SystemExit(2)


def report(rows: list[Row], rounds: int, write: bool) -> None:
    """The table, on the screen and (for a whole run) in docs/."""
    floats = {(row.model, row.backend): row.invoke for row in rows if row.kind == "float"}
    heading = ("model", "arithmetic", "interpreter", "invoke", "prepare", "decode + NMS", "frame to boxes", "ratio",
               "float / this", "frames/s")  # fmt: skip
    lines = []
    for row in rows:
        reference = floats.get((row.model, row.backend))
        faster = f"{reference / row.invoke:.2f}" if reference else "-"
        lines.append(
            (row.model, row.kind, row.backend, f"{row.invoke:.0f} us", f"{row.prepare:.0f} us", f"{row.decode:.0f} us",
             f"{row.total:.0f} us", f"{row.ratio:.2f}", faster, f"{1e6 / row.total:.0f}")
        )  # fmt: skip
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    note = (
        f"{rounds} frames of 640 x 480 a row, one thread, medians; invoke and the whole way timed in turn. "
        f"`ratio` is frame to boxes over the bare invoke, `float / this` compares the bare invokes. "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}, OpenCV {cv2.__version__}, load {load}."
    )
    text = "\n".join(["| " + " | ".join(line) + " |" for line in (heading, ("---",) * len(heading), *lines)])
    print(f"{text}\n\n{note}")
    if write:
        path = ROOT / "docs" / "benchmarks-detect.md"
        body = f"# Frame to boxes\n\nMade by `python benchmarks/detect.py`.\n\n{text}\n\n{note}\n"
        path.write_text(body, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
