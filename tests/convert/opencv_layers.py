"""Run by a Python that has OpenCV 4: what its Darknet reader computes, layer by layer. No import of ours.

    python opencv_layers.py NET.cfg NET.weights IMAGE.npy OUT.npz

IMAGE is (rows, columns, 3) float32 RGB in 0..1. OUT gets an array (rows, columns, channels) per section of the cfg by
its number; a detection section's is its input, the raw head. OpenCV 5 has lost this reader.
"""

import os
import re
import sys
from pathlib import Path

os.environ["OPENCV_DNN_DISABLE_MEMORY_OPTIMIZATIONS"] = "1"  # with it, layers overwrite outputs that were asked for

import cv2  # noqa: E402
import numpy as np  # noqa: E402


def main(cfg: str, weights: str, image: str, out: str) -> None:
    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromDarknet(cfg, weights)
    net.enableFusion(False)  # a layer that is fused with the next has no output of its own
    last: dict[int, str] = {}
    for name in net.getLayerNames():
        kind, _, number = name.rpartition("_")
        if name == "detection_out" or kind in ("permute", "yolo"):
            continue
        # An activation carries the number of the section after its own.
        index = int(number) - (kind in ("leaky", "relu", "swish", "mish", "logistic"))
        last[index] = name
    found = {}
    net.setInput(np.load(image).transpose(2, 0, 1)[None])
    names = list(dict.fromkeys(last.values()))
    values = dict(zip(names, net.forward(names), strict=True))
    kinds = [kind for kind in re.findall(r"^\s*\[(\w+)\]", Path(cfg).read_text(), re.MULTILINE) if kind != "net"]
    for index, kind in enumerate(kinds):
        source = index - 1 if kind in ("yolo", "region") else index
        found[str(index)] = values[last[source]][0].transpose(1, 2, 0)
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
