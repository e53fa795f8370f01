"""Turn over the channels that are as good as always below zero before a leaky ReLU.

Of such a channel the ReLU leaves a tenth, all of it negative, while what its tensor's scale must hold is mostly
positive: it keeps a few of the 256 levels, and equalisation cannot help, since the value before the ReLU is not small.
Yet on that side a leaky ReLU only multiplies. Multiplied by minus the slope before it, the channel passes the ReLU
unchanged and may then be as large as any; what reads it takes it with the other sign. In real arithmetic nothing
changes while the channel stays below zero, and little where it just comes above.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convert.graph import Graph, Node

SLACK = 0.005  # how far above zero a channel may come on calibration images, as a share of how far it goes below


class _NotLinear(Exception):
    """Something beside a convolution computes with the channels."""


def mirror(graph: Graph, extents: dict[str, NDArray[np.floating]]) -> int:
    """Turn channels in place, and in `extents`; returns how many.

    Args:
        graph: the network, batch normalisation folded.
        extents: per node the lowest and the highest value of each channel over calibration images, (2, channels).
    """
    turned = 0
    for leaky in graph.nodes.values():
        before = graph.nodes[leaky.inputs[0]] if leaky.op == "leaky" else leaky
        if before is leaky or before.kernel is None or before.bias is None or len(graph.users(before.name)) > 1:
            continue
        low, high = extents[before.name]
        own = np.flatnonzero(high < -SLACK * low)
        try:
            readers = list(_readers(graph, leaky))
        except _NotLinear:
            continue
        factor = np.ones(before.channels, np.float32)
        factor[own] = -leaky.slope
        shape = before.kernel.shape[2:] if before.op == "depthwise" else factor.shape
        before.kernel = before.kernel * factor.reshape(shape)
        before.bias = before.bias * factor
        for reader, first in readers:
            assert reader.kernel is not None
            reader.kernel = reader.kernel.copy()
            reader.kernel[:, :, first + own] *= -1
        # What only hands the channels on has the same reach as before, on the other side of zero.
        reach = -leaky.slope * np.array([high, low])[:, own]
        for name in (before.name, leaky.name):
            extents[name][:, own] = reach
        turned += len(own)
    return turned


def _readers(graph: Graph, node: Node, first: int = 0) -> Iterator[tuple[Node, int]]:
    """The convolutions that read a node's channels, and where among theirs the first of these is."""
    if node.name in graph.outputs:
        raise _NotLinear
    for user in graph.users(node.name):
        if user.op in ("conv", "depthwise"):
            yield user, first
        elif user.op in ("pad", "resize"):
            yield from _readers(graph, user, first)
        elif user.op == "concat":
            at = 0
            for name in user.inputs:
                if name == node.name:
                    yield from _readers(graph, user, first + at)
                at += graph.nodes[name].channels
        else:
            raise _NotLinear
