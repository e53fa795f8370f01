"""Tuned hyper-parameters: a file of TOML for each task, a table for each algorithm, or for a variant of it.

A table `[dqn]` holds settings of the algorithm, of the task and of curiosity, by name, and `steps`. One that is called
`["reinforce baseline"]` is asked for by `--variant baseline`.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from typing import Any

from edge.errors import UsageError


def tuned(task: str, algorithm: str, variant: str | None = None) -> dict[str, Any]:
    """The table of `task` for `algorithm`; {} where there is none.

    Raises:
        UsageError: a variant that is not there.
    """
    file = resources.files(__package__) / f"{task.replace('/', '_')}.toml"
    tables: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if variant is None:
        return dict(tables.get(algorithm, {}))
    found = {name.partition(" ")[2]: name for name in tables if name.startswith(f"{algorithm} ")}
    if variant not in found:
        near = difflib.get_close_matches(variant, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(found) or 'none'}"
        raise UsageError(f"{task} has no variant {variant!r} of {algorithm}; {hint}")
    return dict(tables[found[variant]])
