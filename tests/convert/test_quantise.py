"""Int8 detectors: rewriting the network changes nothing, and rounding costs little where the stock way costs much."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from convert import quantise, ranges
from convert.blame import blame
from convert.detector import plain
from convert.distill import distill, steps_of
from convert.equalise import equalise
from convert.errors import ConvertError
from convert.graph import Graph
from convert.images import noise
from convert.keras_graph import from_keras
from convert.parity import SIMULATION_DB
from convert.predict import tflite_batch
from convert.rounding import Rounding
from convert.tflite import export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import DarknetDecode, DarknetHead
from tests.convert.damage import damage_one_scale


def network(uneven: bool = True, seed: int = 0) -> keras.Model:
    """Every layer that quantisation knows, with channels that differ a hundredfold where `uneven`."""
    keras.utils.set_random_seed(seed)
    x = image = keras.Input((32, 40, 3))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(16, 3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization(name="uneven")(x)
    x = layers.LeakyReLU(negative_slope=0.1)(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="reads_uneven")(x)
    x = layers.BatchNormalization()(x)
    x = first = layers.ReLU()(x)
    x = layers.Dropout(0.3)(layers.Conv2D(16, 1)(x))
    x = layers.Add()([first, x])
    x = layers.SeparableConv2D(24, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Concatenate()([x, layers.MaxPooling2D(3, 1, padding="same")(x)])
    x = layers.Conv2D(16, 1, activation="relu")(x)
    low = layers.Conv2D(18, 1)(x)
    x = layers.Concatenate()([layers.UpSampling2D(2)(x[..., 4:12]), first])
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(16, 3, padding="same", activation="silu")(x)
    high = layers.Conv2D(18, 1)(x)
    model = keras.Model(image, [low, high])
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            size = 10 ** rng.uniform(-2, 0, count) if uneven else np.ones(count)
            layer.set_weights([size, 0.3 * size * rng.normal(size=count), rng.normal(0, 0.1, count), np.ones(count)])
    if uneven:  # the next layer reads small channels with large weights, as trained networks do
        (kernel,) = model.get_layer("reads_uneven").get_weights()
        model.get_layer("reads_uneven").set_weights([kernel / np.asarray(model.get_layer("uneven").gamma)[:, None]])
    return model


ANCHORS = ((4.0, 6.0), (8.0, 9.0), (14.0, 20.0))
DECODE = DarknetDecode(
    heads=(DarknetHead(output=1, anchors=ANCHORS), DarknetHead(output=0, anchors=ANCHORS)), classes=1
)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (noise(24, (32, 40)) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def shared() -> keras.Model:
    return network()


@pytest.fixture(scope="module")
def made(shared: keras.Model, images: np.ndarray) -> quantise.Int8:
    """The network in int8, for all tests that only read it."""
    return quantise.int8(shared, images, DECODE)


def heads(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    made = model(images)
    return [np.asarray(head) for head in (made if isinstance(made, list) else [made])]


def snr_db(want: np.ndarray, have: np.ndarray) -> float:
    return float(10 * np.log10((want**2).sum() / ((have - want) ** 2).sum()))


def run(graph: Graph, images: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(head) for head in graph.run(images)]


def test_the_graph_computes_what_keras_does(images: np.ndarray) -> None:
    model = network()
    graph = from_keras(model)
    for want, have in zip(heads(model, images), run(graph, images), strict=True):
        np.testing.assert_allclose(have, want, atol=2e-5 * np.abs(want).max())
    # Only the normalisation that follows no convolution alone is left as an operation of its own.
    left = [node for node in graph.nodes.values() if "normalization" in node.name or node.name == "uneven"]
    assert len(left) == 1 and graph.nodes[left[0].inputs[0]].op == "concat"


def test_equalising_evens_the_channels_and_changes_nothing(images: np.ndarray) -> None:
    model = network()
    graph = from_keras(model)
    before = ranges.channel_extents(graph, images)
    equalise(graph, before)
    after = ranges.channel_extents(graph, images)
    for want, have in zip(heads(model, images), run(graph, images), strict=True):
        np.testing.assert_allclose(have, want, atol=1e-4 * np.abs(want).max())

    def evenness(extents: dict[str, ranges.Extent], op: str) -> float:
        named = [extents[node.name] for node in graph.nodes.values() if node.op == op]
        maxima = [np.maximum(one.high, -one.low) for one in named]
        return min(float(np.median(one) / one.max()) for one in maxima)

    assert evenness(after, "leaky") > 2 * evenness(before, "leaky")


def test_ranges_hold_nearly_all_values_and_zero(images: np.ndarray) -> None:
    graph = from_keras(network())
    found = ranges.ranges(graph, images)
    assert set(found) == set(graph.nodes)
    seen: list[tuple[float, float, float]] = []

    def observe(node, value):  # noqa: ANN001, ANN202
        low, high = found[node.name]
        assert low <= 0 <= high
        inside = (np.asarray(value) >= low) & (np.asarray(value) <= high)
        seen.append((low, high, float(inside.mean())))
        return value

    graph.run(images, observe)
    assert min(share for *_, share in seen) > 0.995


def test_int8_beats_the_stock_converter_on_uneven_channels(images: np.ndarray, made: quantise.Int8) -> None:
    model = network()
    want = heads(model, images)
    ours = plain(tflite_batch(made.flatbuffer)(images), made.decode)
    stock_bytes = export(
        lambda x: model(x, training=False), (1, 32, 40, 3), variables_of(model), "int8",
        [image[None] for image in images],
    )  # fmt: skip
    stock = tflite_batch(stock_bytes)(images)
    for head in range(2):
        gained = snr_db(want[head], ours[head]) - snr_db(want[head], stock[head])
        assert snr_db(want[head], ours[head]) > 20 and gained > 2, (head, gained)


def test_tensors_of_the_int8_model(made: quantise.Int8) -> None:
    interpreter = Interpreter(made.flatbuffer)
    (tensor,) = interpreter.inputs
    assert (tensor.dtype, tensor.zero_point) == ("int8", -128) and tensor.scale == pytest.approx(1 / 255)
    assert [output.shape for output in interpreter.outputs] == [(1, 8, 10, 18), (1, 16, 20, 18)]
    assert all(output.dtype == "int8" and output.scale > 0 for output in interpreter.outputs)


def test_distillation_brings_the_heads_nearer_on_other_images(images: np.ndarray) -> None:
    model = network(seed=3)
    seen, others = images[:16], images[16:]
    graph = from_keras(model)
    equalise(graph, ranges.channel_extents(graph, seen))
    rounding = Rounding(graph, ranges.ranges(graph, seen))
    kernels = {name: node.kernel for name, node in graph.nodes.items() if node.kernel is not None}
    found = dict(rounding.found)
    want = heads(model, others)

    def distance() -> float:
        have = tflite_batch(quantise.emit(rounding, seen))(others)
        return sum(float(np.mean((one - other) ** 2) / one.var()) for one, other in zip(want, have, strict=True))

    before = distance()
    told: list[int] = []
    assert distill(graph, rounding, seen, told.append).kept
    assert distance() < 0.9 * before
    assert sum(told) == steps_of(16)
    assert any(rounding.found[name] != found[name] for name in found)
    for name, kernel in kernels.items():  # learnt is a factor for what it reads and what it makes
        ratio = graph.nodes[name].kernel / kernel
        factors = ratio[:1, :1, :1] * ratio[:1, :1, :, :1] / ratio[:1, :1, :1, :1]
        want_ratio = ratio[:1, :1] if graph.nodes[name].op == "depthwise" else factors
        np.testing.assert_allclose(ratio, np.broadcast_to(want_ratio, ratio.shape), rtol=1e-4)


def test_progress_counts_to_the_end(images: np.ndarray) -> None:
    told: list[int] = []
    quantise.int8(network(), images[:19], DECODE, told.append)
    assert sum(told) == quantise.work(19)


def test_layers_that_are_not_known_are_named() -> None:
    image = keras.Input((16, 16, 3))
    for layer, said in (
        (layers.UnitNormalization(name="unit"), "'unit' is a UnitNormalization"),
        (layers.Activation("softmax", name="soft"), "'soft' is a softmax"),
        (layers.UpSampling2D(2, interpolation="bilinear", name="up"), "'up' interpolates bilinear"),
    ):
        with pytest.raises(ConvertError, match=said):
            from_keras(keras.Model(image, [layer(image)]))


def test_boxes_get_finer_steps_within_the_heads_range(images: np.ndarray) -> None:
    """Objectness that reaches to -20 must not make the boxes' steps coarse."""
    model = network()
    for head in model.layers[-2:]:
        if isinstance(head, layers.Conv2D) and head.filters == 18:
            kernel, bias = head.get_weights()
            chances = np.arange(18) % 6 >= 4
            head.set_weights([kernel * np.where(chances, 6.0, 0.4), np.where(chances, -8.0, 0.0) + bias])
    made = quantise.int8(model, images, DECODE)
    gains = [head.box_gain for head in made.decode.heads]
    assert max(gains) > 2
    want, have = heads(model, images), plain(tflite_batch(made.flatbuffer)(images), made.decode)
    head = made.decode.heads[int(np.argmax(gains))]
    boxes, _ = quantise.channel_sets(head, 1)
    step = Interpreter(made.flatbuffer).outputs[head.output].scale / head.box_gain
    assert step < 0.06
    error = (have[head.output] - want[head.output])[..., boxes]
    assert np.sqrt(np.mean(error**2)) < 3 * step


def test_the_simulation_is_what_the_model_computes(images: np.ndarray, made: quantise.Int8) -> None:
    expected = [np.asarray(head) for head in made.simulate(images)]
    for one, other in zip(expected, tflite_batch(made.flatbuffer)(images), strict=True):
        assert snr_db(one, other) > 30
    damaged = tflite_batch(damage_one_scale(made.flatbuffer, 1.25, 2))(images)
    assert min(snr_db(one, other) for one, other in zip(expected, damaged, strict=True)) < SIMULATION_DB


@pytest.mark.parametrize("layer", [0, 2, 5])
def test_the_layer_that_was_damaged_is_blamed(images: np.ndarray, made: quantise.Int8, layer: int) -> None:
    """A wrong scale in the file, not in the graph: blame reads the model's own tensors."""
    names = [node.name for node in made.graph.nodes.values() if node.op == "conv"]  # in the file's order
    worst = blame(damage_one_scale(made.flatbuffer, 1.5, layer), made.graph, images)
    assert worst[0].name == names[layer] and worst[0].share > 0.5
    assert sum(one.share for one in worst) == pytest.approx(1.0)
    assert blame(made.flatbuffer, made.graph, images)[0].share < 0.5


def test_a_layer_in_float_is_float_and_loses_nothing(
    shared: keras.Model, images: np.ndarray, made: quantise.Int8
) -> None:
    worst = blame(made.flatbuffer, made.graph, images)[0]
    kept = quantise.int8(shared, images, DECODE, floats=frozenset([worst.name]))
    shares = {one.name: one.share for one in blame(kept.flatbuffer, kept.graph, images)}
    assert shares.get(worst.name, 0.0) < 0.1 * worst.share
    assert worst.name in kept.done[-1]
    assert Interpreter(kept.flatbuffer).inputs[0].dtype == "int8"
    expected = [np.asarray(head) for head in kept.simulate(images)]
    for one, other in zip(expected, tflite_batch(kept.flatbuffer)(images), strict=True):
        assert snr_db(one, other) > 30
    with pytest.raises(ConvertError, match="no layer of this model; near it: .*conv2d"):
        quantise.int8(shared, images, DECODE, floats=frozenset(["conv2d_99"]))


def other_layers() -> keras.Model:
    """What people's own detectors have beside the usual: a model within, gates, dilation, groups, curves, reshapes."""
    keras.utils.set_random_seed(5)
    inner_image = keras.Input((32, 40, 3))
    x = layers.Rescaling(2.0, -1.0)(inner_image)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6", name="inner_conv")(x)
    backbone = keras.Model(inner_image, layers.Conv2D(16, 3, dilation_rate=2, padding="same", activation="mish")(x))
    image = keras.Input((32, 40, 3))
    x = first = backbone(image)
    x = layers.Conv2D(16, 3, groups=2, padding="same", activation="hard_silu", name="grouped")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid")(layers.Dense(8, activation="relu")(gate))
    x = layers.Multiply()([x, gate])
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(16, 3, strides=2, padding="same")(x))
    x = layers.AveragePooling2D(3, 1, padding="same")(x)
    x = layers.ELU()(layers.Conv2DTranspose(16, 2, strides=2)(x))
    x = layers.Concatenate()([keras.ops.pad(x[..., :8], ((0, 0), (0, 0), (0, 0), (0, 0))), first])
    x = keras.Sequential([layers.Input((16, 20, 24)), layers.Conv2D(16, 1), layers.Activation("gelu")])(x)
    return keras.Model(image, [layers.Conv2D(18, 1)(x * 0.5 + 1.0)])


def test_other_peoples_layers(images: np.ndarray) -> None:
    model = other_layers()
    (want,) = heads(model, images)
    np.testing.assert_allclose(run(from_keras(model), images)[0], want, atol=2e-5 * np.abs(want).max())
    made = quantise.int8(model, images, DECODE.model_copy(update={"heads": (DECODE.heads[1],)}))
    assert snr_db(want, plain(tflite_batch(made.flatbuffer)(images), made.decode)[0]) > 20
    assert blame(made.flatbuffer, made.graph, images)[0].share > 0
