"""The names of edgebot's four packages are generic: finds out whether another distribution has taken one.

Robot Framework, for one, is also `robot`. Two such distributions in one environment overwrite each other's files, so
edgebot refuses to start there. Imports nothing of the packages themselves.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGES = ("robot", "edge", "convert", "train")

_HOME = Path(__file__).resolve().parents[1]


def clash() -> str | None:
    """One sentence that names the rival and the way out, or None when all four names are edgebot's own."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return f"edgebot's own package {name!r} is missing; install edgebot again"
        places = list(spec.submodule_search_locations or [spec.origin or ""])
        if all(Path(place).resolve() != _HOME / name for place in places):
            return _sentence(name, _owner(name) or "another package", places[0])
    return _installed_over_each_other()


def _installed_over_each_other() -> str | None:
    # In one site-packages folder both distributions share the package's folder, and only their metadata tell.
    for metadata in sorted(_HOME.glob("*-info")):
        if metadata.name.lower().startswith("edgebot-"):
            continue
        try:
            record = b"\n" + (metadata / "RECORD").read_bytes()
        except OSError:
            continue
        for name in PACKAGES:
            if f"\n{name}/__init__.py,".encode() in record:
                return _sentence(name, metadata.name.split("-")[0], str(_HOME / name))
    return None


def _owner(name: str) -> str | None:
    from importlib.metadata import packages_distributions  # slow, and only for the sentence

    owners = [owner for owner in packages_distributions().get(name, ()) if owner.lower() != "edgebot"]
    return owners[0] if owners else None


def _sentence(name: str, owner: str, place: str) -> str:
    return (
        f"the package {name!r} belongs to {owner} here ({place}), and edgebot needs that name; "
        "give edgebot an environment of its own: python3 -m venv edgebot-env && edgebot-env/bin/pip install edgebot"
    )
