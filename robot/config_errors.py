"""One sentence for each mistake in a `robot.toml`: the key, its value, what was expected, what to do."""

from __future__ import annotations

import difflib
import math
from typing import Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic.fields import FieldInfo

UNITS = {
    "_m": "metres", "_s": "seconds", "_v": "volts", "_px": "pixels", "_hz": "hertz", "_fps": "frames per second",
    "_deg": "degrees", "_duty": "duty, 0 to 1", "_mps": "metres per second", "_mps2": "metres per second squared",
    "_radps": "radians per second", "_pin": "GPIO, BCM number",
}  # fmt: skip
"""The unit that the end of a key's name states."""

BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def sentence(error: ValidationError, model: type[BaseModel], example: object) -> str:
    """The first mistake of `error` in words; `model` is what was validated, `example` where to look."""
    # An unknown key is told first: a misspelt required key shows up as two errors, and the typo is the cause.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = list(_table(model, path[:-1]).model_fields)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {_shown(where)}; {hint}"
    field = _table(model, path[:-1]).model_fields.get(path[-1]) if path else None
    if first["type"] == "missing" and field is not None:
        wanted = f"the table [{where}]" if describe(field)[0] == "table" else _expected(path[-1], field)
        return f"{where!r} is missing; add {wanted} (the example {example} shows how)"
    if first["type"] == "value_error" or field is None:
        message = first["msg"].removeprefix("Value error, ")
        about_a_table = not path or isinstance(first["input"], dict)
        return message if about_a_table else f"{where!r} is {_shown(first['input'])}: {message}"
    return f"{where!r} is {_shown(first['input'])}; expected {_expected(path[-1], field)}"


def describe(field: FieldInfo) -> tuple[str, str]:
    """A field's kind and bounds in words: `("number", "more than 0 and at most 100")`."""
    annotation = field.annotation
    options = [option for option in get_args(annotation) if option is not type(None)]
    metadata = list(field.metadata)
    if get_origin(annotation) is not Literal and type(None) in get_args(annotation):
        annotation = options[0]
        metadata += getattr(annotation, "__metadata__", ())
        annotation = getattr(annotation, "__origin__", annotation)
    if get_origin(annotation) is Literal:
        return "one of", ", ".join(f'"{option}"' for option in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table", ""
    kind = {int: "whole number", float: "number", str: "text", bool: "true or false"}[annotation]  # type: ignore[index]
    words = []
    for item in _flat(metadata):
        if isinstance(item, AfterValidator):  # its docstring says what it lets pass, in place of the plain bounds
            words = [str(item.func.__doc__)]
        words += [f"{word} {getattr(item, name):g}" for name, word in BOUNDS.items() if hasattr(item, name)]
        if hasattr(item, "min_length") and item.min_length is not None:
            words.append(f"of at least {item.min_length} character")
        if hasattr(item, "max_length") and item.max_length is not None:
            words.append(f"of at most {item.max_length} characters")
    return kind, " and ".join(words)


def unit(key: str) -> str:
    """The unit that a key's name states, or an empty string."""
    ends = [end for end in UNITS if key.endswith(end) or key == end[1:]]
    return UNITS[max(ends, key=len)] if ends else ""


def _expected(key: str, field: FieldInfo) -> str:
    kind, bounds = describe(field)
    if kind == "table":
        return "a table of keys"
    if kind == "one of":
        return f"one of {bounds}"
    stated = f" ({unit(key)})" if unit(key) else ""
    article = "" if kind in ("text", "true or false") else "a "
    return f"{article}{kind}{stated}{' ' if bounds else ''}{bounds}"


def _flat(metadata: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in metadata:
        found += _flat(item.metadata) if isinstance(item, FieldInfo) else [item]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str | int | float | list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _table(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    for part in path:
        annotation = model.model_fields[part].annotation
        model = next(
            option
            for option in (annotation, *get_args(annotation))
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return model
