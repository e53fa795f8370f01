"""`edgebot models`: the models at hand, what they say of themselves, whether they are whole; `pull` fetches more."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from edge.commands.arguments import Parser
from edge.errors import EdgeError, ModelError, UsageError
from edge.manifest import Manifest, read
from edge.store import catalogue, place
from edge.store.catalogue import Published

PULL = "convert.commands.pull:main"  # in the workshop's room, so by name

EXAMPLES = """\
examples:
  edgebot models list                                    at hand, and what can be fetched
  edgebot models pull yolov4-tiny                        fetched, converted, calibrated, proven
  edgebot models show yolov4-tiny                        or: person, or the path of any .tflite
  edgebot models verify                                  all of the store, against their sha256
  edgebot detect photo.jpg --model yolov4-tiny

They are kept in ~/.local/share/edgebot/models ($XDG_DATA_HOME counts), or in $EDGEBOT_MODELS."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    if argv[:1] == ["pull"]:
        module, function = PULL.split(":")
        return int(getattr(importlib.import_module(module), function)(argv[1:]))
    parser = Parser("models", "The models at hand: list, pull NAME, show MODEL, verify.", EXAMPLES)
    parser.add_argument("action", choices=("list", "pull", "show", "verify"), metavar="list|pull|show|verify")
    parser.add_argument("model", nargs="*", metavar="MODEL", help="a name from the list, or the path of a .tflite")
    parser.add_argument("--json", action="store_true", help="for programs, on standard output")
    args = parser.parse_args(argv)
    if args.action == "list":
        if args.model:
            raise UsageError(f"list takes no model; edgebot models show {args.model[0]} tells of one")
        return _list(args.json)
    if args.action == "show":
        if len(args.model) != 1:
            raise UsageError("show takes one model: a name of `edgebot models list`, or the path of a .tflite")
        return _show(args)
    return _verify(args)


def _list(as_json: bool) -> int:
    rows = [_row("person", place.find("person"), "comes with edgebot: persons, as the simulated camera draws them")]
    entries = {one.name: one for one in catalogue.PUBLISHED}
    stored = {path.stem: path for path in place.models()}
    for name, path in stored.items():
        rows.append(_row(name, path, entries[name].about if name in entries else ""))
    for one in catalogue.PUBLISHED:
        if one.name not in stored:
            state = "fetched, not converted" if place.folder(one.name).is_dir() else "to fetch"
            rows.append({"name": one.name, "state": state, "bytes": one.size, "about": one.about, "licence": one.terms})
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"models; kept in {place.root()}", title_justify="left")
    for heading in ("name", "state", "size", "what it is"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for row in rows:
        table.add_row(row["name"], row["state"], size(row["bytes"]), row["about"])
    Console().print(table)
    print("edgebot models pull NAME fetches one that is not here", file=sys.stderr)
    return 0


def _row(name: str, path: Path, about: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "state": "here", "bytes": path.stat().st_size, "path": str(path)}
    try:
        manifest = read(path)[1]
    except ModelError:
        return row | {"state": "damaged", "about": about}
    inputs = manifest.inputs[0]
    return row | {"state": f"here, {inputs.dtype}", "about": about or f"{manifest.kind}: {manifest.name}"}


def size(count: int) -> str:
    """Bytes as people say them."""
    if not count:
        return ""
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _show(args: argparse.Namespace) -> int:
    path = place.find(args.model[0])
    manifest = read(path)[1]
    if args.json:
        print(manifest.model_dump_json(indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{manifest.name} ({path})", title_justify="left", show_header=False)
    for name, text in _facts(manifest, path):
        table.add_row(name, text)
    Console().print(table)
    return 0


def _facts(manifest: Manifest, path: Path) -> list[tuple[str, str]]:
    shape = " x ".join(str(length) for length in manifest.inputs[0].shape[1:])
    facts = [("kind", manifest.kind), ("size", size(path.stat().st_size))]
    facts.append(("input", f"{shape} {manifest.inputs[0].dtype}"))
    if manifest.image is not None:
        facts.append(("frames", f"{manifest.image.colour}, {manifest.image.resize} to fit"))
    for tensor in manifest.outputs:
        facts.append(("output", f"{' x '.join(str(length) for length in tensor.shape)} {tensor.dtype}"))
    if manifest.labels:
        more = f" and {len(manifest.labels) - 12} more" if len(manifest.labels) > 12 else ""
        facts.append(("labels", ", ".join(manifest.labels[:12]) + more))
    if manifest.decode is not None:
        facts.append(("read as", f"{manifest.decode.kind}, {len(manifest.labels)} classes"))
    for key, value in manifest.provenance.items():
        facts.append((key.replace("_", " "), _short(value)))
    for key, value in manifest.parity.items():
        facts.append((f"proof: {key.replace('_', ' ')}", _short(value)))
    licence = path.parent / "LICENSE"
    if licence.is_file():
        facts.append(("licence", str(licence)))
    facts.append(("sha256 of the flatbuffer", manifest.sha256))
    return facts


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return "\n".join(_short(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _verify(args: argparse.Namespace) -> int:
    """Each model against the sha256 in its manifest, each fetched file against what it must be."""
    rows: list[dict[str, str]] = []
    for text in args.model or [*(path.stem for path in place.models()), *_sources_only()]:
        entry = next((one for one in catalogue.PUBLISHED if one.name == text), None)
        stored = entry is not None and not Path(text).is_file()
        if not stored or place.model(text).is_file():
            rows.append(_checked(place.find(text)))
        if stored and entry is not None:
            rows += _checked_sources(entry)
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['state']:<9} {row['file']}" + (f": {row['why']}" if row["why"] else ""))
    bad = [row for row in rows if row["state"] == "bad"]
    if bad:
        raise ModelError(f"{len(bad)} of {len(rows)} files are not what they should be: {bad[0]['why']}")
    if not rows:
        print(f"no models in {place.root()} yet; edgebot models pull NAME fetches one", file=sys.stderr)
    return 0


def _sources_only() -> list[str]:
    """Published models that were fetched and not converted."""
    names = [one.name for one in catalogue.PUBLISHED]
    return [name for name in names if place.folder(name).is_dir() and not place.model(name).is_file()]


def _checked(path: Path) -> dict[str, str]:
    try:
        read(path)
    except EdgeError as error:
        return {"file": str(path), "state": "bad", "why": str(error)}
    return {"file": str(path), "state": "good", "why": ""}


def _checked_sources(entry: Published) -> list[dict[str, str]]:
    rows = []
    for source in entry.sources:
        path = place.source_path(entry, source.file)
        if not path.is_file():
            continue
        digest, expected = place.sha256(path), place.expected(source)
        row = {"file": str(path), "state": "good" if digest == expected else "bad", "why": ""}
        if not expected:
            row |= {"state": "unknown", "why": "nothing was recorded of it"}
        elif digest != expected:
            row["why"] = (
                f"{path} has sha256 {digest[:16]}, expected {expected[:16]}; edgebot models pull {entry.name} "
                "fetches it again"
            )
        rows.append(row)
    return rows
