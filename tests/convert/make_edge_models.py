"""Makes the models that tests/edge runs without TensorFlow: `python -m tests.convert.make_edge_models`.

A small Darknet detector with random weights, float and int8, and a random policy; `expected.json` holds what the
plain NumPy reference finds on a drawn picture.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import keras
import numpy as np

from convert import detector, policy
from convert.commands.convert import _made_by
from convert.darknet.model import load
from convert.images import noise
from convert.progress import steps
from tests.convert import small_darknet as small
from tests.edge.pictures import picture

MODELS = Path(__file__).parents[1] / "edge" / "models"
SCORE = 0.45


def expected(weights: list[dict[str, np.ndarray]], image: np.ndarray) -> list[list[float]]:
    """label index, score, x, y, w, h of every cell over the score, before suppression; straight from the formulas."""
    anchors = np.array([[4, 6], [8, 9], [6, 12], [14, 20], [30, 22], [40, 40]], float)
    found = []
    for head, mask in zip(
        small.heads(small.LAYERS, small.reference(image, weights)), ([3, 4, 5], [0, 1, 2]), strict=True
    ):
        rows, columns, _ = head.shape
        for row in range(rows):
            for column in range(columns):
                for anchor, index in enumerate(mask):
                    x, y, w, h, *chances = head[row, column, anchor * 7 : anchor * 7 + 7]
                    chances = 1 / (1 + np.exp(-np.array(chances)))
                    width = np.exp(w) * anchors[index, 0] / small.WIDTH
                    height = np.exp(h) * anchors[index, 1] / small.HEIGHT
                    middle = (column + 1 / (1 + np.exp(-x))) / columns, (row + 1 / (1 + np.exp(-y))) / rows
                    for label in range(2):
                        score = chances[0] * chances[1 + label]
                        if score > SCORE:
                            found.append([label, score, middle[0] - width / 2, middle[1] - height / 2, width, height])
    return found


def main() -> None:
    MODELS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, steps() as shown:
        source = load(*small.write(Path(name)))
        draft = {
            "kind": "detector",
            "name": "tiny",
            "image": source.image,
            "decode": source.decode,
            "labels": source.labels,
            "provenance": {"source": "random weights, for tests"} | _made_by(),
        }
        photos = [*noise(31, (small.HEIGHT, small.WIDTH)), picture()]
        for mode, file in (("none", "tiny.tflite"), ("int8", "tiny-int8.tflite")):
            detector.convert(source.keras, draft, mode, photos, detector.Checks(), shown, "tiny").save(MODELS / file)
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(3)])
        made = policy.convert(model, {"kind": "policy", "name": "tiny"}, "dynamic", None, shown, "tiny")
        made.save(MODELS / "tiny-policy.tflite")
    rows = expected(small.draw_weights(), picture() / 255)
    (MODELS / "expected.json").write_text(json.dumps({"score": SCORE, "before_nms": rows}))


if __name__ == "__main__":
    main()
