"""Settings of `edgebot train detector`, and what differs by where the pictures come from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from train.detector.augment import Jitter
from train.settings import setting


@dataclass(frozen=True)
class LearnSettings:
    """How a detector learns."""

    batch: int = setting(16, "pictures in a batch", 1, 4096)
    learning_rate: float = setting(2e-3, "AdamW's, at its highest; it falls along a cosine", 1e-7, 1.0)
    weight_decay: float = setting(0.02, "AdamW's", 0.0, 1.0)
    warm_up: int = setting(150, "steps over which the learning rate rises, at most a quarter of all", 0, 1_000_000)
    average: float = setting(0.998, "decay, per step, of the averaged weights that are judged and kept", 0.0, 0.99999)
    focus: float = setting(1.5, "gamma of the focal loss of objectness; 0: binary cross-entropy", 0.0, 10.0)
    patience: int = setting(0, "epochs without a better AP after which training stops; 0: never", 0, 1_000_000)
    check_every: int = setting(1, "epochs from one check to the next", 1, 1_000_000)
    calm: float = setting(0.15, "share of the epochs, the last ones, without mosaic and zoom", 0.0, 1.0)
    mosaic: float = setting(0.5, "chance that a picture is put together of four", 0.0, 1.0)
    zoom: float = setting(0.5, "chance that a picture that is no mosaic is zoomed and shifted", 0.0, 1.0)
    smaller: float = setting(0.6, "the zoom's smallest scale", 0.05, 1.0)
    larger: float = setting(1.5, "the zoom's largest scale", 1.0, 10.0)
    flip: float = setting(0.5, "chance of a mirror image", 0.0, 1.0)
    hue: float = setting(0.015, "largest change of hue, as a share", 0.0, 0.5)
    saturation: float = setting(0.5, "largest change of saturation, as a share", 0.0, 1.0)
    value: float = setting(0.4, "largest change of value, as a share", 0.0, 1.0)
    keep_norm: bool = setting(False, "keep batch normalisation as it is")
    memory_mb: int = setting(3000, "pictures that are kept in memory once read, megabytes", 0, 10**7)

    def jitter(self) -> Jitter:
        """How much pictures may differ from what they were."""
        return Jitter(
            self.mosaic, self.zoom, self.smaller, self.larger, self.flip, self.hue, self.saturation, self.value
        )


@dataclass(frozen=True)
class SceneSettings:
    """Which rendered rooms are learnt from."""

    rooms: int = setting(4000, "rooms to draw pictures of", 1, 900_000)
    frames: int = setting(4, "pictures of each room", 1, 1000)
    check_rooms: int = setting(80, "other rooms, whose pictures choose the best weights", 1, 50_000)


@dataclass(frozen=True)
class PhotoSettings:
    """The network for photos, where it is not taken from --from."""

    width: int = setting(320, "of the network's input, pixels; a multiple of 32", 64, 1280)
    height: int = setting(320, "of the network's input, pixels; a multiple of 32", 64, 1280)
    held_out: float = setting(0.1, "share of the pictures to judge by, where the data names none", 0.01, 0.9)


LEARN = LearnSettings()

LEARN_SCENES = replace(
    LEARN, batch=32, learning_rate=6e-3, mosaic=0.0, zoom=0.45, smaller=0.9, larger=1.33, hue=0.03, value=0.3
)
"""Rendered persons fill the picture's height, so that mosaics would only teach what is never met."""

LEARN_FROM = replace(
    LEARN, learning_rate=4e-4, weight_decay=0.005, warm_up=60, mosaic=0.3, average=0.99, keep_norm=True
)
"""A network that knows much already must not be shaken."""

LEARN_EXTEND = replace(LEARN_FROM, learning_rate=3e-3)
"""New heads on a network that does not learn."""

LEARN_SCENES_FROM = replace(LEARN_SCENES, learning_rate=2e-3)

EPOCHS, EPOCHS_FROM, EPOCHS_EXTEND, EPOCHS_SCENES = 100, 40, 60, 14


def defaults(photos: bool, transfer: bool, extend: bool = False) -> tuple[LearnSettings, int]:
    """The settings, and the epochs, for photos or rendered rooms, from scratch or from (beside) another detector."""
    if extend:
        return LEARN_EXTEND, EPOCHS_EXTEND
    if photos:
        return (LEARN_FROM, EPOCHS_FROM) if transfer else (LEARN, EPOCHS)
    return (LEARN_SCENES_FROM if transfer else LEARN_SCENES), EPOCHS_SCENES
