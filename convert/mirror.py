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

from convert.graph import Graph, Node, scale_outputs
from convert.ranges import Extent

SLACK = 0.001
"""Root mean square of what may be above zero, as a share of how far the channel goes below: what turning costs is then
less than the rounding (1 / 255 of that reach, a twelfth of its square) that it takes away."""


class _NotLinear(Exception):
    """Something beside a convolution computes with the channels."""


def mirror(graph: Graph, extents: dict[str, Extent]) -> int:
    """Turn channels in place, and in `extents`; returns how many.

    Args:
        graph: the network, batch normalisation folded.
        extents: per node what its channels reach on calibration images.
    """
    turned = 0
    for leaky in graph.nodes.values():
        if leaky.op != "leaky":
            continue
        before = graph.nodes[leaky.inputs[0]]
        if before.kernel is None or len(graph.users(before.name)) > 1:
            continue
        reach = extents[before.name]
        turn = reach.above < -SLACK * reach.low
        own = np.flatnonzero(turn)
        try:
            readers = list(_readers(graph, leaky))
        except _NotLinear:
            continue
        factor = np.ones(before.channels, np.float32)
        factor[own] = -leaky.slope
        scale_outputs(before, factor)
        for reader, first in readers:
            assert reader.kernel is not None
            reader.kernel = reader.kernel.copy()
            reader.kernel[:, :, first + own] *= -1
        # What only hands the channels on has the same reach as before, on the other side of zero.
        low, high = -leaky.slope * reach.high, -leaky.slope * reach.low
        for name in (before.name, leaky.name):
            old = extents[name]
            extents[name] = Extent(np.where(turn, low, old.low), np.where(turn, high, old.high), old.above)
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
