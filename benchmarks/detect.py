"""From a 640 x 480 frame to boxes, against the bare `invoke` of the same model, and against Ultralytics' predictor.

All sides are timed in turn, frame by frame, on one thread, so that other work on the machine falls on each.

    python benchmarks/detect.py                    the shipped detector, and models made before; writes
                                                   docs/benchmarks-detect.md
    python benchmarks/detect.py --convert          first make Darknet's detectors of ../shared/data, float and int8
    python benchmarks/detect.py --ultralytics build/venvs/ultralytics/bin/python
                                                   and time the predictor of that environment on a random yolov8n
    python benchmarks/detect.py --rounds 50        quickly; writes nothing
    python benchmarks/detect.py --model x.tflite --photo crowd.jpg

Every interpreter that is installed is measured (tflite-runtime needs an environment with numpy below 2); `edgebot bench
detect` prints the same table anywhere.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from edge.bench.detect import Row, available, measure, pictures, rows  # noqa: E402
from edge.commands.bench import note, table  # noqa: E402
from edge.perception.detector import SHIPPED, Detector  # noqa: E402
from edge.perception.model_file import ModelFile  # noqa: E402

ROUNDS = 400
MADE = ROOT / "build" / "benchmarks-detect"
WORKER = Path(__file__).parent / "ultralytics_worker.py"
SHARED = ROOT.parent / "shared" / "data"
FILES = SHARED / "detectors" / "yolo-fastest"
CROWD = FILES / "demo" / "p2.jpg"
DARKNET = {
    "body": ("yolo-fastest-1.1_body/yolo-fastest-1.1_body", "yolo-fastest-1.1_body/body.names"),
    "xl": ("yolo-fastest-1.1_coco/yolo-fastest-1.1-xl", "yolo-fastest-1.1_coco/coco.names"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", help="a detector's .tflite; may be repeated")
    parser.add_argument("--photo", type=Path, help="a picture instead of the simulated camera's")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed frames a row")
    parser.add_argument("--threads", default="1", help="of the interpreter: 1 or 1,2")
    parser.add_argument("--convert", action="store_true", help="make Darknet's detectors first (needs tensorflow)")
    parser.add_argument("--ultralytics", metavar="PYTHON", help="of an environment with ultralytics and litert-torch")
    args = parser.parse_args()
    if args.convert:
        convert()
    models = args.model or [SHIPPED, *sorted(MADE.glob("*.tflite"))]
    threads = [int(one) for one in args.threads.split(",")]
    found, crowd = [], []
    for row in rows([ModelFile(path) for path in models], available(), threads, args.photo, args.rounds):
        found.append(row)
        print(row, file=sys.stderr)
    body = MADE / "body-int8.tflite"
    if not args.photo and not args.model and body.is_file() and CROWD.is_file():
        crowd = list(rows([ModelFile(body)], available()[:1], [1], CROWD, args.rounds))
    parts = ["# Frame to boxes", f"Made by `python benchmarks/detect.py` on {date.today()}.", lines(found)]
    if crowd:
        parts += ["The same on a crowd (`p2.jpg` of Yolo-Fastest's demo):", lines(crowd)]
    if args.ultralytics:
        parts += ["## Beside Ultralytics' own predictor", against(args.ultralytics, args.rounds)]
    parts.append(note(args.rounds))
    text = "\n\n".join(parts) + "\n"
    print(text)
    if args.rounds == ROUNDS and not args.model and not args.photo:
        (ROOT / "docs" / "benchmarks-detect.md").write_text(text, encoding="utf-8")
        print("wrote docs/benchmarks-detect.md", file=sys.stderr)
    return 0


def lines(found: list[Row]) -> str:
    """As a table in Markdown."""
    headings, cells = table(found)
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, ("---",) * len(headings), *cells))


def against(python: str, rounds: int) -> str:
    """Our way and theirs on one file, in turn; what counts is the whole way less the time in `invoke`."""
    model = MADE / "crowd" / "yolov8n.tflite"
    model.parent.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    frames = pictures(CROWD if CROWD.is_file() else None)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "frames.npy"
        np.save(saved, np.stack(frames))
        if not model.is_file():
            subprocess.run([python, WORKER, "export", "yolov8n", model.parent, saved], check=True, stdout=sys.stderr)
        theirs = subprocess.Popen(
            [python, WORKER, "time", model, saved],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert theirs.stdin is not None and theirs.stdout is not None
        seconds = []

        def turn(_: int) -> None:
            print("next", file=theirs.stdin, flush=True)
            while not (line := theirs.stdout.readline()).startswith("SECONDS"):
                if not line:
                    raise SystemExit("Ultralytics' predictor ended; see above")
            seconds.append([float(one) for one in line.split()[1:]])

        ours = measure(Detector(model, score=0.25), frames, min(rounds, 100), turn)
        theirs.stdin.close()
        theirs.wait()
    whole, invoke = np.median(np.array(seconds), axis=0) * 1e6
    around = float(np.median([one - other for one, other in seconds])) * 1e6
    return (
        "| | invoke | around it | frame to boxes |\n| --- | --- | --- | --- |\n"
        f"| edgebot | {ours.invoke_us:.0f} us | {ours.around_us:.0f} us | {ours.p50_us:.0f} us |\n"
        f"| Ultralytics | {invoke:.0f} us | {around:.0f} us | {whole:.0f} us |\n\n"
        "A random yolov8n of 320 x 320, exported by Ultralytics, on ai-edge-litert, one thread, the same pictures, "
        f"score above 0.25; {ours.found:.0f} boxes a picture. Around the model Ultralytics takes "
        f"{around / ours.around_us:.1f} times as long."
    )


def convert(only: Path | None = None) -> None:
    """Darknet's detectors, float and int8, kept for the next time; or that one of them which is kept as `only`."""
    from edge.cli import main as edgebot

    for name, (stem, names) in DARKNET.items():
        for mode in ("float", "int8"):
            out = MADE / f"{name}-{mode}.tflite"
            if out.is_file() or only not in (None, out):
                continue
            argv = [
                "--cfg",
                f"{FILES / stem}.cfg",
                "--weights",
                f"{FILES / stem}.weights",
                "--names",
                str(FILES / names),
            ]
            if mode == "int8":
                argv += ["--quantize", "int8", "--calibrate", str(SHARED / "coco_train128")]
            if edgebot(["convert", "darknet", *argv, "-o", str(out)]):
                raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
