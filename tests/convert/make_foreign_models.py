"""Makes the detectors of other makers that tests/edge runs: small random networks with the outputs that theirs have.

    python -m venv build/venvs/support && build/venvs/support/bin/pip install tflite-support "numpy<2"
    python -m tests.convert.make_foreign_models --support build/venvs/support/bin/python

TFLite Metadata is written by its own library, tflite-support, in an environment apart. What Ultralytics' real exporter
writes is compared by `benchmarks/ultralytics_layouts.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

MODELS = Path(__file__).parents[1] / "edge" / "models"
SIDE = 64
STRIDES = (8, 16, 32)
NAMES = ("person", "dog")

METADATA = """
import sys
from tflite_support.metadata_writers import object_detector, writer_utils
path, labels = sys.argv[1:]
writer = object_detector.MetadataWriter.create_for_inference(
    writer_utils.load_file(path), [127.5], [127.5], [labels])
writer_utils.save_file(writer.populate(), path)
"""


def grid(anchors: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 2) and usual sizes (N, 1) of all boxes, as fractions."""
    centres, sizes = [], []
    for stride in STRIDES:
        count = SIDE // stride
        y, x = np.mgrid[:count, :count]
        spots = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1) / count
        for index in range(anchors):
            centres.append(spots)
            sizes.append(np.full((len(spots), 1), (1.5 + index) * 2 * stride / SIDE))
    return np.concatenate(centres).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def features(rng: np.random.Generator, anchors: int, fields: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Pictures (1, H, W, 3) in 0..1 to (1, boxes, fields): one convolution for each stride, over averages."""
    weights = [tf.constant(rng.normal(0, 0.6, (4, 4, 3, anchors * fields)).astype(np.float32)) for _ in STRIDES]

    def compute(x: tf.Tensor) -> tf.Tensor:
        parts = []
        for stride, weight in zip(STRIDES, weights, strict=True):
            small = tf.nn.avg_pool2d(x - 0.5, stride // 4, stride // 4, "VALID")
            out = tf.nn.conv2d(small, weight, 4, "VALID")
            parts += tf.split(tf.reshape(out, (1, -1, anchors * fields)), anchors, axis=2)
        return tf.concat(parts, axis=1)

    return compute


def network(layout: str, seed: int) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Pictures to the outputs of `layout`."""
    rng = np.random.default_rng(seed)
    anchors, before = (3, 5) if layout == "v5" else (1, 4)
    centres, sizes = grid(anchors)
    raw = features(rng, anchors, before + len(NAMES))

    def boxes(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = raw(x)
        middle = centres + (tf.sigmoid(found[..., :2]) - 0.5) * sizes * 0.5
        extent = sizes * (0.5 + tf.sigmoid(found[..., 2:4]))
        return tf.concat([middle, extent], -1), tf.sigmoid(found[..., 4:] - 0.5)

    def plain(x: tf.Tensor) -> list[tf.Tensor]:
        one = tf.concat(boxes(x), -1)
        return [tf.transpose(one, (0, 2, 1)) if layout == "v8" else one]

    def end2end(x: tf.Tensor) -> list[tf.Tensor]:
        box, chances = boxes(x)
        best, label = tf.reduce_max(chances, -1)[0], tf.argmax(chances[0], -1)
        score, index = tf.math.top_k(best, 24)
        box = tf.gather(box[0], index) * SIDE
        corners = tf.concat([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1)
        kind = tf.cast(tf.gather(label, index), tf.float32)
        return [tf.concat([corners, score[:, None], kind[:, None]], 1)[None]]

    anchor_boxes = tf.constant(np.concatenate([centres[:, ::-1], sizes, sizes], 1))
    options = {"max_detections": 10, "max_classes_per_detection": 1, "num_classes": len(NAMES)}
    floats = {"nms_score_threshold": 0.05, "nms_iou_threshold": 0.5, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0,
              "w_scale": 5.0}  # fmt: skip
    attributes = [f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in options.items()]
    attributes += [f'attr {{ key: "{key}" value {{ f: {value} }} }}' for key, value in floats.items()]
    attributes += ['attr { key: "use_regular_nms" value { b: true } }']

    @tf.function(experimental_implements=" ".join(['name: "TFLite_Detection_PostProcess"', *attributes]))
    def postprocess(box: tf.Tensor, chances: tf.Tensor, anchors: tf.Tensor) -> Sequence[tf.Tensor]:
        return tf.zeros((1, 10, 4)), tf.zeros((1, 10)), tf.zeros((1, 10)), tf.zeros((1,))

    def ssd(x: tf.Tensor) -> list[tf.Tensor]:
        found = raw(x)
        chances = tf.concat([tf.zeros_like(found[..., :1]), tf.sigmoid(found[..., 4:])], -1)
        box, label, score, count = postprocess(tf.tanh(found[..., :4]) * 3.0, chances, anchor_boxes)
        return [score, box, count, label]  # the order in which newer converters leave them

    return {"end2end": end2end, "ssd": ssd}.get(layout, plain)


def flatbuffer(layout: str, seed: int, planes: bool = False, dtype: tf.DType = tf.float32) -> bytes:
    """A network as a `.tflite`; quantised where `dtype` is not float."""
    compute = network(layout, seed)
    shape = (1, 3, SIDE, SIDE) if planes else (1, SIDE, SIDE, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.transpose(x, (0, 2, 3, 1)) if planes else x
        x = x * 0.5 + 0.5 if layout == "ssd" else x  # that kind takes -1..1
        return {f"output_{index}": one for index, one in enumerate(compute(x))}

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=serve.get_concrete_function())
        return _convert(tf.lite.TFLiteConverter.from_saved_model(folder), layout, shape, dtype)


def _convert(converter: tf.lite.TFLiteConverter, layout: str, shape: tuple[int, ...], dtype: tf.DType) -> bytes:
    converter.allow_custom_ops = True
    if dtype != tf.float32:
        rng = np.random.default_rng(1)
        low = -1.0 if layout == "ssd" else 0.0
        samples = [np.full(shape, value, np.float32) for value in (low, 1.0)]
        samples += [rng.uniform(low, 1, shape).astype(np.float32) for _ in range(20)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.inference_input_type = dtype
        if layout != "ssd":
            converter.inference_output_type = dtype
    return bytes(converter.convert())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--support", required=True, help="a Python that has tflite-support")
    args = parser.parse_args()

    def write(name: str, data: bytes, file: str = "", text: str = "") -> Path:
        path = MODELS / name
        path.write_bytes(data)
        if file:
            with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo(file, (2020, 1, 1, 0, 0, 0)), text)
        return path

    names = {str(index): name for index, name in enumerate(NAMES)}
    told = {"description": "Ultralytics random model ", "task": "detect", "stride": 32, "names": names, "args": {}}
    write("foreign-v8.tflite", flatbuffer("v8", 1, planes=True), "metadata.json", json.dumps(told | {"end2end": False}))
    told["names"] = dict(enumerate(NAMES))
    write("foreign-v5-int8.tflite", flatbuffer("v5", 2, dtype=tf.int8), "meta.txt", str(told))
    told["names"] = names
    write("foreign-end2end.tflite", flatbuffer("end2end", 3), "metadata.json", json.dumps(told | {"end2end": True}))
    write("foreign-ssd-bare.tflite", flatbuffer("ssd", 5))
    path = write("foreign-ssd.tflite", flatbuffer("ssd", 4, dtype=tf.uint8))
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labelmap.txt"
        labels.write_text("\n".join(NAMES) + "\n")
        subprocess.run([args.support, "-c", METADATA, str(path), str(labels)], check=True)


if __name__ == "__main__":
    main()
