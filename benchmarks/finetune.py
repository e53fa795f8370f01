"""A detector of 80 classes learns an 81st from half of some photos; judged on the other half.

    python benchmarks/finetune.py                       both halves, both ways round: about ten minutes on two cores
    python benchmarks/finetune.py --write               the same, into docs/benchmarks-finetune.md
    python benchmarks/finetune.py --ways 1 --epochs 5   a sample
    python benchmarks/finetune.py --all                 all weights learn, as without --extend: what that costs

Yolo-Fastest 1.1 from Darknet's files becomes a `.tflite` by `edgebot convert darknet`; `edgebot train detector --from
--extend` goes on from it. The new class is the simulator's lamp, drawn into the photos: other lamps in either half.
The class `person` must not get worse on photos that training never saw (AP@0.5 by the runtime's decoder, scores from
0.005).
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train.detector.train as trainer  # noqa: E402  isort: skip  # sets the threads before TensorFlow loads

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402

from robot import config  # noqa: E402
from robot.pi.frames import read_image  # noqa: E402
from robot.pinhole import Pinhole  # noqa: E402
from robot.sim.decor import make_decor  # noqa: E402
from robot.sim.furniture import furnish  # noqa: E402
from robot.sim.rooms import make_room  # noqa: E402
from robot.sim.solids import capsule_outlines, fill, to_fixed  # noqa: E402
from robot.sim.view import View  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "benchmarks-finetune.md"
LAMP = "lamp"


class Cut(NamedTuple):
    """A lamp cut out of its picture: RGB and how much each pixel covers, 0..1."""

    image: np.ndarray
    cover: np.ndarray


def lamp(seed: int) -> Cut:
    """The lamp of a room, as the camera sees it from nearby."""
    rng = np.random.default_rng([seed, 61])
    room = make_room("light", "easy", seed)
    away, aside = rng.uniform(0.7, 1.3), rng.uniform(0, 2 * np.pi)
    camera = config.load().camera
    assert camera is not None
    pose = (*(np.asarray(room.lamp) - away * np.array([np.cos(aside), np.sin(aside)])), aside)
    view = View(Pinhole.from_config(camera, 640, 480), pose)
    image, cover = np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.uint8)
    for part in furnish(room, make_decor(room))[-1]:
        for ends, radii, colour in zip(part.ends, part.radii, part.colours, strict=True):
            middles, sizes, shown = view.capsules(np.array([ends]), np.array([radii]))
            if shown[0]:
                outline = capsule_outlines(middles[:, 0], middles[:, 1], sizes[:, 0], sizes[:, 1])[0]
                fill(image, to_fixed(outline), colour)
                fill(cover, to_fixed(outline), 255, smooth=False)
    x, y, width, height = cv2.boundingRect(cover)
    own = slice(y, y + height), slice(x, x + width)
    return Cut(image[own], cover[own].astype(np.float32) / 255)


def with_lamps(photo: np.ndarray, boxes: np.ndarray, seed: int) -> tuple[np.ndarray, list[list[float]]]:
    """The photo with one or two lamps where they cover little of what is there, and their boxes in fractions."""
    rng = np.random.default_rng([seed, 62])
    out, rows, columns = photo.copy(), *photo.shape[:2]
    placed: list[list[float]] = []
    for number in range(int(rng.integers(1, 3))):
        cut = lamp(2 * seed + number)
        tall = max(16, round(rng.uniform(0.18, 0.5) * rows))
        wide = max(4, round(tall * cut.image.shape[1] / cut.image.shape[0]))
        for _ in range(40):
            left, top = int(rng.integers(0, max(1, columns - wide))), int(rng.integers(0, max(1, rows - tall)))
            box = [(left + wide / 2) / columns, (top + tall / 2) / rows, wide / columns, tall / rows]
            others = np.array([*boxes.tolist(), *placed]).reshape(-1, 4)
            low = np.maximum(others[:, :2] - others[:, 2:] / 2, np.subtract(box[:2], np.array(box[2:]) / 2))
            high = np.minimum(others[:, :2] + others[:, 2:] / 2, np.add(box[:2], np.array(box[2:]) / 2))
            shared = np.maximum(high - low, 0).prod(axis=1)
            if (shared < 0.1 * np.minimum(others[:, 2:].prod(axis=1), box[2] * box[3])).all():
                break
        else:
            continue
        image = cv2.resize(cut.image, (wide, tall), interpolation=cv2.INTER_AREA).astype(np.float32)
        cover = cv2.resize(cut.cover, (wide, tall), interpolation=cv2.INTER_AREA)[..., None]
        area = out[top : top + tall, left : left + wide]
        area[:] = (cover * image + (1 - cover) * area).astype(np.uint8)
        placed.append(box)
    return out, placed


def write_half(folder: Path, photos: list[Any], names: list[str], first_lamp: int) -> Path:
    """One half with lamps, as a data set of its own; it judges itself, so that the last weights are kept."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number, photo in enumerate(photos):
        image, lamps = with_lamps(read_image(photo.path), photo.boxes[:, :4], first_lamp + number)
        cv2.imwrite(str(folder / "images" / f"{photo.path.stem}.png"), image[..., ::-1])
        lines = [f"{int(box[4])} " + " ".join(f"{part:.6f}" for part in box[:4]) for box in photo.boxes]
        lines += [f"{len(names)} " + " ".join(f"{part:.6f}" for part in box) for box in lamps]
        (folder / "labels" / f"{photo.path.stem}.txt").write_text("\n".join(lines) + "\n")
    data = folder / "data.yaml"
    data.write_text("train: images\nval: images\nnames:\n" + "".join(f"  - {name}\n" for name in [*names, LAMP]))
    return data


class Row(NamedTuple):
    """One way round: AP@0.5 on the half that was not learnt from."""

    person_before: float
    person_after: float
    known_before: float
    known_after: float
    lamp_after: float
    persons: int
    lamps: int


def one_way(work: Path, model: Path, halves: list[list[Any]], names: list[str], way: int, how: list[str]) -> Row:
    """Learn from one half, judge on the other."""
    from convert.predict import Detect, keras_batch
    from convert.source import load
    from train.detector.dataset import read
    from train.detector.evaluation import judge_photos, load_run

    folder = work / f"way{way}"
    learn = write_half(folder / "learn", halves[way], names, 1000 * way)
    judged = write_half(folder / "judge", halves[1 - way], names, 1000 * way + 500)
    run = folder / "run"
    arguments = ["--data", str(learn), "--from", str(model), "--run", str(run), "--set", "check_every=1000000"]
    trainer.main([*arguments, *how, "--seed", str(way)])
    source = load(model.with_suffix(".keras"))
    _, rows, columns, _ = source.keras.input_shape
    before = judge_photos(
        Detect(keras_batch(source.keras), (rows, columns), source.image, source.decode), halves[1 - way], names
    )
    predict, labels, _ = load_run(run)
    after = judge_photos(predict, halves[1 - way], labels)
    lamps = judge_photos(predict, read(judged).val, labels).classes[LAMP]
    known = [name for name in names if name in before.classes]
    means = [float(np.mean([report.classes[name].ap for name in known])) for report in (before, after)]
    person = before.classes["person"], after.classes["person"]
    return Row(person[0].ap, person[1].ap, *means, lamps.ap, person[0].things, lamps.things)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--all", action="store_true", help="without --extend: all weights learn")
    parser.add_argument("--ways", type=int, choices=(1, 2), default=2)
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    files = SHARED / "detectors" / "yolo-fastest" / "yolo-fastest-1.1_coco"
    if not files.is_dir():
        sys.exit(f"the folder {SHARED} is absent; it holds the detector and the photos")
    from convert.commands.convert import main as convert
    from train.detector.dataset import read

    work = args.keep or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    names_file = files / "coco.names"
    names = [line.strip() for line in names_file.read_text().splitlines() if line.strip()]
    model = work / "yolo.tflite"
    cfg, weights = (str(files / f"yolo-fastest-1.1.{ending}") for ending in ("cfg", "weights"))
    convert(["darknet", "--cfg", cfg, "--weights", weights, "--names", str(names_file), "-o", str(model)])
    listing = work / "all.yaml"
    listing.write_text(
        f"path: {SHARED / 'coco_train128'}\ntrain: images\nval: images\nnames: {names!r}\n", encoding="utf-8"
    )
    photos = sorted(read(listing).val, key=lambda photo: photo.path.name)
    halves = [photos[0::2], photos[1::2]]
    how = [*([] if args.all else ["--extend"]), *(["--epochs", str(args.epochs)] if args.epochs else [])]
    rows = [one_way(work, model, halves, names, way, how) for way in range(args.ways)]
    text = table(rows)
    Console().print(text, highlight=False)
    if args.write:
        PAGE.write_text(page(text, " ".join(["--from", *how])), encoding="utf-8")
    if args.keep is None:
        shutil.rmtree(work)


def table(rows: list[Row]) -> str:
    """The figures, as Markdown."""
    lines = [
        "| learnt from | person before | person after | known classes before | after | lamp | persons | lamps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    mean = Row(*np.mean(rows, axis=0))
    for name, row in [*((f"half {number + 1}", row) for number, row in enumerate(rows)), ("mean", mean)]:
        figures = " | ".join(f"{value:.3f}" for value in row[:5])
        lines.append(f"| {name} | {figures} | {row.persons:.0f} | {row.lamps:.0f} |")
    return "\n".join(lines)


def page(text: str, how: str) -> str:
    """The docs page."""
    machine = f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    return (
        "# A known detector learns another class\n\n"
        "Written by `python benchmarks/finetune.py --write`: Yolo-Fastest 1.1 (80 classes of COCO) is trained on from "
        f"its converted model by `edgebot train detector {how}` on half of `coco_train128` into which "
        "rendered lamps were drawn. AP@0.5 on the other half; `person` and the mean over the known classes on "
        "the photos as they are, `lamp` with other lamps drawn into them.\n\n"
        f"{text}\n\n{datetime.date.today().isoformat()}, {machine}.\n"
    )


if __name__ == "__main__":
    main()
