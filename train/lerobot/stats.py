"""Statistics of a data set's columns and pictures, in the shapes in which LeRobot keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)

Array = NDArray[Any]
Stats = dict[str, Array]


def of_column(column: Array) -> Stats:
    """Minimum, maximum, mean, deviation, count and quantiles over the rows; each a vector, of one for a scalar."""
    column = column.reshape(len(column), -1)
    values = column.astype(np.float64)
    found = {
        "min": column.min(axis=0),
        "max": column.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
    }
    return found | {_quantile(share): np.quantile(values, share, axis=0) for share in QUANTILES}


def of_pictures(colours: Array, frames: int) -> Stats:
    """The same for pictures, 0..1, in the shape (3, 1, 1), from how often each colour has each value (3, 256)."""
    values = np.arange(256) / 255.0
    shares = colours / colours.sum(axis=1, keepdims=True)
    mean = shares @ values
    found = {
        "min": values[(colours > 0).argmax(axis=1)],
        "max": values[255 - (colours[:, ::-1] > 0).argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(shares @ values**2 - mean**2, 0.0)),
    }
    reached = shares.cumsum(axis=1)
    found |= {_quantile(share): values[(reached >= share - 1e-12).argmax(axis=1)] for share in QUANTILES}
    return {name: part.reshape(3, 1, 1) for name, part in found.items()} | {"count": np.array([frames])}


def _quantile(share: float) -> str:
    return f"q{round(100 * share):02d}"


def together(parts: Sequence[Stats]) -> Stats:
    """The statistics of all episodes; quantiles are averaged by weight, which is how LeRobot joins them too."""
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()

    def mean(name: str) -> Array:
        return np.asarray(sum(weight * part[name] for weight, part in zip(weights, parts, strict=True)))

    middle = mean("mean")
    spread = sum(
        weight * (part["std"] ** 2 + (part["mean"] - middle) ** 2) for weight, part in zip(weights, parts, strict=True)
    )
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": middle,
        "std": np.sqrt(spread),
        "count": np.array([int(counts.sum())]),
        **{name: mean(name) for name in parts[0] if name.startswith("q")},
    }
