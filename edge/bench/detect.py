"""What a detector costs on this machine: frame to boxes, beside the bare `invoke` of the same model.

The two are timed in turn, frame by frame, so that other work on the machine falls on both. A row is measured in a
process of its own (`python -m edge.bench.detect`), so that its memory is its own and interpreters do not meet.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, ModelError
from edge.perception.model_file import ModelFile

if TYPE_CHECKING:
    from edge.perception.detector import Detector

Frames = Sequence[NDArray[np.uint8]]
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
WIDTH, HEIGHT = 640, 480
INTERPRETERS = ("ai_edge_litert", "tflite_runtime")  # tensorflow's is the same C++ as the first, after a long import
WARM = 5  # frames before the clock counts
LONGEST_S, FEWEST = 10.0, 20  # a row ends after so long, but not before so many frames


@dataclass(frozen=True)
class Row:
    """One model on one interpreter; times are medians in microseconds but for `p99_us`.

    Attributes:
        around_us: frame to boxes less the inference within it.
        ratio: frame to boxes over the bare invoke.
        peak_mb: the most memory that the whole process held.
        found: detections per frame.
    """

    model: str
    arithmetic: str
    interpreter: str
    threads: int
    size: str
    invoke_us: float
    prepare_us: float
    decode_us: float
    around_us: float
    p50_us: float
    p99_us: float
    peak_mb: float
    found: float

    @property
    def ratio(self) -> float:
        return self.p50_us / self.invoke_us

    @property
    def fps(self) -> float:
        return 1e6 / self.p50_us

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self) | {"ratio": round(self.ratio, 3), "fps": round(self.fps, 1)}


def measure(detector: Detector, frames: Frames, rounds: int, also: Callable[[int], None] | None = None) -> Row:
    """Time bare invokes and whole detections in turn, `rounds` of each or as many as `LONGEST_S` allows.

    `also`, where given, takes its own turn after each.
    """
    invoke, clock = detector.interpreter.invoke, time.perf_counter
    for index in range(WARM):
        detector.detect(frames[index % len(frames)])
    bare, whole, prepare, decode, around, found = [], [], [], [], [], 0
    began = clock()
    for index in range(rounds):
        if index >= FEWEST and clock() - began > LONGEST_S:
            break
        frame = frames[index % len(frames)]
        start = clock()
        invoke()
        middle = clock()
        result = detector.detect(frame)
        end = clock()
        bare.append(middle - start)
        whole.append(end - middle)
        prepare.append(detector.times["preprocess"])
        decode.append(detector.times["decode"])
        around.append(end - middle - detector.times["inference"])
        found += len(result)
        if also is not None:
            also(index)
    us = [float(np.median(times)) * 1e6 for times in (bare, prepare, decode, around, whole)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    input_ = detector.manifest.inputs[0]
    return Row(
        model=detector.path.stem,
        arithmetic=input_.dtype.replace("float32", "float"),
        interpreter=detector.interpreter.backend,
        threads=detector.threads,
        size=f"{detector.preprocessor.width} x {detector.preprocessor.height}",
        invoke_us=us[0],
        prepare_us=us[1],
        decode_us=us[2],
        around_us=us[3],
        p50_us=us[4],
        p99_us=float(np.percentile(whole, 99)) * 1e6,
        peak_mb=peak / (1e6 if sys.platform == "darwin" else 1e3),
        found=found / len(whole),
    )


def pictures(photo: Path | None) -> Frames:
    """Frames of 640 x 480: a photo's, or what a simulated robot sees on its way."""
    if photo is not None:
        from robot.pi.frames import fit, read_image

        return [np.ascontiguousarray(fit(read_image(photo), WIDTH, HEIGHT))]
    from edge.perception.sources import open_source
    from robot.config import load

    return [shot.image for shot in open_source("sim", load(), seed=1_000_003, frames=24).shots]


def available() -> tuple[str, ...]:
    """The interpreters that work here, each tried on the shipped model in a process of its own."""
    code = "from edge.interpreter import open_model; from edge.perception.detector import SHIPPED; open_model(SHIPPED)"
    return tuple(
        name
        for name in INTERPRETERS
        if subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"EDGEBOT_INTERPRETER": name}, capture_output=True
        ).returncode
        == 0
    )


def rows(
    files: Sequence[ModelFile], interpreters: Sequence[str], threads: Sequence[int], photo: Path | None, rounds: int
) -> Iterator[Row]:
    """A row for each model, interpreter and number of threads, as they come.

    Raises:
        ModelError: a model cannot be used.
    """
    for file in files:
        for interpreter in interpreters:
            for count in threads:
                yield _apart(file, interpreter, count, photo, rounds)


def _apart(file: ModelFile, interpreter: str, threads: int, photo: Path | None, rounds: int) -> Row:
    job = [str(file.path), file.layout, file.names and str(file.names), threads, photo and str(photo), rounds]
    done = subprocess.run(
        [sys.executable, "-m", "edge.bench.detect", json.dumps(job)],
        env=os.environ | ONE_THREAD | {"EDGEBOT_INTERPRETER": interpreter},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ModelError(said[-1] if said else f"measuring {file.path} ended with code {done.returncode}")
    return Row(**json.loads(done.stdout))


def _main(text: str) -> int:
    """One row, in this process."""
    path, layout, names, threads, photo, rounds = json.loads(text)
    import cv2

    from edge.perception.detector import Detector
    from robot.errors import RobotError

    cv2.setNumThreads(1)
    try:
        file = ModelFile(Path(path), layout, names and Path(names))
        frames = pictures(photo and Path(photo))
        row = measure(Detector(file, threads=threads), frames, rounds)
    except (EdgeError, RobotError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(row)))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
