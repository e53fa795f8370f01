"""Darknet's sections that bring earlier layers together: route, shortcut, scale_channels, sam; and dropout."""

from __future__ import annotations

from typing import Any

from keras import layers

from convert.darknet.grammar import Section
from convert.darknet.network import Network, activated


def route(net: Network, section: Section, name: str) -> Any:
    """One or several earlier layers side by side, or a share (group) of each."""
    parts = net.earlier(section, "layers")
    groups, group = section.integer("groups", 1, least=1), section.integer("group_id", 0, least=0)
    if groups > 1:
        if group >= groups or any(int(part.shape[-1]) % groups for part in parts):
            raise section.error(f"has groups={groups} and group_id={group}, which do not fit its layers", "groups")
        parts = [_share(part, groups, group) for part in parts]
    if len(parts) == 1:
        return parts[0]
    if any(part.shape[1:3] != parts[0].shape[1:3] for part in parts):
        raise section.error("joins layers of different width and height", "layers")
    return layers.Concatenate(name=name)(parts)


def _share(x: Any, groups: int, group: int) -> Any:
    size = int(x.shape[-1]) // groups
    return x[..., group * size : (group + 1) * size]


def shortcut(net: Network, section: Section, name: str) -> Any:
    """The sum of the layer before and earlier ones of the same shape."""
    parts = [net.last, *net.earlier(section, "from")]
    if any(part.shape != parts[0].shape for part in parts):
        raise section.error("adds layers of different shapes, which is not supported", "from")
    if section.text("weights_type", "none") != "none":
        raise section.error("has weights_type=, which is not supported", "weights_type")
    return activated(layers.Add(name=name)(parts), section, name)


def scale_channels(net: Network, section: Section, name: str) -> Any:
    """An earlier layer times the layer before: one factor a channel, or with scale_wh=1 one a place."""
    scaled, factor = _one_earlier(net, section), net.last
    whole, given = tuple(scaled.shape[1:]), tuple(factor.shape[1:])
    wanted = (*whole[:2], 1) if section.integer("scale_wh", 0) else (1, 1, whole[2])
    if given != wanted:
        raise section.error(f"scales {_size(whole)} by {_size(given)}, expected {_size(wanted)} before it", "from")
    return activated(layers.Multiply(name=name)([scaled, factor]), section, name)


def sam(net: Network, section: Section, name: str) -> Any:
    """Spatial attention: the layer before times an earlier one, number by number."""
    other = _one_earlier(net, section)
    if other.shape != net.last.shape:
        raise section.error(f"multiplies {_size(net.last.shape[1:])} by {_size(other.shape[1:])}", "from")
    return activated(layers.Multiply(name=name)([net.last, other]), section, name)


def dropout(net: Network, section: Section, name: str) -> Any:
    """Nothing at inference."""
    return net.last


def _one_earlier(net: Network, section: Section) -> Any:
    parts = net.earlier(section, "from")
    if len(parts) != 1:
        raise section.error(f"has from={section.text('from', '')}, expected one layer", "from")
    return parts[0]


def _size(shape: Any) -> str:
    rows, columns, channels = shape
    return f"{columns}x{rows}x{channels}"
