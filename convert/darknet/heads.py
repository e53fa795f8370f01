"""Detection heads, `[yolo]` and `[region]`: what the manifest must say so that the robot can read them."""

from __future__ import annotations

from typing import Any

from convert.darknet.grammar import Section
from convert.darknet.network import Network, refuse
from edge.manifest import DarknetDecode, DarknetHead

NMS_IOU = 0.45  # of Darknet's detector
NMS_KINDS = ("default", "greedynms", "diounms")


def detection(net: Network, section: Section, name: str) -> Any:
    """A detection head: its input is the raw output."""
    if section.kind == "region":
        refuse(section, "classfix", "background", "tree")
        if section.integer("coords", 4) != 4:
            raise section.error(f"has coords={section.text('coords', '')}, expected 4", "coords")
    net.heads.append((section, net.last))
    return net.last


def decoding(net: Network) -> DarknetDecode:
    """How to read the heads of a network; checks that they fit what is before them."""
    width, height = int(net.input.shape[2]), int(net.input.shape[1])
    heads, classes = [], []
    for output, (section, tensor) in enumerate(net.heads):
        classes.append(section.integer("classes", 20, least=1))
        anchors = _anchors(section)
        filters, needed = int(tensor.shape[-1]), len(anchors) * (5 + classes[-1])
        if filters != needed:
            raise section.error(
                f"has {len(anchors)} anchors and {classes[-1]} classes and needs {needed} filters before it, there "
                f"are {filters}"
            )
        kind = section.text("nms_kind", "default")
        if kind not in NMS_KINDS:
            raise section.error(f"has nms_kind={kind}, expected one of {', '.join(NMS_KINDS)}", "nms_kind")
        if section.kind == "region":  # there anchors are in cells
            rows, columns = int(tensor.shape[1]), int(tensor.shape[2])
            anchors = tuple((w * width / columns, h * height / rows) for w, h in anchors)
        heads.append(
            DarknetHead(
                output=output,
                anchors=anchors,
                scale_x_y=section.number("scale_x_y", 1.0),
                new_coords=bool(section.integer("new_coords", 0)),
                softmax=section.kind == "region" and bool(section.integer("softmax", 0)),
            )
        )
    last = net.heads[-1][0]
    if len(set(classes)) > 1:
        raise last.error(f"and the other heads differ in classes ({sorted(set(classes))})", "classes")
    return DarknetDecode(
        heads=tuple(heads),
        classes=classes[0],
        nms_iou=NMS_IOU,
        nms_beta=last.number("beta_nms", 0.6) if kind == "diounms" else None,  # Darknet asks the last head for all
    )


def _anchors(section: Section) -> tuple[tuple[float, float], ...]:
    """Width and height of each of the head's anchors, as the cfg gives them."""
    count = section.integer("num", 1, least=1)
    numbers = section.numbers("anchors", ())
    if len(numbers) % 2 or len(numbers) < 2 * count:
        raise section.error(f"has num={count} and {len(numbers)} numbers in anchors=, expected {2 * count}", "anchors")
    mask = tuple(float(index) for index in range(count))
    if section.kind == "yolo":
        mask = section.numbers("mask", mask)
    if any(index != int(index) or not 0 <= index < count for index in mask):
        raise section.error(f"has mask={section.text('mask', 'all')}, which does not fit its {count} anchors", "mask")
    if min(numbers) <= 0:
        raise section.error(f"has anchors={section.text('anchors', '')}, expected numbers above 0", "anchors")
    return tuple((numbers[2 * int(index)], numbers[2 * int(index) + 1]) for index in mask)
