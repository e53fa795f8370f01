"""The decoder that a manifest asks for, and the suppression that follows it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.manifest import DarknetDecode, Decode, SsdDecode, Tensor, UltralyticsDecode
from edge.perception.decode import NONE, Candidates, DarknetDecoder, joined
from edge.perception.nms import covered, nms
from edge.perception.ssd import SsdDecoder
from edge.perception.ultralytics import UltralyticsDecoder


class Decoder(Protocol):
    """Output tensors in, candidates out; `outputs` tells which tensors, and in which order."""

    outputs: tuple[int, ...]

    def decode(self, raw: list[NDArray[Any]], /) -> Candidates: ...


def make_decoder(spec: Decode, outputs: tuple[Tensor, ...], width: int, height: int, score: float) -> Decoder:
    """A decoder for a network whose input is `width` x `height` pixels; 0 < score < 1.

    Raises:
        ModelError: the tensors do not fit the layout.
    """
    if not 0.0 < score < 1.0:
        raise ValueError(f"score must lie between 0 and 1, not {score}")
    if isinstance(spec, UltralyticsDecode):
        return UltralyticsDecoder(spec, outputs, width, height, score)
    if isinstance(spec, SsdDecode):
        return SsdDecoder(spec, outputs, score)
    return DarknetDecoder(spec, outputs, width, height, score)


def suppress(found: Candidates, spec: Decode) -> NDArray[np.intp]:
    """The indices of the candidates that stay, best first."""
    if isinstance(spec, DarknetDecode):
        return nms(found.boxes, found.scores, found.classes, spec.nms_iou, spec.nms_beta)
    if isinstance(spec, SsdDecode) or spec.nms_iou is None:  # the network has suppressed already
        return np.argsort(-found.scores, kind="stable")
    return nms(found.boxes, found.scores, found.classes, spec.nms_iou, most=spec.max_detections)


def find(decoder: Decoder, spec: Decode, raw: list[NDArray[Any]]) -> Candidates:
    """What stays of one image's candidates, best first."""
    if not isinstance(decoder, UltralyticsDecoder) or not isinstance(spec, UltralyticsDecode) or spec.nms_iou is None:
        found = decoder.decode(raw)
        return found.chosen(suppress(found, spec))
    kept = NONE
    for piece in decoder.ranked(raw):
        if len(kept.scores):
            gone = covered(piece.boxes, piece.classes, kept.boxes, kept.classes, spec.nms_iou)
            piece = piece.chosen(np.flatnonzero(~gone))
        piece = piece.chosen(suppress(piece, spec)) if len(piece.scores) else piece
        kept = joined([kept, piece]) if len(kept.scores) else piece
        if len(kept.scores) >= spec.max_detections:
            return kept.chosen(np.arange(spec.max_detections))
    return kept
