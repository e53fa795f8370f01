"""Ultralytics' side of a comparison, in an environment of its own; `ultralytics_layouts.py` and `detect.py` start it.

    python ultralytics_worker.py heads OUT.npz                 raw head tensors, and what their post-processing finds
    python ultralytics_worker.py export NET FOLDER [FRAMES.npy]  a random network, by their exporter: FOLDER/NET.tflite
    python ultralytics_worker.py predict MODEL FRAMES.npy SCORE OUT.npz        what their predictor finds
    python ultralytics_worker.py time MODEL FRAMES.npy         on each line on stdin: one frame; prints seconds

Networks are drawn at random, the same each time, with class weights wide enough that thousands of boxes pass a usual
threshold: on FRAMES, or on noise. Exported without FRAMES they are as Ultralytics draws them, and find nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
NETS = ("yolov5nu", "yolov8n", "yolo11n", "yolov10n", "yolo26n")
SIDES = {"yolov5n": 160, "yolov8n": 256, "yolo11n": 256, "yolov10n": 256, "yolo26n": 256}
CLASSES, SCORE = 4, 0.25


def spread(model: Any, images: Any) -> None:
    """Batch norm that knows these images (n, 3, rows, columns), and class scores on them from near 0 to near 1.

    On other images scores may be 1 by the dozen: then any order of them is right, and each keeps other boxes.
    """
    layers = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    momenta = [one.momentum for one in layers]
    for one in layers:
        one.momentum = None  # the plain mean
    model.train()
    with torch.no_grad():
        for pair in images.split(2):
            model(pair)
    for one, momentum in zip(layers, momenta, strict=True):
        one.momentum = momentum
    model.eval()
    head = model.model[-1]
    if getattr(head, "one2one_cv2", None) is not None:  # v10 and 26
        model.end2end = True
    last = [branch[-1] for name in ("cv3", "one2one_cv3") for branch in (getattr(head, name, None) or ())]
    for conv in last or list(head.m):
        torch.nn.init.normal_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
        conv.register_forward_hook(within_four)
    with torch.no_grad():
        model(images)
    for conv in last or list(head.m):
        conv._forward_hooks.clear()


def within_four(conv: Any, _: Any, out: Any) -> None:
    """Scales a layer so that its outputs end at 4: logistic values up to 0.98, and no two that float32 makes one."""
    conv.weight.data *= 4 / out.abs().max()


def heads(out: str) -> None:
    """The fixture of tests/edge/test_ultralytics.py."""
    import yolov5
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.nms import non_max_suppression
    from yolov5.models.yolo import DetectionModel as OldModel
    from yolov5.utils.general import non_max_suppression as old_suppression

    found = {}
    for name, side in SIDES.items():
        torch.manual_seed(0)
        old = name == "yolov5n"
        if old:
            model = OldModel(str(Path(yolov5.__file__).parent / "models" / "yolov5n.yaml"), nc=CLASSES)
        else:
            model = DetectionModel(f"{name}.yaml", nc=CLASSES, verbose=False)
        spread(model, torch.rand(8, 3, 128, 128))
        with torch.no_grad():
            raw = model(torch.rand(1, 3, side, side))
        raw = raw[0] if isinstance(raw, (tuple, list)) else raw
        suppress = old_suppression if old else non_max_suppression
        (boxes,) = suppress(raw.clone(), SCORE, 0.45 if old else 0.7, max_det=300)
        found[f"{name}_raw"], found[f"{name}_boxes"] = raw.numpy(), boxes.numpy()
        print(name, tuple(raw.shape), len(boxes), "boxes", file=sys.stderr)
    np.savez_compressed(out, **found)


def export(name: str, folder: str, frames: str = "") -> None:
    """By their own exporter, with 80 classes and 320 x 320."""
    from ultralytics import YOLO

    torch.manual_seed(0)
    source = {"yolov5nu": "yolov5n"}.get(name, name)
    model = YOLO(f"{source}.yaml", verbose=False)
    if frames:
        images = torch.from_numpy(np.load(frames)).permute(0, 3, 1, 2).float() / 255
        images = torch.nn.functional.interpolate(images, (240, 320))  # letterboxed, as their predictor will
        spread(model.model, torch.nn.functional.pad(images, (0, 0, 40, 40), value=114 / 255))
    os.chdir(folder)
    end2end = getattr(model.model.model[-1], "one2one_cv2", None) is not None
    made = Path(model.export(format="litert", imgsz=320, verbose=False, **({"nms": False} if end2end else {})))
    made.rename(f"{name}.tflite")


def predictor(model: str) -> Any:
    """Their predictor on a file, silent."""
    from ultralytics import YOLO

    return YOLO(model, task="detect", verbose=False)


def predict(model: str, frames: str, score: str, out: str) -> None:
    """Boxes (n, 6): corners in pixels of the frame, score, class."""
    theirs, found = predictor(model), {}
    for index, frame in enumerate(np.load(frames)):
        (result,) = theirs.predict(frame[..., ::-1], imgsz=320, conf=float(score), iou=0.7, verbose=False)
        found[f"boxes{index}"] = result.boxes.data.numpy()
    np.savez(out, **found)


def timing(model: str, frames: str) -> None:
    """For every line on stdin one frame: seconds of the whole way and of `invoke` within it."""
    import cv2

    cv2.setNumThreads(1)
    theirs, pictures = predictor(model), np.load(frames)[..., ::-1].copy()
    settings: dict[str, Any] = {"imgsz": 320, "conf": 0.25, "verbose": False}
    theirs.predict(pictures[0], **settings)
    interpreter = theirs.predictor.model.backend.interpreter
    spent, invoke = [0.0], interpreter.invoke

    def timed() -> None:
        start = time.perf_counter()
        invoke()
        spent[0] += time.perf_counter() - start

    interpreter.invoke = timed
    for index, _ in enumerate(sys.stdin):
        spent[0] = 0.0
        start = time.perf_counter()
        theirs.predict(pictures[index % len(pictures)], **settings)
        print(f"SECONDS {time.perf_counter() - start} {spent[0]}", flush=True)


if __name__ == "__main__":
    jobs = {"heads": heads, "export": export, "predict": predict, "time": timing}
    with contextlib.suppress(BrokenPipeError):
        jobs[sys.argv[1]](*sys.argv[2:])
