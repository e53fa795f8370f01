"""Cross-layer equalisation: make the channels of a tensor alike in range before one scale must serve them all.

Int8 activations have one scale per tensor; a channel that is a hundred times smaller than the largest keeps two
or three levels. A positively homogeneous activation lets a factor pass, so that dividing a channel where it is
made and multiplying it where it is read changes nothing in real arithmetic (Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", 2019, arXiv:1906.04721; here by activation ranges, and over whole
groups of channels that additions and concatenations tie together).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convert.graph import Graph, Node
from convert.ranges import Extent

FLOOR = 0.01  # a channel is raised by at most 1 / (FLOOR ** STRENGTH)
STRENGTH = 0.9  # 1 would make all channels equal, at the cost of the weights' own ranges

Ids = NDArray[np.intp]


class _Ties:
    """Union-find over channels; group 0 is pinned: its scale stays 1."""

    def __init__(self) -> None:
        self._parent: list[int] = [0]

    def new(self, count: int) -> Ids:
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def find(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def tie(self, one: Ids, other: Ids) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            a, b = self.find(a), self.find(b)
            self._parent[max(a, b)] = min(a, b)  # the pinned group is the smallest

    def pin(self, ids: Ids) -> None:
        self.tie(ids, np.zeros(len(ids), np.intp))


class Evened(NamedTuple):
    """What `equalise` did: of how many channels of convolutions how many were rescaled, and the largest factor."""

    channels: int
    scaled: int
    most: float


def equalise(graph: Graph, extents: dict[str, Extent]) -> Evened:
    """Rescale the weights of `graph` in place; its outputs stay what they were, up to rounding.

    Args:
        graph: the network, batch normalisation folded.
        extents: per node what its channels reach on calibration images.
    """
    groups = channel_groups(graph)
    ratios: dict[int, float] = {}
    for name, own in groups.items():
        largest = np.maximum(extents[name].high, -extents[name].low)
        share = largest / max(float(largest.max()), 1e-12)
        for group, ratio in zip(own.tolist(), share.tolist(), strict=True):
            ratios[group] = max(ratios.get(group, 0.0), ratio)
    scale = {group: max(ratio, FLOOR) ** STRENGTH for group, ratio in ratios.items()} | {0: 1.0}
    factors = []
    for node in graph.nodes.values():
        if node.kernel is None or node.bias is None:
            continue
        into = np.array([scale[group] for group in groups[node.inputs[0]].tolist()])
        out = np.array([scale[group] for group in groups[node.name].tolist()])
        if node.op == "depthwise":
            factor = into[:, None] / out.reshape(node.kernel.shape[2:])
        else:
            factor = into[:, None] / out
        node.kernel = (node.kernel * factor).astype(np.float32)
        node.bias = (node.bias / out).astype(np.float32)
        factors.append(1.0 / out)
    all_factors = np.concatenate([np.ones(1), *factors])
    return Evened(len(all_factors) - 1, int((all_factors > 1.01).sum()), float(all_factors.max()))


def channel_groups(graph: Graph) -> dict[str, Ids]:
    """By node the group of each of its channels, (channels,): one factor for a group changes nothing in the outputs.

    Groups are numbered without gaps; that of number 0 keeps its scale.
    """
    ties = _Ties()
    ids: dict[str, Ids] = {}
    for node in graph.nodes.values():
        ids[node.name] = _channels(node, [ids[name] for name in node.inputs], ties)
    for name in graph.outputs:
        ties.pin(ids[name])
    numbers = {0: 0}
    return {
        name: np.array([numbers.setdefault(ties.find(item), len(numbers)) for item in own.tolist()], np.intp)
        for name, own in ids.items()
    }


def _channels(node: Node, inputs: list[Ids], ties: _Ties) -> Ids:
    """Which group each channel of a node belongs to."""
    match node.op:
        case "input":
            return np.zeros(node.channels, np.intp)
        case "conv" | "depthwise":
            return ties.new(node.channels)
        case "add":
            for other in inputs[1:]:
                ties.tie(inputs[0], other)
            return inputs[0]
        case "concat":
            return np.concatenate(inputs)
        case "slice":
            return inputs[0][node.start : node.start + node.channels]
        case "curve" | "other" | "moves":
            for given in inputs:
                ties.pin(given)
            return np.zeros(node.channels, np.intp)
        case _:  # pad, maxpool, resize, relu, leaky: what comes in goes out, scaled alike
            return inputs[0]
