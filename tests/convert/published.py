"""The published YOLO architectures as Darknet cfgs, written from their descriptions, with seeded random weights.

YOLOv2-tiny and YOLOv3(-tiny): Redmon and Farhadi (arXiv:1612.08242, 1804.02767); YOLOv4(-tiny): Bochkovskiy et al.
(arXiv:2004.10934, 2011.08036); YOLOv7-tiny: Wang et al. (arXiv:2207.02696). Each function gives the sections after
`[net]`; `divide` makes all but the heads narrower.
"""

# ruff: noqa: C408 - dict() reads like the cfg
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.convert.small_darknet import cfg_text, convolutions

Layers = list[tuple[str, dict]]
CLASSES = 80
ANCHORS_3 = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
ANCHORS_4 = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"
GAIN = 1.2  # of a convolution on its way; 1.4 would keep what leaky halves, and sums grow without end
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


class _Net:
    def __init__(self, divide: int) -> None:
        self.layers: Layers = []
        self.divide = divide

    def conv(self, filters: int, size: int = 3, stride: int = 1, activation: str = "leaky") -> int:
        filters = max(filters // self.divide, 4)
        how = dict(filters=filters, size=size, stride=stride, pad=1, batch_normalize=1, activation=activation)
        return self.add("convolutional", how)

    def add(self, kind: str, settings: dict) -> int:
        self.layers.append((kind, settings))
        return len(self.layers) - 1

    def route(self, *layers: int, **more: int) -> int:
        return self.add("route", dict(layers=",".join(str(layer) for layer in layers), **more))

    def spp(self) -> int:
        """Max-pools of 5, 9 and 13 beside their input."""
        self.add("maxpool", dict(size=5, stride=1))
        self.route(-2)
        self.add("maxpool", dict(size=9, stride=1))
        self.route(-4)
        self.add("maxpool", dict(size=13, stride=1))
        return self.route(-1, -3, -5, -6)

    def yolo(self, mask: str, anchors: str, activation: str = "linear", **more: object) -> None:
        count, num = len(mask.split(",")), len(anchors.split(",")) // 2
        filters = count * (5 + CLASSES)
        self.add("convolutional", dict(filters=filters, size=1, stride=1, pad=1, activation=activation))
        self.add(
            "yolo", dict(mask=mask, anchors=anchors, classes=CLASSES, num=num, jitter=0.3, ignore_thresh=0.7) | more
        )


def yolov2_tiny(divide: int = 1) -> Layers:
    net = _Net(divide)
    for filters in (16, 32, 64, 128, 256):
        net.conv(filters)
        net.add("maxpool", dict(size=2, stride=2))
    net.conv(512)
    net.add("maxpool", dict(size=2, stride=1))
    net.conv(1024)
    net.conv(512)
    net.add("convolutional", dict(filters=5 * (5 + CLASSES), size=1, stride=1, pad=1, activation="linear"))
    anchors = "0.57273,0.677385, 1.87446,2.06253, 3.33843,5.47434, 7.88282,3.52778, 9.77052,9.16828"
    net.add("region", dict(anchors=anchors, bias_match=1, classes=CLASSES, coords=4, num=5, softmax=1, rescore=0))
    return net.layers


def yolov3_tiny(divide: int = 1) -> Layers:
    net = _Net(divide)
    for filters in (16, 32, 64, 128):
        net.conv(filters)
        net.add("maxpool", dict(size=2, stride=2))
    fine = net.conv(256)
    net.add("maxpool", dict(size=2, stride=2))
    net.conv(512)
    net.add("maxpool", dict(size=2, stride=1))
    net.conv(1024)
    net.conv(256, 1)
    net.conv(512)
    net.yolo("3,4,5", TINY_ANCHORS)
    net.route(-4)
    net.conv(128, 1)
    net.add("upsample", dict(stride=2))
    net.route(-1, fine)
    net.conv(256)
    net.yolo("0,1,2", TINY_ANCHORS)
    return net.layers


def yolov3(divide: int = 1) -> Layers:
    """Darknet-53 and three heads."""
    net = _Net(divide)
    net.conv(32)
    stages = []
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        net.conv(filters, 3, 2)
        for _ in range(blocks):
            net.conv(filters // 2, 1)
            net.conv(filters)
            stages.append(net.add("shortcut", {"from": -3, "activation": "linear"}))
    middle, fine = stages[18], stages[10]
    for filters, mask, beside in ((512, "6,7,8", middle), (256, "3,4,5", fine), (128, "0,1,2", None)):
        for _ in range(3):
            net.conv(filters, 1)
            net.conv(2 * filters)
        net.yolo(mask, ANCHORS_3)
        if beside is not None:
            net.route(-4)
            net.conv(filters // 2, 1)
            net.add("upsample", dict(stride=2))
            net.route(-1, beside)
    return net.layers


def yolov4_tiny(divide: int = 1) -> Layers:
    net = _Net(divide)
    net.conv(32, 3, 2)
    net.conv(64, 3, 2)
    inner = 0
    for filters in (64, 128, 256):  # a cross-stage block on half the channels
        net.conv(filters)
        net.route(-1, groups=2, group_id=1)
        net.conv(filters // 2)
        net.conv(filters // 2)
        net.route(-1, -2)
        inner = net.conv(filters, 1)
        net.route(-6, -1)
        net.add("maxpool", dict(size=2, stride=2))
    net.conv(512)
    net.conv(256, 1)
    net.conv(512)
    more = dict(scale_x_y=1.05, iou_loss="ciou", nms_kind="greedynms", beta_nms=0.6, iou_thresh=0.213)
    net.yolo("3,4,5", TINY_ANCHORS, **more)
    net.route(-4)
    net.conv(128, 1)
    net.add("upsample", dict(stride=2))
    net.route(-1, inner)
    net.conv(256)
    net.yolo("1,2,3", TINY_ANCHORS, **more)
    return net.layers


def yolov4(divide: int = 1) -> Layers:
    """CSPDarknet-53 with mish, SPP, PANet."""
    net = _Net(divide)

    def mish(filters: int, size: int = 1, stride: int = 1) -> int:
        return net.conv(filters, size, stride, "mish")

    mish(32, 3)
    ends = []
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        half = filters if filters == 64 else filters // 2
        mish(filters, 3, 2)
        side = mish(half)
        net.route(-2)
        mish(half)
        for _ in range(blocks):
            mish(filters // 2)
            mish(half, 3)
            net.add("shortcut", {"from": -3, "activation": "linear"})
        mish(half)
        net.route(-1, side)
        ends.append(mish(filters))

    def fives(filters: int, count: int) -> int:
        for index in range(count):
            last = net.conv(2 * filters if index % 2 else filters, 3 if index % 2 else 1)
        return last

    fives(512, 3)
    net.spp()
    deep = fives(512, 3)
    merged = []
    for filters, beside in ((256, ends[3]), (128, ends[2])):
        net.conv(filters, 1)
        net.add("upsample", dict(stride=2))
        net.route(beside)
        net.conv(filters, 1)
        net.route(-1, -3)
        merged.append(fives(filters, 5))
    more = dict(iou_loss="ciou", nms_kind="greedynms", beta_nms=0.6, max_delta=5, counters_per_class=1)
    net.conv(256)
    net.yolo("0,1,2", ANCHORS_4, scale_x_y=1.2, **more)
    for filters, beside, mask, scale in ((256, merged[0], "3,4,5", 1.1), (512, deep, "6,7,8", 1.05)):
        net.route(-4)
        net.conv(filters, 3, 2)
        net.route(-1, beside)
        fives(filters, 6)
        net.yolo(mask, ANCHORS_4, scale_x_y=scale, **more)
    return net.layers


def yolov7_tiny(divide: int = 1) -> Layers:
    """Leaky ELAN blocks, SPP-CSP; heads end with a logistic (new_coords)."""
    net = _Net(divide)

    def elan(filters: int, out: int) -> int:
        net.conv(filters, 1)
        net.route(-2)
        net.conv(filters, 1)
        net.conv(filters)
        net.conv(filters)
        net.route(-5, -3, -2, -1)
        return net.conv(out, 1)

    net.conv(32, 3, 2)
    net.conv(64, 3, 2)
    ends = [elan(32, 64)]
    for filters in (64, 128, 256):
        net.add("maxpool", dict(size=2, stride=2))
        ends.append(elan(filters, 2 * filters))
    net.conv(256, 1)
    net.route(-2)
    net.conv(256, 1)
    net.spp()
    net.conv(256, 1)
    net.route(-10, -1)
    outs = [net.conv(256, 1)]
    for filters, beside in ((128, ends[2]), (64, ends[1])):
        net.conv(filters, 1)
        net.add("upsample", dict(stride=2))
        net.route(beside)
        net.conv(filters, 1)
        net.route(-1, -3)
        outs.append(elan(filters // 2, filters))
    deep, middle, fine = outs
    tails = [fine]
    for filters, beside in ((128, middle), (256, deep)):
        net.conv(filters, 3, 2)
        net.route(-1, beside)
        tails.append(elan(filters // 2, filters))
    more = dict(scale_x_y=2.0, new_coords=1, objectness_smooth=1, nms_kind="diounms", beta_nms=0.6, resize=1.5)
    for filters, tail, mask in ((128, tails[0], "0,1,2"), (256, tails[1], "3,4,5"), (512, tails[2], "6,7,8")):
        net.route(tail)
        net.conv(filters)
        net.yolo(mask, ANCHORS_3, "logistic", **more)
    return net.layers


ARCHITECTURES: dict[str, Callable[[int], Layers]] = {
    "yolov2-tiny": yolov2_tiny,
    "yolov3-tiny": yolov3_tiny,
    "yolov3": yolov3,
    "yolov4-tiny": yolov4_tiny,
    "yolov4": yolov4,
    "yolov7-tiny": yolov7_tiny,
}


def write(folder: Path, layers: Layers, size: tuple[int, int], seed: int = 0) -> tuple[Path, Path]:
    """cfg and weights files for an input of width x height.

    Weights are such that values stay of order one through the whole depth: normalised convolutions of unit gain, and
    small ones where a shortcut adds them to what is there.
    """
    cfg, weights = folder / "net.cfg", folder / "net.weights"
    cfg.write_text(cfg_text(layers, *size))
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, _ in layers]
    added = [
        kinds[index + 1 : index + 2] == ["shortcut"] for index, kind in enumerate(kinds) if kind == "convolutional"
    ]
    with open(weights, "wb") as file:
        file.write(np.array([0, 2, 5], "<i4").tobytes() + np.array(32_013_312, "<i8").tobytes())
        for (settings, before), residual in zip(convolutions(layers), added, strict=True):
            filters, fan = settings["filters"], before * settings["size"] ** 2
            parts, deviation = [rng.normal(0, 0.3, filters)], np.ones(filters)
            if settings.get("batch_normalize"):
                variance = rng.uniform(0.2, 1.5, filters)
                deviation = np.sqrt(variance)
                scale = rng.uniform(0.5, 1.5, filters) * (0.3 if residual else 1)
                parts += [scale, rng.normal(0, 0.2, filters), variance]
            file.writelines(part.astype("<f4").tobytes() for part in parts)
            kernel = rng.standard_normal((filters, fan), np.float32)
            kernel *= (deviation * GAIN / np.sqrt(fan)).astype(np.float32)[:, None]
            file.write(memoryview(kernel))
    return cfg, weights
