"""Darknet's cfg: sections of key=value lines, each remembered with its line for error messages.

The format has no specification; the source of truth is `parse_network_cfg` of AlexeyAB's Darknet. A section
name in brackets opens a section, `#` and `;` begin comments, blanks do not matter, and of equal keys in one section
the first counts. Keys that only training reads (`stopbackward`, `iou_thresh`, ...) are let through unread, as Darknet
does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convert.errors import ConvertError


@dataclass(slots=True)
class Section:
    """One `[kind]` with its options; `options` maps a key to its text and line."""

    kind: str
    line: int
    path: str
    options: dict[str, tuple[str, int]] = field(default_factory=dict)

    def error(self, message: str, key: str | None = None) -> ConvertError:
        """The sentence that names this section's line, or that of one of its keys."""
        line = self.options[key][1] if key in self.options else self.line
        return ConvertError(f"{self.path}, line {line}: [{self.kind}] {message}")

    def text(self, key: str, default: str) -> str:
        """The text of an option."""
        return self.options[key][0] if key in self.options else default

    def integer(self, key: str, default: int, least: int | None = None, most: int | None = None) -> int:
        """A whole number, from `least` to `most`."""
        value = self.number(key, default)
        low, high = -(2**31) if least is None else least, 2**31 if most is None else most
        if value != int(value) or not low <= value <= high:
            bound = "" if least is None else f" of at least {least}" if most is None else f" of {least} to {most}"
            raise self.error(f"has {key}={self.text(key, str(default))}, expected a whole number{bound}", key)
        return int(value)

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        return self.numbers(key, (default,), count=1)[0]

    def numbers(self, key: str, default: tuple[float, ...], count: int | None = None) -> tuple[float, ...]:
        """A comma-separated list of finite numbers."""
        if key not in self.options:
            return default
        text = self.options[key][0]
        try:
            values = tuple(float(part) for part in text.strip().rstrip(",").split(","))
        except ValueError:
            values = ()
        if not values or (count is not None and len(values) != count) or not all(abs(v) < 1e30 for v in values):
            expected = "a number" if count == 1 else "numbers separated by commas"
            raise self.error(f"has {key}={text}, expected {expected}", key)
        return values


def parse(path: Path) -> list[Section]:
    """All sections of a cfg, in order; the first is `[net]`.

    Raises:
        ConvertError: the file cannot be read or is no cfg; the sentence names the line.
    """
    try:
        # Comments may be in any encoding; what is read must be UTF-8 (with or without a byte order mark).
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ConvertError(f"cfg {path} cannot be read ({error.strerror}); give a Darknet .cfg file") from None
    sections: list[Section] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].split(";")[0].strip()
        if not line:
            continue
        if "\ufffd" in line or "\0" in line:
            raise ConvertError(f"cfg {path}, line {number}, is not UTF-8 text; give a Darknet .cfg file")
        if line.startswith("["):
            if not line.endswith("]"):
                raise ConvertError(
                    f"{path}, line {number}: {raw.strip()!r} opens a section without closing its bracket"
                )
            sections.append(Section(line[1:-1].strip().lower(), number, str(path)))
            continue
        key, equals, value = line.partition("=")
        if not equals or not sections:
            raise ConvertError(
                f"{path}, line {number}: {raw.strip()[:40]!r} is neither a [section] nor a key=value inside one; "
                "give a Darknet .cfg file"
            )
        sections[-1].options.setdefault(key.strip().lower(), (value.strip(), number))
    if not sections or sections[0].kind not in ("net", "network"):
        raise ConvertError(f"{path} does not begin with a [net] section; give a Darknet .cfg file")
    return sections
