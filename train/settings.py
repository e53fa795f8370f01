"""Settings of algorithms and tasks: frozen dataclasses whose every field has its sentence and its bounds.

`--set key=value` goes through `override`, which turns a mistake into one sentence.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from edge.errors import UsageError

T = TypeVar("T")
ALSO = {"lr": "learning_rate"}
"""Names that everybody uses, and what they are called here."""


def setting(
    default: Any, text: str, low: float | None = None, high: float | None = None, among: tuple[str, ...] = ()
) -> Any:
    """A dataclass field with its sentence; numbers are kept within low..high, words to `among`."""
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high, "among": among})


def describe(settings: Any) -> str:
    """A line for each setting: name, default, sentence."""
    fields = dataclasses.fields(settings)
    if not fields:
        return ""
    width = max(len(f.name) for f in fields)
    return "\n".join(f"  {f.name:<{width}}  {f.metadata['help']} [{_text(getattr(settings, f.name))}]" for f in fields)


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """`["gamma=0.9"]` -> `{"gamma": "0.9"}`. Raises `UsageError` for what is no pair."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair!r} is no key=value; write for example --set learning_rate=0.001")
    found = ((key.strip(), value.strip()) for key, value in (pair.split("=", 1) for pair in pairs))
    return {ALSO.get(key, key): value for key, value in found}


def switches(arguments: Iterable[str], *groups: Any) -> dict[str, str]:
    """`["--double", "--no-dueling"]` -> `{"double": "true", "dueling": "false"}`, for settings that are true or false.

    Raises `UsageError` for whatever else a command line was left with.
    """
    known = {field.name for group in groups for field in dataclasses.fields(group) if isinstance(field.default, bool)}
    found = {}
    for argument in arguments:
        name = argument.removeprefix("--").replace("-", "_")
        value = "false" if name.startswith("no_") and name[3:] in known else "true"
        name = name[3:] if value == "false" else name
        if not argument.startswith("--") or name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean --{near[0].replace('_', '-')}?" if near else ""
            raise UsageError(f"unrecognized arguments: {argument}{hint or '; `edgebot train --help` shows how'}")
        found[name] = value
    return found


def split(values: Mapping[str, Any], *groups: Any) -> list[dict[str, Any]]:
    """Deal `values` to the settings that know each key. Raises `UsageError` for a key that none knows."""
    names = [{f.name for f in dataclasses.fields(group)} for group in groups]
    known = sorted(set().union(*names))
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"unknown setting {key!r}; {hint}")
    return [{k: v for k, v in values.items() if k in of} for of in names]


def override(settings: T, values: Mapping[str, Any]) -> T:
    """A copy of `settings` with some values replaced, given as text or as read from JSON; checked.

    Raises:
        UsageError: a value of the wrong type or out of its bounds.
    """
    fields = {f.name: f for f in dataclasses.fields(settings)}  # type: ignore[arg-type]
    changed = {key: _value(fields[key], value, getattr(settings, key)) for key, value in values.items()}
    return dataclasses.replace(settings, **changed)  # type: ignore[type-var]


def _value(field: dataclasses.Field[Any], given: Any, default: Any) -> Any:
    wrong = UsageError(
        f"setting {field.name} is {given!r}; expected {_kind(field, default)}, such as {field.name}={_text(default)}"
    )
    low, high, among = (field.metadata.get(key) for key in ("low", "high", "among"))
    try:
        if isinstance(default, bool):
            value: Any = {"true": True, "1": True, "false": False, "0": False}[str(given).lower()]
        elif isinstance(default, int):
            value = int(str(given))
        elif isinstance(default, float):
            value = float(given)
        elif isinstance(default, tuple):
            parts = given if isinstance(given, list | tuple) else ast.literal_eval(f"[{given.strip('()[]')}]")
            value = tuple(type(default[0])(part) for part in parts)
            if not value or any(part != of or part <= 0 for part, of in zip(value, parts, strict=True)):
                raise wrong
        else:
            value = str(given)
    except (ValueError, KeyError, TypeError, SyntaxError, AttributeError):
        raise wrong from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Written so that NaN fails too.
        inside = (low is None or value >= low) and (high is None or value <= high) and abs(value) < 1e18
        if not inside:
            raise wrong
    if among and value not in among:
        near = difflib.get_close_matches(value, among, n=1)
        raise UsageError(f"{wrong}; did you mean {near[0]!r}?" if near else str(wrong))
    return value


def _kind(field: dataclasses.Field[Any], default: Any) -> str:
    low, high, among = (field.metadata.get(key) for key in ("low", "high", "among"))
    if among:
        return "one of " + ", ".join(among)
    kind = {bool: "true or false", int: "a whole number", float: "a number", tuple: "positive whole numbers"}
    text = kind.get(type(default), "text")
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    return " ".join([text, " and ".join(bounds)]).strip()


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
