"""One epoch's batches, drawn in parallel; every picture follows from seed, epoch and place alone.

By `tf.data`, or by threads of our own where another backend of Keras trains without TensorFlow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from train.detector.augment import Jitter, draw
from train.detector.examples import Examples, padded

_ORDER, _PICTURE = 22, 23  # streams of random numbers
_AHEAD = 2  # batches that wait, beside those that are being drawn

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


def epoch_batches(
    examples: Examples, batch: int, jitter: Jitter, seed: int, epoch: int, workers: int
) -> Iterator[Batch]:
    """Batches of pictures (B, height, width, 3) uint8 and truth (B, M, 5), in an order of this epoch's own.

    The pictures that fill no whole batch wait for another epoch; where all are fewer than a batch, they are one.
    """
    order = np.random.default_rng([seed, _ORDER, epoch]).permutation(len(examples))
    size = min(batch, len(examples))

    def one(number: int) -> Batch:
        drawn = []
        for place in range(number * size, (number + 1) * size):
            rng = np.random.default_rng([seed, _PICTURE, epoch, place])
            drawn.append(draw(rng, examples, int(order[place]), jitter))
        images, truths = zip(*drawn, strict=True)
        return np.stack(images), padded(truths)

    by = by_tensorflow if find_spec("tensorflow") else by_threads
    return by(one, len(order) // size, workers)


def by_tensorflow(one: Callable[[int], Batch], count: int, workers: int) -> Iterator[Batch]:
    """Batches 0 to `count`, in order, drawn `workers` at a time."""
    import tensorflow as tf

    types = (tf.uint8, tf.float32)
    batches = tf.data.Dataset.range(count).map(
        lambda number: tf.numpy_function(lambda n: one(int(n)), [number], types),
        num_parallel_calls=workers,
        deterministic=True,
    )
    yield from batches.prefetch(_AHEAD).as_numpy_iterator()


def by_threads(one: Callable[[int], Batch], count: int, workers: int) -> Iterator[Batch]:
    """The same; OpenCV and numpy leave other threads the interpreter while they compute."""
    drawn: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for number in range(count):
            drawn.append(pool.submit(one, number))
            if len(drawn) >= workers + _AHEAD:
                yield drawn.popleft().result()
        while drawn:
            yield drawn.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
