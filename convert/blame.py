"""Which layer of an int8 model costs most: the error that each one makes by itself, carried to the heads.

The model's own tensors are read, so that a fault of the converter shows as well as rounding. What a layer makes is
compared with what float arithmetic makes of the same inputs; that difference alone is then put into the float network,
and the change of its heads, relative to their size, is what the layer costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.graph import Graph, compute
from convert.parity import LayerLoss
from convert.ranges import Images
from convert.rounding import layers_of

CANDIDATES = 24  # operations whose own error is carried to the heads: those with the largest
VALUES = 20_000_000  # numbers that are held at once: fewer images of larger networks are looked at
MOST = 4
_NODE = re.compile(r"node(\d+)_/")


def blame(
    flatbuffer: bytes, graph: Graph, images: Images, advance: Callable[[int], None] = lambda count: None
) -> tuple[LayerLoss, ...]:
    """The layers of an int8 model, the one that loses most first.

    Args:
        flatbuffer: made by `convert.quantise` of `graph`; its tensors' names lead back to the nodes.
        graph: in float.
        images: prepared, (N, rows, columns, channels); up to `MOST` of them are used.
        advance: told each of at most `CANDIDATES` operations.
    """
    size = sum(np.prod(value.shape[1:]) for value in _values(graph, images[:1]).values())
    images = images[: int(np.clip(VALUES // max(int(size), 1), 1, MOST))]
    errors = _own_errors(graph, _tensors(flatbuffer, graph, images), images)
    relative = {name: float(np.sqrt(np.mean(error**2)) / scale) for name, (error, scale) in errors.items()}
    names = sorted(relative, key=relative.__getitem__, reverse=True)[:CANDIDATES]
    clean = [np.asarray(head) for head in graph.run(tf.constant(images))]
    sizes = [float(np.mean(np.square(head))) + 1e-12 for head in clean]
    layers = layers_of(graph)
    costs: dict[str, float] = {}
    for name in names:
        noisy = graph.run(tf.constant(images), _adding(name, errors[name][0]))
        cost = sum(
            float(np.mean(np.square(np.asarray(one) - other))) / size
            for one, other, size in zip(noisy, clean, sizes, strict=True)
        )
        costs[layers[name]] = costs.get(layers[name], 0.0) + cost
        advance(1)
    total = sum(costs.values()) or 1.0
    ordered = sorted(costs.items(), key=lambda item: -item[1])
    return tuple(LayerLoss(name, cost / total) for name, cost in ordered)


def _adding(name: str, error: NDArray[np.float32]) -> Callable[[Any, Any], Any]:
    return lambda node, value: value + error if node.name == name else value


def _values(graph: Graph, images: Images) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}

    def observe(node: Any, value: Any) -> Any:
        found[node.name] = np.asarray(value)
        return value

    graph.run(tf.constant(images), observe)
    return found


def _tensors(flatbuffer: bytes, graph: Graph, images: Images) -> dict[str, NDArray[np.float32]]:
    """What the model itself holds for each node of which it has a tensor, in real numbers, over all images."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without delegates: they keep their tensors to themselves.
    interpreter = Interpreter(
        model_content=flatbuffer,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    names = list(graph.nodes)
    where: dict[str, int] = {}
    for operation in interpreter._get_ops_details():
        for index in operation["outputs"]:
            said = [int(number) for number in _NODE.findall(interpreter._get_tensor_details(index, 0)["name"])]
            if said:  # of operations made one the last gives the tensor its value; of requantised ones the last is read
                where[names[max(said)]] = index
    where |= zip(graph.outputs, (detail["index"] for detail in interpreter.get_output_details()), strict=True)
    (given,) = interpreter.get_input_details()
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in where}
    for image in images:
        interpreter.set_tensor(given["index"], _stored(image[None], given))
        interpreter.invoke()
        for name, index in where.items():
            rows[name].append(_real(interpreter, index))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def _own_errors(
    graph: Graph, have: dict[str, NDArray[np.float32]], images: Images
) -> dict[str, tuple[NDArray[np.float32], float]]:
    """By node with a tensor: what it holds, less what float arithmetic makes of the tensors it reads; and its size."""
    values: dict[str, Any] = {}
    errors = {}
    for node in graph.nodes.values():
        if node.op == "input":
            values[node.name] = have.get(node.name, images)
            continue
        exact = np.asarray(compute(node, [values[name] for name in node.inputs], node.kernel, node.bias))
        values[node.name] = have.get(node.name, exact)
        if node.name in have:
            errors[node.name] = (have[node.name] - exact, float(np.sqrt(np.mean(exact**2))) + 1e-12)
    return errors


def _stored(value: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if not scale:
        return value
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.rint(value / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def _real(interpreter: Any, index: int) -> NDArray[np.float32]:
    scale, zero = interpreter._get_tensor_details(index, 0)["quantization"]
    value = interpreter.get_tensor(index)
    return (value.astype(np.float32) - zero) * np.float32(scale) if scale else value.astype(np.float32)
