"""Training the detector: batches with jitter, AdamW on a cosine, averaged weights, the best of which are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge.manifest import DarknetDecode, Tensor
from edge.perception.decode import DarknetDecoder
from edge.perception.nms import nms
from train.detector.judge import Tally, Verdict
from train.detector.loss import YoloLoss
from train.detector.model import build, manifest
from train.detector.scenes import Examples, Scene
from train.settings import setting

LEAST_SCORE = 0.005
"""Finds below it are not ranked: they change the average precision in its fourth decimal."""


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of `edgebot train detector`."""

    rooms: int = setting(3400, "rooms to draw pictures of", 1, 900_000)
    frames: int = setting(4, "pictures of each room", 1, 1000)
    check_rooms: int = setting(60, "other rooms, whose pictures choose the best weights", 1, 50_000)
    batch: int = setting(32, "pictures in a batch", 1, 4096)
    learning_rate: float = setting(6e-3, "AdamW's, at its highest; it falls along a cosine", 1e-7, 1.0)
    weight_decay: float = setting(0.02, "AdamW's", 0.0, 1.0)
    warm_up: int = setting(150, "steps over which the learning rate rises", 0, 1_000_000)
    average: float = setting(0.995, "decay of the averaged weights that are judged and kept", 0.0, 0.99999)
    checks: int = setting(12, "how often the averaged weights are judged", 1, 10_000)


class Progress(NamedTuple):
    """After some steps: their mean losses and, at a check, how good the averaged weights are."""

    step: int
    loss: float
    box: float
    objectness: float
    verdict: Verdict | None


class Learner:
    """Trains one network.

    Args:
        seed: of weights, batches and jitter.
        examples: to learn from. check: to choose the best weights by.
    """

    def __init__(self, settings: DetectorSettings, seed: int, steps: int, examples: Examples, check: Examples) -> None:
        keras.utils.set_random_seed(seed)
        self.settings, self.steps = settings, steps
        self.examples, self.check = examples, check
        self._rng = np.random.default_rng([seed, 21])
        self.model = build()
        _, rows, columns, _ = self.model.output_shape
        _, height, width, _ = self.model.input_shape
        self._loss = YoloLoss(width, height, rows, columns)
        rise = max(1, min(settings.warm_up, steps // 4))
        schedule = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate / 20,
            max(1, steps - rise),
            0.01,
            warmup_target=settings.learning_rate,
            warmup_steps=rise,
        )
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, clipnorm=10.0)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self.model.trainable_variables)
        self._averages = [tf.Variable(weight.value, trainable=False) for weight in self.model.weights]
        self._update = tf.function(self._one_step, reduce_retracing=True)
        self.best: float = -1.0
        self.best_weights: list[NDArray[Any]] = self.model.get_weights()

    def learn(self) -> Iterator[Progress]:
        """Yields about every 20 steps. `best_weights` holds the best averaged weights so far."""
        every = max(1, self.steps // self.settings.checks)
        sums, since = np.zeros(3), 0
        for step, (images, boxes, kinds) in enumerate(self._batches(), start=1):
            decay = min(self.settings.average, (1 + step) / (10 + step))
            batch = jitter(self._rng, images, boxes, kinds)
            sums += self._update(*batch, tf.constant(decay, tf.float32)).numpy()
            since += 1
            checking = step % every == 0 or step == self.steps
            if checking or since == 20:
                found = self._keep_if_best() if checking else None
                loss, box, objectness = (float(part) for part in sums / since)
                yield Progress(step, loss, box, objectness, found)
                sums, since = np.zeros(3), 0

    def _one_step(
        self, images: tf.Tensor, boxes: tf.Tensor, kinds: tf.Tensor, light: tf.Tensor, decay: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            terms = self._loss(self.model(lit(images, light), training=True), boxes, tf.cast(kinds, tf.int32))
        variables = self.model.trainable_variables
        self._optimizer.apply(tape.gradient(terms.total, variables), variables)
        for average, weight in zip(self._averages, self.model.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight.value)
        return tf.stack(terms)

    def _batches(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int8]]]:
        size, count = self.settings.batch, len(self.examples.images)
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            while len(order) < size:
                order = np.concatenate([order, self._rng.permutation(count)])
            chosen, order = np.sort(order[:size]), order[size:]
            yield self.examples.images[chosen], self.examples.boxes[chosen], self.examples.kinds[chosen]

    def _keep_if_best(self) -> Verdict:
        current = self.model.get_weights()
        averaged = [average.numpy() for average in self._averages]
        self.model.set_weights(averaged)
        found = judge_examples(self.model, self.check)
        self.model.set_weights(current)
        if found.ap >= self.best:
            self.best, self.best_weights = found.ap, averaged
        return found


def jitter(
    rng: np.random.Generator, images: NDArray[np.uint8], boxes: NDArray[np.float32], kinds: NDArray[np.int8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int8], NDArray[np.float32]]:
    """Mirror half of the pictures, zoom into or out of some, with their boxes, and draw another light for each.

    Returns:
        Pictures (B, H, W, 3), boxes (B, M, 4), kinds (B, M), and matrices (B, 4, 3) that `lit` takes pixels
        (r, g, b, 1) through: saturation, gain, balance and contrast of each picture, in one product.
    """
    count = len(images)
    mirrored = rng.random(count) < 0.5
    images, boxes, kinds = images.copy(), boxes.copy(), kinds.copy()
    images[mirrored] = images[mirrored][:, :, ::-1]
    there = (boxes[..., 2] > 0) & mirrored[:, None]
    boxes[..., 0] = np.where(there, 1 - boxes[..., 0], boxes[..., 0])
    for index in np.flatnonzero(rng.random(count) < 0.6):
        size = rng.uniform(0.72, 1.12) * np.array([1.0, rng.uniform(0.92, 1.08)])  # of the window, width and height
        corner = (1 - size) * rng.random(2)
        images[index] = _window(images[index], corner, size)
        boxes[index], kinds[index] = _boxes_in_window(boxes[index], kinds[index], corner, size)
    saturation = rng.uniform(0.4, 1.4, (count, 1, 1))
    matrix = saturation * np.eye(3) + (1 - saturation) / 3
    matrix = matrix * (rng.uniform(0.6, 1.35, (count, 1, 1)) * rng.uniform(0.88, 1.12, (count, 1, 3)))
    contrast = rng.uniform(0.75, 1.25, (count, 1, 1))
    mean = images[:, ::8, ::8].mean(axis=(1, 2), keepdims=True)[:, 0] / 255 @ matrix
    light = np.concatenate([contrast * matrix / 255, (1 - contrast) * mean], axis=1)
    return images, boxes, kinds, light.astype(np.float32)


def _window(image: NDArray[np.uint8], corner: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The part of a picture from `corner`, `size` wide and high (fractions), at the picture's own size."""
    height, width = image.shape[:2]
    back = np.array([[size[0], 0, corner[0] * width], [0, size[1], corner[1] * height]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def _boxes_in_window(
    boxes: NDArray[np.float32], kinds: NDArray[np.int8], corner: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Boxes (M, 4) as seen in the window; who is mostly outside it does not count, who is wholly outside is nobody."""
    low = (boxes[:, :2] - boxes[:, 2:] / 2 - corner) / size
    high = low + boxes[:, 2:] / size
    inner_low, inner_high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    extent = inner_high - inner_low
    left = extent.prod(axis=1) / np.maximum((high - low).prod(axis=1), 1e-9)
    gone = (extent <= 0.01).any(axis=1) | (kinds == 0)
    kinds = np.where(gone, 0, np.where(left < 0.35, -1, kinds)).astype(np.int8)
    moved = np.concatenate([(inner_low + inner_high) / 2, extent], axis=1)
    return np.where(gone[:, None], 0.0, moved).astype(np.float32), kinds


def lit(images: tf.Tensor, light: tf.Tensor) -> tf.Tensor:
    """Pictures (B, H, W, 3) uint8 as floats in 0..1, in the light of `jitter`."""
    shape = tf.shape(images)
    pixels = tf.reshape(tf.cast(images, tf.float32), [shape[0], -1, 3])
    return tf.reshape(tf.clip_by_value(pixels @ light[:, :3] + light[:, 3:], 0.0, 1.0), shape)


def decoder_of(model: keras.Model, score: float) -> DarknetDecoder:
    """The runtime's own decoder, for the network's float head."""
    _, rows, columns, channels = model.output_shape
    _, height, width, _ = model.input_shape
    output = Tensor(name="head", shape=(1, rows, columns, channels), dtype="float32")
    return DarknetDecoder(DarknetDecode.model_validate(manifest()["decode"]), (output,), width, height, score)


def judge_examples(model: keras.Model, check: Examples, at: float = 0.4) -> Verdict:
    """How good a network is on examples."""
    decoder, tally = decoder_of(model, LEAST_SCORE), Tally(at)
    for begin in range(0, len(check.images), 64):
        images = check.images[begin : begin + 64]
        heads = model(images.astype(np.float32) / 255.0, training=False).numpy()
        for number, (image, head) in enumerate(zip(images, heads, strict=True), start=begin):
            found = decoder.decode([head[None]])
            kept = nms(found.boxes, found.scores, found.classes, 0.45)
            size = np.array([image.shape[1], image.shape[0]] * 2)
            scene = example_scene(image, check.boxes[number], check.kinds[number])
            tally.add(found.boxes[kept] * size, found.scores[kept], scene)
    return tally.verdict()


def example_scene(image: NDArray[np.uint8], boxes: NDArray[np.float32], kinds: NDArray[np.int8]) -> Scene:
    """One example as a labelled picture."""
    there = kinds != 0
    size = np.array([image.shape[1], image.shape[0]], float)
    middles, sizes = boxes[there, :2] * size, boxes[there, 2:] * size
    # Examples only know who is to be found: as good as fully visible, or not at all.
    return Scene(image, np.concatenate([middles - sizes / 2, sizes], axis=1), np.where(kinds[there] == 1, 1.0, 0.01))
