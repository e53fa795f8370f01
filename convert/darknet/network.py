"""The network while it is built: one tensor per section, and what the weights file must bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras import layers

from convert.darknet.grammar import Section
from convert.darknet.weights import ConvShape, ConvWeights

Fill = Callable[[ConvWeights], None]

ACTIVATIONS: dict[str, Callable[[str], layers.Layer] | None] = {
    "linear": None,
    "leaky": lambda name: layers.LeakyReLU(negative_slope=0.1, name=name),
    "relu": lambda name: layers.ReLU(name=name),
    "relu6": lambda name: layers.ReLU(max_value=6.0, name=name),
    "elu": lambda name: layers.ELU(name=name),
    "logistic": lambda name: layers.Activation("sigmoid", name=name),
    "tanh": lambda name: layers.Activation("tanh", name=name),
    "swish": lambda name: layers.Activation("silu", name=name),
    "mish": lambda name: layers.Activation("mish", name=name),
}


@dataclass
class Network:
    """As far as it is built; `heads` are the detection sections with their inputs, the raw outputs."""

    input: Any
    tensors: list[Any] = field(default_factory=list)
    heads: list[tuple[Section, Any]] = field(default_factory=list)
    shapes: list[ConvShape] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)

    @property
    def last(self) -> Any:
        """The tensor of the section before."""
        return self.tensors[-1] if self.tensors else self.input

    def earlier(self, section: Section, key: str) -> list[Any]:
        """The tensors of the layers that an option names: counted from 0, or back from this one."""
        if key not in section.options:
            raise section.error(f"has no {key}=")
        found = []
        for value in section.numbers(key, ()):
            index = int(value) if value >= 0 else len(self.tensors) + int(value)
            if value != int(value) or not 0 <= index < len(self.tensors):
                known = f"0 to {len(self.tensors) - 1}"
                text = section.text(key, "")
                raise section.error(f"has {key}={text}, expected layers before this one ({known})", key)
            found.append(self.tensors[index])
        return found


def activated(x: Any, section: Section, name: str) -> Any:
    """The section's activation; Darknet's default is logistic for a convolution, linear elsewhere."""
    kind = section.text("activation", "logistic" if section.kind.startswith("conv") else "linear")
    if kind not in ACTIVATIONS:
        raise section.error(f"has activation={kind}, expected one of {', '.join(ACTIVATIONS)}", "activation")
    make = ACTIVATIONS[kind]
    return make(f"{name}_{kind}")(x) if make else x


def strides(section: Section) -> tuple[int, int]:
    """Down and across: `stride_y` and `stride_x`, else `stride`."""
    both = section.integer("stride", 1, least=1, most=63)
    down, across = (section.integer(f"stride_{axis}", both, least=1, most=63) for axis in "yx")
    return down, across


def refuse(section: Section, *keys: str) -> None:
    """Options that change what is computed and are not supported: any but 0 is an error."""
    for key in keys:
        if section.text(key, "0") != "0":
            raise section.error(f"has {key}={section.text(key, '')}, which is not supported", key)
