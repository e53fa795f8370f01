"""The proof of a conversion: how far the converted model is from its source, and the limit past which it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConvertError
from convert.tflite import Mode
from edge import manifest as manifests
from edge.manifest import Manifest
from edge.perception.nms import iou

Array = NDArray[Any]


@dataclass(frozen=True)
class Judge:
    """What conversion must check but cannot know; whoever trained the model supplies it.

    Args:
        figure: what is measured, as the report names it: "greedy success in 500 unseen rooms", "AP@0.5 ...".
        measure: from a predict function to the figure, higher is better. For a policy predict maps observations
            (N, size) to logits (N, actions), for a detector an image (uint8 height x width x 3, RGB) to boxes (n, 4)
            in pixels, scores (n,) and classes (n,), down to a score of 0.005.
        calibration: typical inputs: observations (N, size) float32, or images (N, height, width, 3) uint8 RGB.
        may_drop: the conversion is refused when the figure falls by more than this.
        continuous: a policy's outputs are its actions, clipped to -1..1, not a score for each.
    """

    figure: str
    measure: Callable[[Callable[..., Any]], float]
    calibration: Callable[[], Array]
    may_drop: float = 0.02
    continuous: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What an output may differ at most: signal to noise in decibels, worst error as a share of the largest value."""

    least_snr_db: float
    worst_error: float


LIMITS: dict[Mode, Limit] = {
    "none": Limit(80.0, 1e-4),
    "float16": Limit(40.0, 0.03),
    "dynamic": Limit(18.0, 0.3),
    "int8": Limit(15.0, 1.0),
}
"""Wide enough for what rounding does (int8 heads of small detectors measure 21-25 dB; their rarest values are clipped
on purpose, so that the worst error alone says little), and narrow enough that one layer with a wrong scale shows."""


SIMULATION_DB = 18.0
"""How near a faithful int8 model is to the simulation of itself at least: shallow networks measure 40 dB, networks of
84 convolutions 27, since single roundings that fall the other way add up."""


@dataclass(frozen=True, slots=True)
class OutputError:
    """One output of the converted model against the source's, over all samples."""

    name: str
    worst: float  # largest difference, in the output's own unit
    worst_share: float  # the same as a share of the largest value
    snr_db: float


class Figure(NamedTuple):
    """One figure of the source and of the converted model, higher is better; between them that of the float model."""

    before: float
    after: float
    may_drop: float
    middle: float | None = None


@dataclass(frozen=True, slots=True)
class LayerLoss:
    """One layer's share of all noise on the outputs that single layers cause, 0..1."""

    name: str
    share: float


@dataclass(frozen=True)
class Parity:
    """The whole report."""

    mode: Mode
    samples: int
    outputs: tuple[OutputError, ...]
    source_bytes: int
    bytes: int
    figures: Mapping[str, Figure | tuple[float, float, float]]
    simulation_db: float | None = None  # of int8: against the same rounding computed apart
    layers: tuple[LayerLoss, ...] = ()  # of int8: which lose most, the worst first
    done: tuple[str, ...] = ()  # what was done to the network, in sentences
    milliseconds: tuple[float, float] | None = None  # of one image: the float model's and this one's, one thread, here

    def refusal(self) -> str | None:
        """Why the conversion must not be used, or None."""
        limit = LIMITS[self.mode]
        for output in self.outputs:
            # Written so that NaN fails.
            if not (output.snr_db >= limit.least_snr_db and output.worst_share <= limit.worst_error):
                return (
                    f"output {output.name} differs from the source model by up to {output.worst:.4g} "
                    f"({output.worst_share:.1%} of its largest value, {output.snr_db:.1f} dB); the limit for "
                    f"--quantize {self.mode} is {limit.worst_error:.2%} and {limit.least_snr_db:g} dB"
                )
        if self.simulation_db is not None and not self.simulation_db >= SIMULATION_DB:
            return (
                f"the model computes something else than its own rounding leads to ({self.simulation_db:.1f} dB apart, "
                f"the limit is {SIMULATION_DB:g} dB), so a weight or scale was lost"
            )
        for name, figure in self.figures.items():
            before, after, may_drop, _ = Figure(*figure)
            if not after >= before - may_drop:
                return f"{name} falls from {before:.4f} to {after:.4f}, by more than the {may_drop:g} allowed"
        return None

    def require(self, what: str) -> None:
        """Raise `ConvertError` where the conversion is not good enough."""
        reason = self.refusal()
        if reason:
            hint = {
                "none": "train it again, or report this",
                "int8": "try other calibration photos, or --quantize float16",
            }.get(self.mode, "try --quantize none")
            if self.layers:
                worst = self.layers[0]
                hint = (
                    f"layer {worst.name} loses most ({worst.share:.0%} of the noise): keep it in float with "
                    f"--keep-float {worst.name}, {hint}"
                )
            raise ConvertError(f"refused to convert {what}, nothing was written: {reason}; {hint}")

    def to_manifest(self) -> dict[str, Any]:
        """For `Manifest.parity`."""
        return {
            "quantize": self.mode,
            "samples": self.samples,
            "worst_output_error": max(output.worst for output in self.outputs),
            "outputs": [
                {
                    "name": output.name,
                    "worst": round(output.worst, 7),
                    "worst_share": round(output.worst_share, 7),
                    "snr_db": round(output.snr_db, 2),
                }
                for output in self.outputs
            ],
            "simulation_db": None if self.simulation_db is None else round(self.simulation_db, 2),
            "source_bytes": self.source_bytes,
            "bytes": self.bytes,
            "figures": [_told(name, Figure(*figure)) for name, figure in self.figures.items()],
            "layers": [{"name": layer.name, "share_of_noise": round(layer.share, 4)} for layer in self.layers[:10]],
            "done": list(self.done),
        }


def _told(name: str, figure: Figure) -> dict[str, Any]:
    told = {"name": name, "before": round(figure.before, 5), "after": round(figure.after, 5)}
    told |= {} if figure.middle is None else {"float": round(figure.middle, 5)}
    return told | {"may_drop": figure.may_drop}


@dataclass(frozen=True)
class Converted:
    """A conversion and its proof. The one way to a file checks the proof."""

    what: str
    flatbuffer: bytes
    manifest: Manifest
    parity: Parity

    def save(self, path: Path) -> None:
        """Write the model file. Raises `ConvertError`, and writes nothing, where it is not good enough."""
        self.parity.require(self.what)
        manifests.save(path, self.flatbuffer, self.manifest)


def compare(names: Sequence[str], want: Sequence[Array], have: Sequence[Array]) -> tuple[OutputError, ...]:
    """Errors of each output; `want` and `have` hold one array per output, over all samples."""
    result = []
    for name, source, made in zip(names, want, have, strict=True):
        if source.shape != made.shape:
            raise ConvertError(
                f"the converted model's output {name} is {made.shape}, the source's {source.shape}: a fault of the "
                "conversion, nothing was written"
            )
        exact = np.asarray(source, np.float64)
        error = np.asarray(made, np.float64) - exact
        largest = max(float(np.abs(exact).max()), 1e-30)
        worst = float(np.abs(error).max())
        noise = float(np.sum(error**2))
        signal = float(np.sum(exact**2))
        snr = float("nan") if not np.isfinite(noise) else 300.0 if noise == 0 else 10 * float(np.log10(signal / noise))
        result.append(OutputError(name, worst, worst / largest, snr))
    return tuple(result)


def found_again(
    before: Sequence[tuple[Array, Array, Array]], after: Sequence[tuple[Array, Array, Array]], score: float = 0.5
) -> tuple[float, float]:
    """Of the detections `before` with at least `score`, the share that `after` has too, and the mean IoU of those.

    Each image is (boxes, scores, classes); found again means the same class, IoU >= 0.5, and a score of at least half
    of `score`. 1.0 twice where there is nothing to find.
    """
    overlaps = []
    for (boxes, scores, classes), (other, other_scores, other_classes) in zip(before, after, strict=True):
        other, other_classes = other[other_scores >= score / 2], other_classes[other_scores >= score / 2]
        for box, label in zip(boxes[scores >= score], classes[scores >= score], strict=True):
            overlaps.append(float(iou(box, other[other_classes == label]).max(initial=0.0)))
    again = [overlap for overlap in overlaps if overlap >= 0.5]
    if not overlaps:
        return 1.0, 1.0
    return len(again) / len(overlaps), float(np.mean(again)) if again else 0.0
