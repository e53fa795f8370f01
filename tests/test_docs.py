"""The documents say what is true: the reference follows the model, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from edge.cli import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_of_robot_toml_and_the_pictures_are_the_models() -> None:
    spec = importlib.util.spec_from_file_location("docs_update", ROOT / "docs" / "update.py")
    assert spec is not None and spec.loader is not None
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    assert update.TARGET.read_text(encoding="utf-8") == update.text(), "run `make docs`"
    for path, drawn in update.pictures().items():
        assert path.read_text(encoding="utf-8") == drawn, "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    dead = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    verbs = set(re.findall(r"(?:^ {4,}|`|bin/)edgebot ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE))
    assert verbs <= {verb.name for verb in VERBS}


def test_the_readme_teaches_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb.name for verb in VERBS if f"`edgebot {verb.name}" not in text] == []
    assert "make demo" in text and "make test" in text
    assert text.index("![") < text.index("make demo"), "it opens with a picture"
