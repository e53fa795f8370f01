"""One epoch's batches, drawn in parallel by `tf.data`; every picture follows from seed, epoch and place alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.detector.augment import Jitter, draw
from train.detector.examples import Examples, padded

_ORDER, _PICTURE = 22, 23  # streams of random numbers

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


def epoch_batches(
    examples: Examples, batch: int, jitter: Jitter, seed: int, epoch: int, workers: int
) -> Iterator[Batch]:
    """Batches of pictures (B, height, width, 3) uint8 and truth (B, M, 5), in an order of this epoch's own.

    The pictures that fill no whole batch wait for another epoch; where all are fewer than a batch, they are one.
    """
    order = np.random.default_rng([seed, _ORDER, epoch]).permutation(len(examples))
    size = min(batch, len(examples))

    def one(place: Any) -> Any:
        rng = np.random.default_rng([seed, _PICTURE, epoch, int(place)])
        return draw(rng, examples, int(order[place]), jitter)

    types = (tf.uint8, tf.float32)
    pictures = tf.data.Dataset.range(len(order) // size * size).map(
        lambda place: tf.numpy_function(one, [place], types), num_parallel_calls=workers, deterministic=True
    )
    # Truth has another length for every picture, so batches are put together here.
    ragged = pictures.prefetch(2 * size).as_numpy_iterator()
    for _ in range(len(order) // size):
        images, truths = zip(*(next(ragged) for _ in range(size)), strict=True)
        yield np.stack(images), padded(truths)
