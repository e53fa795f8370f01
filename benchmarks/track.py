"""The tracker's time per frame, beside Roboflow's ByteTrack (the package trackers) on the same boxes; a real film.

Boxes are found once (any detector's), then both trackers get them frame by frame: ours in this process, the peer's in
its own environment (`python3 -m venv build/venvs/tracker && build/venvs/tracker/bin/pip install trackers`), in turn
and several times over, so that other work on the machine falls on both. The film is ../shared/data/video's; without it,
and for crowds of a chosen size, boxes walk about at random.

    python benchmarks/track.py --model yolo.tflite        with the film; writes docs/benchmarks-track.md
    python benchmarks/track.py --rounds 1                 crowds only, quickly
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from edge.perception.identities import WEAK, Identities, rules  # noqa: E402
from edge.perception.sources import open_source  # noqa: E402
from edge.perception.tracker import Tracker  # noqa: E402
from edge.types import Detection, Detections  # noqa: E402
from robot.config import load  # noqa: E402

FILM = ROOT.parent / "shared" / "data" / "video" / "vtest_480x360.avi"
PEER = ROOT / "build" / "venvs" / "tracker" / "bin" / "python"
HIGH = 0.3
PEER_PROGRAM = """
import json, sys, time, warnings
from importlib.metadata import version
warnings.filterwarnings("ignore")
import numpy as np, supervision as sv
from trackers import ByteTrackTracker
frames, high = json.load(open(sys.argv[1])), float(sys.argv[2])
tracker = ByteTrackTracker(
    lost_track_buffer=60, frame_rate=10, track_activation_threshold=high + 0.1, high_conf_det_threshold=high
)
ready = [sv.Detections(xyxy=np.array([[x, y, x + w, y + h] for _, x, y, w, h in rows], float).reshape(-1, 4),
                       confidence=np.array([row[0] for row in rows], float), class_id=np.zeros(len(rows), int))
         for rows in frames]
times, ids = [], set()
for found in ready:
    began = time.perf_counter()
    told = tracker.update(found)
    times.append(time.perf_counter() - began)
    ids |= {int(number) for number in told.tracker_id if number >= 0}
print(json.dumps({"times": times, "identities": len(ids), "version": version("trackers")}))
"""
Rows = list[list[tuple[float, float, float, float, float]]]  # of each frame: score, x, y, width, height
Truth = list[list[int]] | None  # whose these boxes are, where that is known


def crowd(count: int, frames: int = 200, seed: int = 0) -> tuple[Rows, Truth]:
    """Boxes that walk about in 640 x 480, each seen in nine of ten frames, one in ten of those weakly; and whose."""
    rng = np.random.default_rng([seed, count])
    middle = rng.uniform((0, 100), (640, 380), (count, 2))
    speed, height = rng.normal(0, 3, (count, 2)), rng.uniform(40, 160, count)
    found: Rows = []
    whose: list[list[int]] = []
    for _ in range(frames):
        middle += speed
        speed[(middle < 0) | (middle > (640, 480))] *= -1
        rows: list[tuple[float, float, float, float, float]] = []
        owners: list[int] = []
        for owner, ((x, y), high) in enumerate(zip(middle + rng.normal(0, 1, middle.shape), height, strict=True)):
            if rng.random() < 0.9:
                score = rng.uniform(0.12, 0.28) if rng.random() < 0.1 else rng.uniform(0.45, 0.95)
                rows.append((float(score), float(x - 0.2 * high), float(y - high / 2), float(0.4 * high), float(high)))
                owners.append(owner)
        found.append(rows)
        whose.append(owners)
    return found, whose


def film(model: Path) -> tuple[Rows, int, int]:
    """The film's boxes, and how many identities and breaks `edgebot detect --track` counts."""
    from edge.perception.detector import Detector

    detector, source = Detector(model, WEAK), open_source(str(FILM), load())
    identities = Identities(source, HIGH)
    wanted = "person" if "person" in detector.labels else detector.labels[0]  # a network of bodies alone says so
    rows: Rows = []
    for shot in source.shots:
        found = tuple(item for item in detector.detect(shot.image) if item.label == wanted)
        identities.update(shot, found)
        rows.append([(item.score, *item.box) for item in found])
    return rows, identities.count, identities.breaks()


def ours(frames: Rows, whose: Truth) -> tuple[list[float], int, int]:
    """Seconds of each update, the number of identities, and how often somebody got another than they had before."""
    tracker = Tracker(10.0, rules(HIGH))
    ready = [
        Detections(tuple(Detection("person", score, (x, y, w, h)) for score, x, y, w, h in rows), 0.1 * number)
        for number, rows in enumerate(frames)
    ]
    times, switches = [], 0
    known: dict[int, int] = {}
    for number, found in enumerate(ready):
        began = time.perf_counter()
        told = tracker.update(found)
        times.append(time.perf_counter() - began)
        owners = {item.box: owner for item, owner in zip(found.items, whose[number] if whose else (), strict=False)}
        for item in told:
            if item.track is not None and (owner := owners.get(item.box)) is not None:
                switches += known.get(owner, item.track) != item.track
                known[owner] = item.track
    return times, tracker.count, switches


def theirs(frames: Rows) -> tuple[list[float], int, str] | None:
    """The same of the peer, None where it is not installed."""
    if not PEER.exists():
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(frames, file)
        file.flush()
        argv = [str(PEER), "-c", PEER_PROGRAM, file.name, str(HIGH)]
        told = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return told["times"], told["identities"], told["version"]


def main(argv: list[str] | None = None) -> int:
    """Measure and print; a whole run writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a detector of persons, for the film")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side goes through all frames")
    args = parser.parse_args(argv)
    told = ""
    exchanged: list[str] = []
    stories: list[tuple[str, Rows, Truth]] = [(f"crowd of {count}", *crowd(count)) for count in (5, 20, 60)]
    if args.model is not None and FILM.is_file():
        rows, count, breaks = film(args.model)
        stories.insert(0, ("the film", rows, None))
        boxes = sum(map(len, rows)) / len(rows)
        told = (
            f"On the film ({len(rows)} frames, {boxes:.1f} boxes of {args.model.stem} a frame) there were {count} "
            f"identities, of which {breaks} broke off inside the picture ([what that means](follow.md#identities))."
        )
    version, lines = "-", []
    for name, frames, whose in stories:
        mine: list[float] = []
        other: list[float] = []
        counts = ["", ""]
        for _ in range(args.rounds):
            times, found, switches = ours(frames, whose)
            mine += times
            counts[0] = str(found)
            peer = theirs(frames)
            if peer is not None:
                other += peer[0]
                counts[1], version = str(peer[1]), peer[2]
        if whose is not None:
            exchanged.append(f"{switches} in the {name}")
        us = 1e6 * float(np.median(mine))
        line = [name, f"{us:.0f} us", f"{1e6 * float(np.percentile(mine, 99)):.0f} us", counts[0]]
        if other:
            their = 1e6 * float(np.median(other))
            line += [
                f"{their:.0f} us",
                f"{1e6 * float(np.percentile(other, 99)):.0f} us",
                counts[1],
                f"{their / us:.2f}",
            ]
        lines.append("| " + " | ".join(line + ["-"] * (8 - len(line))) + " |")
    head = "| boxes | p50 | p99 | identities | trackers p50 | p99 | identities | theirs / ours |\n" + "|---" * 8 + "|"
    note = (
        f"Medians over {args.rounds} rounds, in turn, one thread, trackers {version}'s `ByteTrackTracker` with the "
        f"same thresholds; {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, load "
        f"{os.getloadavg()[0]:.1f}, {time.strftime('%-d %B %Y')}."
    )
    note += f" Where it is known who is who, ours gave somebody another identity this often: {', '.join(exchanged)}."
    text = "\n".join([head, *lines])
    print(f"{text}\n\n{told}\n{note}")
    if told and version != "-":
        page = f"# The tracker's time per frame\n\nWritten by `python benchmarks/track.py --model ...`.\n\n{text}\n\n"
        (ROOT / "docs" / "benchmarks-track.md").write_text(f"{page}{note}\n\n{told}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
