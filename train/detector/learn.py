"""Training a detector: AdamW on a cosine with warm-up, averaged weights; any backend of Keras does the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edge.manifest import DarknetDecode, ImageInput
from train.detector.loss import YoloLoss
from train.detector.settings import LearnSettings

_AVERAGED_EVERY = 4  # steps; more often costs time and changes nothing

Weights = list[NDArray[Any]]
Batches = Callable[[int], Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]]
"""From an epoch's number, from 0, to its batches."""


class Step(NamedTuple):
    """After one batch: its losses."""

    step: int
    loss: float
    box: float
    objectness: float
    label: float


class _Taught(keras.Model):  # type: ignore[misc]
    """The network with its loss: Keras's own training step, on whatever backend."""

    def __init__(self, network: keras.Model, image: ImageInput, order: list[int], loss: YoloLoss) -> None:
        super().__init__(name="taught")
        self.network, self._order, self._loss = network, order, loss
        self._scale, self._offset = image.scale, image.offset
        # A variable, since it must leave a compiled function.
        self.parts = self.add_weight(shape=(4,), initializer="zeros", trainable=False, name="parts")

    def call(self, images: Any, training: bool = False) -> Any:
        heads = self.network(ops.cast(images, "float32") * self._scale + self._offset, training=training)
        return [heads[index] for index in self._order] if isinstance(heads, (list, tuple)) else [heads]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
        terms = self._loss(y_pred, y)
        self.parts.assign(ops.stack(terms))
        return terms.total


class Learner:
    """Trains `network` in place, epoch by epoch; its whole state can be saved and taken up again.

    Args:
        network: images (B, height, width, 3) to raw heads.
        epochs, steps_per_epoch: the schedule's length.
        batches: of an epoch.
    """

    def __init__(
        self,
        network: keras.Model,
        image: ImageInput,
        decode: DarknetDecode,
        settings: LearnSettings,
        epochs: int,
        steps_per_epoch: int,
        batches: Batches,
    ) -> None:
        self.network, self.settings = network, settings
        self.epochs, self.steps_per_epoch, self._batches = epochs, steps_per_epoch, batches
        _, height, width, _ = network.input_shape
        grids = [tuple(network.outputs[head.output].shape[1:3]) for head in decode.heads]
        total = epochs * steps_per_epoch
        rise = max(1, min(settings.warm_up, total // 4))
        schedule = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate / 20,
            max(1, total - rise),
            0.01,
            warmup_target=settings.learning_rate,
            warmup_steps=rise,
        )
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, clipnorm=10.0)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        order = [head.output for head in decode.heads]
        self._taught = _Taught(network, image, order, YoloLoss(decode, grids, width, height, settings.focus))
        # XLA makes these networks slower to start and no faster on a CPU; other backends know best.
        self._taught.compile(
            optimizer=self._optimizer, jit_compile=False if keras.backend.backend() == "tensorflow" else "auto"
        )
        self._optimizer.build(network.trainable_variables)
        self.step = self._averaged_at = 0
        self.averages: Weights = [np.array(weight) for weight in network.get_weights()]

    @property
    def epoch(self) -> int:
        """The epoch to come."""
        return self.step // self.steps_per_epoch

    def learn_epoch(self) -> Iterator[Step]:
        """Learn from one epoch's batches."""
        for images, truth in self._batches(self.epoch):
            self._taught.train_on_batch(images, truth)
            self.step += 1
            if self.step % _AVERAGED_EVERY == 0 or self.step % self.steps_per_epoch == 0:
                self._average()
            losses = [float(part) for part in ops.convert_to_numpy(self._taught.parts)]
            if not math.isfinite(losses[0]):
                raise FloatingPointError(f"the loss is {losses[0]} at step {self.step}")
            yield Step(self.step, *losses)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that training goes on from, at an epoch's end."""
        groups = {
            "network": self.network.get_weights(),
            "average": self.averages,
            "optimizer": [ops.convert_to_numpy(variable) for variable in self._optimizer.variables],
        }
        arrays = {f"{name}_{index}": value for name, group in groups.items() for index, value in enumerate(group)}
        return arrays | {"step": np.array(self.step)}

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go back to a `state`. Raises KeyError or ValueError where it is another network's."""
        count = len(self.averages)
        self.network.set_weights([arrays[f"network_{index}"] for index in range(count)])
        self.averages = [arrays[f"average_{index}"] for index in range(count)]
        for index, variable in enumerate(self._optimizer.variables):
            variable.assign(arrays[f"optimizer_{index}"])
        self.step = self._averaged_at = int(arrays["step"])

    def averaged(self) -> _Averaged:
        """For a `with` block in which the network has its averaged weights."""
        return _Averaged(self.network, self.averages)

    def _average(self) -> None:
        # Young averages forget their random beginnings sooner.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step)) ** (self.step - self._averaged_at)
        for average, weight in zip(self.averages, self.network.get_weights(), strict=True):
            average += (1 - decay) * (weight - average)
        self._averaged_at = self.step


class _Averaged:
    def __init__(self, network: keras.Model, weights: Weights) -> None:
        self._network, self._weights = network, weights

    def __enter__(self) -> keras.Model:
        self._own = self._network.get_weights()
        self._network.set_weights(self._weights)
        return self._network

    def __exit__(self, *_: object) -> None:
        self._network.set_weights(self._own)
