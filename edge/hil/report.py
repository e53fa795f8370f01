"""What a run leaves behind: a page for people, JUnit XML and JSON for programs, the calibration for the robot."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from edge.hil.found import Outcome, Status
from edge.hil.plot import svg
from robot import calibration
from robot.files import write_atomically

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:1.8rem 0 .3rem}table{border-collapse:collapse;margin:.4rem 0}
td,th{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}th{border-bottom:1px solid #c8d1da}
.passed{color:#15803d}.failed{color:#b91c1c;font-weight:600}.skipped,.not{color:#64748b}
.plots{display:flex;flex-wrap:wrap;gap:1rem}
.plot{width:560px;max-width:100%;font:11px system-ui,sans-serif;fill:#475569}
.plot .grid{stroke:#e2e8f0}.plot .title{font-size:13px;fill:#1c2733}pre{background:#f1f5f9;padding:.7rem}
"""


@dataclass(frozen=True)
class Subject:
    """What was looked at."""

    robot: str  # its name
    body: str  # "real" or "simulated"
    kind: str  # "guided" or "loopback"
    started: datetime
    earlier: dict[str, dict[str, float]]  # an earlier calibration, of which what was not measured now is kept

    @property
    def simulated(self) -> bool:
        """Whether what was measured is true of no real robot."""
        return self.body != "real"

    @property
    def facts(self) -> dict[str, str]:
        """For the head of the page."""
        try:
            own = version("edgebot")
        except PackageNotFoundError:  # run from a source tree
            own = "source"
        return {
            "robot": self.robot,
            "body": self.body,
            "set": self.kind,
            "started": self.started.astimezone().isoformat(timespec="seconds"),
            "machine": f"{platform.node()}, {platform.machine()}, {platform.platform()}",
            "Python": platform.python_version(),
            "edgebot": own,
        }


def write(
    folder: Path, subject: Subject, outcomes: list[Outcome], measured: dict[str, dict[str, float]]
) -> dict[str, Path]:
    """Write `report.html`, `junit.xml`, `results.json` and, where something was measured, `calibration.toml`.

    Args:
        measured: what goes into the calibration, by table and key.

    Returns:
        The files, by their names.
    """
    merged = {table: dict(values) for table, values in subject.earlier.items()}
    for table, values in measured.items():
        merged.setdefault(table, {}).update(values)
    toml = calibration.text(subject.robot, subject.facts["started"], merged, subject.simulated) if measured else ""
    files = {
        "report.html": page(subject, outcomes, toml),
        "junit.xml": junit(subject, outcomes),
        "results.json": json.dumps(as_json(subject, outcomes, measured), indent=1) + "\n",
    }
    if toml:
        files[calibration.NAME] = toml
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return {name: folder / name for name in files}


def as_json(subject: Subject, outcomes: list[Outcome], measured: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The whole run as plain data; what is not a number is null."""
    return {
        **subject.facts,
        "passed": not any(outcome.status in (Status.FAILED, Status.NOT_RUN) for outcome in outcomes),
        "cases": [
            {
                "name": outcome.case.name,
                "title": outcome.case.title,
                "status": str(outcome.status),
                "seconds": round(outcome.seconds, 3),
                "failures": outcome.found.failures,
                "notes": outcome.found.notes + ([outcome.sentence] if outcome.sentence else []),
                "figures": [
                    {"name": f.name, "value": f.value if math.isfinite(f.value) else None, "unit": f.unit}
                    for f in outcome.found.figures
                ],
            }
            for outcome in outcomes
        ],
        "calibration": measured,
    }


def junit(subject: Subject, outcomes: list[Outcome]) -> str:
    """JUnit XML, as CI servers read it."""
    failed = sum(outcome.status is Status.FAILED for outcome in outcomes)
    skipped = sum(outcome.status in (Status.SKIPPED, Status.NOT_RUN) for outcome in outcomes)
    total = {
        "tests": str(len(outcomes)), "failures": str(failed), "errors": "0", "skipped": str(skipped),
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }  # fmt: skip
    root = ElementTree.Element("testsuites", total)
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": f"edgebot hil {subject.kind}", "timestamp": subject.facts["started"], **total}
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite, "testcase",
            {"classname": f"edgebot.hil.{subject.kind}", "name": outcome.case.name, "time": f"{outcome.seconds:.3f}"},
        )  # fmt: skip
        if outcome.status is Status.FAILED:
            ElementTree.SubElement(case, "failure", {"message": _clean(outcome.words)}).text = _clean(outcome.words)
        elif outcome.status is not Status.PASSED:
            ElementTree.SubElement(case, "skipped", {"message": _clean(f"{outcome.status}: {outcome.sentence}")})
        if outcome.found.figures:
            said = "\n".join(map(str, outcome.found.figures))
            ElementTree.SubElement(case, "system-out").text = _clean(said)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def page(subject: Subject, outcomes: list[Outcome], toml: str) -> str:
    """One HTML page that needs nothing else: no network, no script."""
    bad = sum(outcome.status in (Status.FAILED, Status.NOT_RUN) for outcome in outcomes)
    verdict = f"{bad} of {len(outcomes)} cases failed or were not run" if bad else "Everything is as it should be"
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(subject.robot)}: hardware tests</title><style>{STYLE}</style>",
        f"<h1>{escape(subject.robot)}: hardware in the loop</h1>",
        f'<p class="{"failed" if bad else "passed"}">{verdict}.</p><table>',
        *(f"<tr><th>{escape(key)}<td>{escape(value)}</tr>" for key, value in subject.facts.items()),
        "</table><h2>Cases</h2><table><tr><th>case<th>result<th>seconds<th>what was found</tr>",
    ]
    parts += [
        f'<tr><td><a href="#{escape(o.case.name)}">{escape(o.case.title)}</a>'
        f'<td class="{o.status}">{o.status}<td>{o.seconds:.1f}<td>{escape(o.words)}</tr>'
        for o in outcomes
    ]
    parts.append("</table>")
    for outcome in outcomes:
        parts.append(f'<h2 id="{escape(outcome.case.name)}">{escape(outcome.case.title)}</h2>')
        parts += [f'<p class="failed">{escape(sentence)}</p>' for sentence in outcome.found.failures]
        parts += [f"<p>{escape(note)}</p>" for note in [*outcome.found.notes, outcome.sentence] if note]
        if outcome.found.figures:
            rows = "".join(
                f"<tr><td>{escape(f.name)}<td>{f.value:.4g}<td>{escape(f.unit)}</tr>" for f in outcome.found.figures
            )
            parts.append(f"<table>{rows}</table>")
        parts.append(f'<div class="plots">{"".join(map(svg, outcome.found.plots))}</div>')
    if toml:
        parts.append(f"<h2>{calibration.NAME}</h2><pre>{escape(toml)}</pre>")
    return "\n".join(parts) + "</html>\n"


def _clean(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
