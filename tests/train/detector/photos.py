"""A tiny data set for the tests: coloured shapes on grey photos, in Ultralytics' layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("square", "disc")


def write_photos(folder: Path, count: int, size: tuple[int, int] = (96, 64), seed: int = 0) -> Path:
    """`count` photos (width, height) with a square and a disc each, half to learn from; returns the data.yaml."""
    rng = np.random.default_rng(seed)
    width, height = size
    for number in range(count):
        half = "train" if number % 2 == 0 else "val"
        image = rng.integers(60, 120, (height, width, 3)).astype(np.uint8)
        lines = []
        for kind, middle in enumerate(rng.permutation([0.28, 0.72])):
            x, y, reach = middle * width, rng.uniform(0.4, 0.6) * height, rng.uniform(0.16, 0.24) * height
            if kind == 0:
                low, high = (int(x - reach), int(y - reach)), (int(x + reach), int(y + reach))
                cv2.rectangle(image, low, high, (220, 40, 40), cv2.FILLED)
            else:
                cv2.circle(image, (int(x), int(y)), int(reach), (40, 200, 220), cv2.FILLED)
            box = (x / width, y / height, 2 * reach / width, 2 * reach / height)
            lines.append(f"{kind} " + " ".join(f"{part:.6f}" for part in box))
        for kind in ("images", "labels"):
            (folder / kind / half).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / half / f"{number:03d}.jpg"), image[..., ::-1])
        (folder / "labels" / half / f"{number:03d}.txt").write_text("\n".join(lines) + "\n")
    data = folder / "data.yaml"
    data.write_text(f"train: images/train\nval: images/val\nnames: [{', '.join(CLASSES)}]\n")
    return data
