"""What small dense networks do element by element, compiled by Numba: one pass where NumPy makes several.

Compiled code is kept on disk for the next process.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# tanh by Lambert's continued fraction (1768), x / (1 + x^2 / (3 + x^2 / (5 + ...))), cut after eleven terms: a ratio of
# polynomials in x^2, which the compiler turns into vector instructions. It is right to 1e-6, as beyond MOST 1 is.
MOST = np.float32(7.5)


def _lambert(terms: int) -> tuple[tuple[np.float32, ...], tuple[np.float32, ...]]:
    above, below = [2.0 * terms - 1.0], [1.0]
    for k in range(terms - 1, 0, -1):
        longer = [0.0, *below]
        size = max(len(above), len(longer))
        a, b = ([*each, *[0.0] * (size - len(each))] for each in (above, longer))
        above, below = [(2.0 * k - 1.0) * p + q for p, q in zip(a, b, strict=True)], above
    scale = above[0]
    top, bottom = ([np.float32(each / scale) for each in part] for part in (below, above))
    return tuple(top), tuple(bottom)


(P0, P1, P2, P3, P4, P5), (Q0, Q1, Q2, Q3, Q4, Q5) = _lambert(11)


vectorised = njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
"""Divisions that are not looked after, and sums in any order: else no vector instructions. NaN stays NaN."""


@vectorised  # type: ignore[untyped-decorator]
def tanh(x: np.float32) -> np.float32:
    x = MOST if x > MOST else x
    x = -MOST if x < -MOST else x
    s = x * x
    p = P0 + s * (P1 + s * (P2 + s * (P3 + s * (P4 + s * P5))))
    q = Q0 + s * (Q1 + s * (Q2 + s * (Q3 + s * (Q4 + s * Q5))))
    return x * p / q


@vectorised  # type: ignore[untyped-decorator]
def add_then_tanh(z: Floats, bias: Floats) -> None:
    """z = tanh(z + bias), of (B, width) and (width,)."""
    for row in range(len(z)):
        for i in range(z.shape[1]):
            z[row, i] = tanh(z[row, i] + bias[i])


@vectorised  # type: ignore[untyped-decorator]
def tanh_into(z: Floats, h: Floats) -> None:
    """h[:, 1:] = tanh z, of arrays (2, width, B) and (2, 1 + width, B)."""
    for k in range(len(z)):
        row, to = z[k].ravel(), h[k, 1:].ravel()  # contiguous, as only such rows become vector instructions
        for i in range(row.size):
            to[i] = tanh(row[i])


@vectorised  # type: ignore[untyped-decorator]
def back_through_tanh(h: Floats, d: Floats) -> None:
    """d *= 1 - h[:, 1:]^2: from the slopes by h = tanh z to those by z; arrays as in `tanh_into`."""
    for k in range(len(d)):
        row, to = h[k, 1:].ravel(), d[k].ravel()
        for i in range(row.size):
            to[i] *= np.float32(1.0) - row[i] * row[i]


@vectorised  # type: ignore[untyped-decorator]
def back_through_layer(weights: Floats, d: Floats, into: Floats) -> None:
    """into = weights[:, 1:]^T d, of (out, 1 + in), (out, B) and (in, B): faster than a product of so few outputs."""
    into[:] = np.float32(0.0)
    for row in range(len(into)):
        for k in range(len(d)):
            weight = weights[k, row + 1]
            for i in range(d.shape[1]):
                into[row, i] += weight * d[k, i]


@vectorised  # type: ignore[untyped-decorator]
def adam_step(
    weights: Floats, gradient: Floats, mean: Floats, square: Floats, shrink: float, rate: float, a: float, b: float,
    epsilon: float,
) -> None:  # fmt: skip
    """One step against `gradient` times `shrink`; both moments, (P,) as all, move by the shares `a` and `b`."""
    for i in range(weights.size):
        g = gradient[i] * shrink
        m = mean[i] + a * (g - mean[i])
        s = square[i] + b * (g * g - square[i])
        mean[i], square[i] = m, s
        weights[i] -= rate * m / (np.sqrt(s) + epsilon)
