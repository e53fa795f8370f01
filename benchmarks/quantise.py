"""What int8 costs a detector: average precision of the float model, of TensorFlow's own int8 and of ours.

Each network is calibrated on one half of a labelled set and judged on the other, both ways round, and the two are
averaged; for several ways to halve the set. Results are kept one by one, so that an interrupted benchmark goes on where
it stopped; the table goes to docs/benchmarks-quantise.md.

    python benchmarks/quantise.py                                    the three Yolo-Fastest, about an hour
    python benchmarks/quantise.py --net 1.1_body --halves 1          one of them, one way to halve; writes no page
    python benchmarks/quantise.py --cfg y.cfg --weights y.weights --names y.names --label person --labelled photos/
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from benchmarks.pages import together  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "runs" / "benchmarks" / "quantise.jsonl"
PAGE = ROOT / "docs" / "benchmarks-quantise.md"
CUTS = (0.2, 0.005)  # OpenCV's own, and all there is
HALVES = 3
HOW = ("float", "stock", "ours")


@dataclass(frozen=True)
class Net:
    """A detector in Darknet's files and its label that is judged."""

    name: str
    cfg: Path
    weights: Path
    names: Path
    label: str


def nets() -> list[Net]:
    """Those of the shared folder."""
    found = []
    for name, folder, names, label in (
        ("1.1", "yolo-fastest-1.1_coco", "coco.names", "person"),
        ("1.1-xl", "yolo-fastest-1.1_coco", "coco.names", "person"),
        ("1.1_body", "yolo-fastest-1.1_body", "body.names", "body"),
    ):
        files = SHARED / "detectors" / "yolo-fastest" / folder
        stem = f"yolo-fastest-{name}"
        found.append(Net(name, files / f"{stem}.cfg", files / f"{stem}.weights", files / names, label))
    return found


@dataclass(frozen=True)
class Outcome:
    """One network, one calibration set, one way to quantise it; `ap` by cut: (all points at 0.5, COCO's mean)."""

    net: str
    how: str  # float, stock, ours
    halving: int
    way: int  # which half calibrates
    ap: dict[str, tuple[float, float]]
    snr_db: float
    seconds: float
    bytes: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.net, self.how, self.halving, self.way


def halves(count: int, halving: int) -> tuple[np.ndarray, np.ndarray]:
    """0: every other photo; 1: the first half and the second; 2 and on: drawn by that seed."""
    order = np.arange(count)
    if halving == 0:
        return order[::2], order[1::2]
    if halving > 1:
        order = np.random.default_rng(halving).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


class Bench:
    """One network on one set."""

    def __init__(self, net: Net, labelled: Path) -> None:
        from convert import images
        from convert.darknet.model import load
        from convert.labelled import read
        from convert.predict import keras_batch
        from robot.pi.frames import read_image

        self.net = net
        self.source = load(net.cfg, net.weights, net.names)
        self.at = self.source.labels.index(net.label)
        self.photos = read(labelled, self.source.labels).photos
        self.pictures = [read_image(photo.path) for photo in self.photos]
        self.shape = tuple(int(size) for size in self.source.keras.inputs[0].shape[1:3])
        self.inputs = images.prepare(self.pictures, self.source.image, self.shape)
        self.float = keras_batch(self.source.keras)
        self.want = self.heads(self.float, np.arange(len(self.photos)))

    def heads(self, predict: Any, chosen: np.ndarray) -> list[np.ndarray]:
        rows = [predict(self.inputs[index : index + 1]) for index in chosen]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def ap(self, heads: list[np.ndarray], decode: Any, chosen: np.ndarray) -> dict[str, tuple[float, float]]:
        from convert.ap import average_precision, coco_ap
        from convert.predict import Detect

        detect = Detect(lambda x: [], self.shape, self.source.image, decode)
        found, truth = [], []
        for row, index in enumerate(chosen):
            boxes, scores, classes = detect.read([head[row : row + 1] for head in heads])
            height, width = self.pictures[index].shape[:2]
            own = classes == self.at
            found.append((boxes[own] * (width, height, width, height), scores[own]))
            photo = self.photos[index]
            truth.append(photo.boxes[photo.classes == self.at])
        figures = {}
        for cut in CUTS:
            left = [(boxes[scores >= cut], scores[scores >= cut]) for boxes, scores in found]
            figures[str(cut)] = average_precision(left, truth), coco_ap(left, truth).mean
        return figures

    def run(self, how: str, halving: int, way: int) -> Outcome:
        from convert import quantise
        from convert.detector import plain
        from convert.predict import tflite_batch
        from convert.tflite import export, variables_of

        calibrate, judge = halves(len(self.photos), halving)[:: 1 if way == 0 else -1]
        start = time.perf_counter()
        decode, flatbuffer = self.source.decode, b""
        samples = self.inputs[calibrate][:64]
        if how == "ours":
            made = quantise.int8(self.source.keras, samples, decode)
            decode, flatbuffer = made.decode, made.flatbuffer
        elif how == "stock":
            model = self.source.keras
            flatbuffer = export(
                lambda x: list(model(x, training=False)), (1, *self.inputs.shape[1:]), variables_of(model), "int8",
                [image[None] for image in samples],
            )  # fmt: skip
        seconds = time.perf_counter() - start
        want = [head[judge] for head in self.want]
        have = self.heads(tflite_batch(flatbuffer), judge) if flatbuffer else want
        real = plain(have, decode)
        signal = sum(float(np.sum(np.square(head, dtype=np.float64))) for head in want)
        noise = sum(float(np.sum(np.square(a - b, dtype=np.float64))) for a, b in zip(want, real, strict=True))
        snr = 10 * float(np.log10(signal / noise)) if noise else 300.0
        return Outcome(self.net.name, how, halving, way, self.ap(have, decode, judge), snr, seconds, len(flatbuffer))


# -- results


def fingerprint() -> str:
    """Of the code that decides them."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "convert").rglob("*.py"), ROOT / "edge" / "perception" / "decode.py"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def load_results(path: Path, code: str | None) -> dict[tuple[str, str, int, int], Outcome]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    outcomes = (Outcome(**row["outcome"]) for row in rows if code in (None, row["code"]))
    return {outcome.key: outcome for outcome in outcomes}


def mean(outcomes: list[Outcome]) -> tuple[dict[str, np.ndarray], float]:
    none = (float("nan"), float("nan"))
    figures = {str(cut): np.mean([one.ap.get(str(cut), none) for one in outcomes], axis=0) for cut in CUTS}
    return figures, float(np.mean([outcome.snr_db for outcome in outcomes]))


def number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"


def difference(figure: np.ndarray, base: np.ndarray | None) -> str:
    return "" if base is None or np.isnan(figure[0]) or figure is base else f"{figure[0] - base[0]:+.4f}"


def table(done: dict[tuple[str, str, int, int], Outcome], names: list[str], count: int) -> str:
    rows = [
        "| network | halves | how | AP@0.5 from 0.2 | to float | AP@0.5, all | to float | AP@[.5:.95] | heads (dB) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        for halving in [*range(count), None]:
            base: dict[str, np.ndarray] = {}
            for how in HOW:
                chosen = [one for one in done.values() if one.net == name and one.how == how]
                chosen = [one for one in chosen if (name, how, one.halving, 1 - one.way) in done]  # both ways, or none
                chosen = [one for one in chosen if halving is None or one.halving == halving]
                if not chosen or halving is None and len({one.halving for one in chosen}) < count:
                    continue
                figures, snr = mean(chosen)
                base = figures if how == "float" else base
                cut, full = figures["0.2"], figures["0.005"]
                told = [number(cut[0]), difference(cut, base.get("0.2"))]
                told += [number(full[0]), difference(full, base.get("0.005")), number(full[1])]
                told += ["" if snr == 300 else f"{snr:.1f}"]
                which = "mean" if halving is None else str(halving)
                rows.append(f"| {name} | {which} | {how} | " + " | ".join(told) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", help="only this one: 1.1, 1.1-xl, 1.1_body")
    parser.add_argument("--halves", type=int, default=HALVES, help=f"ways to halve the set ({HALVES})")
    parser.add_argument("--how", nargs="+", default=list(HOW), choices=HOW)
    parser.add_argument("--labelled", type=Path, default=SHARED / "coco_train128")
    for name in ("cfg", "weights", "names"):
        parser.add_argument(f"--{name}", type=Path, help="another detector")
    parser.add_argument("--label", default="person", help="the label that is judged, of another detector")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="write the page from the results that there are")
    parser.add_argument("--anew", action="store_true", help="not from earlier results of the same code")
    args = parser.parse_args()
    chosen = [net for net in nets() if args.net in (None, net.name)]
    if args.cfg:
        chosen = [Net(args.weights.stem, args.cfg, args.weights, args.names, args.label)]
    code = fingerprint()
    if args.table:
        done = load_results(args.results, None)
        write(table(done, [net.name for net in chosen], args.halves))
        return
    done = {} if args.anew else load_results(args.results, code)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    for net in chosen:
        bench: Bench | None = None
        for halving in range(args.halves):
            for how in args.how:
                for way in (0, 1):
                    if (net.name, how, halving, way) in done:
                        continue
                    bench = bench or Bench(net, args.labelled)
                    outcome = bench.run(how, halving, way)
                    done[outcome.key] = outcome
                    with args.results.open("a") as file:
                        file.write(json.dumps({"code": code, "outcome": dataclasses.asdict(outcome)}) + "\n")
                    print(f"{net.name} {how} {halving}/{way}: {outcome.ap} {outcome.snr_db:.1f} dB "
                          f"{outcome.seconds:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    found = table(done, [net.name for net in chosen], args.halves)
    print(found)
    if not args.net and not args.cfg and args.halves >= HALVES:
        write(found)


def write(found: str) -> None:
    """The page; rows that were made elsewhere stay."""
    PAGE.write_text(page(together(PAGE.read_text(), found, 3)))


def page(found: str) -> str:
    today = datetime.date.today()
    return f"""\
# What int8 costs a detector

Written by `python benchmarks/quantise.py` on {today.day} {today:%B %Y}, {platform.machine()}, {os.cpu_count()} cores.
Yolo-Fastest at 320x320, persons in the 126 photos of `coco_train128` that have labels (254 boxes): calibrated on one
half of them, judged on the other, both ways round and averaged, for some ways to halve the set (0: every other photo,
1: first and second half, from 2 on drawn by that seed). Rows are missing where they were not run yet; the same command
goes on from there.

* `float`: our reading of the Darknet files, equal to OpenCV's own.
* `stock`: TensorFlow's own full int8 of the same raw heads, from the same photos.
* `ours`: `edgebot convert darknet --quantize int8 --calibrate`.

AP@0.5 is over all points, with scores from 0.2 on, where OpenCV cuts, and with all; AP@[.5:.95] as COCO counts it, with
all scores; the last column is signal to noise of the raw heads on the judged half.

{found}

A paired bootstrap over these photos has a standard deviation of 0.009 to 0.015 in AP@0.5: single rows differ by that
much by chance, the decibels do not.

The constants of `ours` were chosen with halves 0 in sight.
"""


if __name__ == "__main__":
    main()
