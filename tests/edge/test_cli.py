"""The command line: instant help, one sentence and exit code 2 for what cannot be done."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge import cli

ROOT = Path(__file__).resolve().parents[2]


def edgebot(*args: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a Python of its own; `code` runs before it."""
    script = f"import sys; {code}\nfrom edge.cli import main; sys.exit(main({list(args)!r}))"
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert result.stderr.startswith("edgebot: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_help_names_every_verb_and_loads_no_library() -> None:
    heavy = "numpy cv2 pydantic rich tensorflow gymnasium gpiozero ai_edge_litert matplotlib"
    look = f"import atexit; atexit.register(lambda: print([m for m in '{heavy}'.split() if m in sys.modules]))"
    result = edgebot("--help", code=look)
    assert result.returncode == 0
    assert result.stdout.endswith("[]\n"), result.stdout
    for verb in cli.VERBS:
        assert f"\n  {verb.name} " in result.stdout


def test_help_answers_in_half_a_second() -> None:
    times = []
    for _ in range(5):  # the best of five: the machine may be busy with other tests
        start = time.perf_counter()
        assert edgebot("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_every_verb_has_its_module() -> None:
    for verb in cli.VERBS:
        assert importlib.util.find_spec(verb.target.split(":")[0]), verb


def test_a_reader_who_leaves_early_gets_no_traceback() -> None:
    command = f"{sys.executable} -m edge.cli --help | true"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr


def test_an_unknown_verb_names_the_nearest() -> None:
    assert "unknown verb 'trian'; did you mean 'train'?" in one_sentence(edgebot("trian"))
    assert "`edgebot --help` lists the verbs" in one_sentence(edgebot("zzzz"))


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb.extra], ids=lambda verb: verb.name)
def test_a_missing_extra_is_named_with_its_command(verb: cli.Verb) -> None:
    hide = "sys.modules.update(tensorflow=None, gymnasium=None, keras=None)"  # importing one raises as if not there
    learning = ["light", "--algo", "ppo"]
    arguments = {"train": learning, "sweep": learning, "eval": ["x"], "convert": ["x"], "demo": []}[verb.name]
    sentence = one_sentence(edgebot(verb.name, *arguments, code=hide))
    assert f"`edgebot {verb.name}` needs " in sentence and 'pip install "edgebot[workstation]"' in sentence


@pytest.mark.parametrize(
    ("module", "brings"),
    [
        ("tensorflow.keras", 'pip install "edgebot[workstation]"'),
        ("tflite_runtime", 'pip install "edgebot[tflite-runtime]"'),
        ("lgpio", 'pip install "edgebot[pi]"'),
        ("mcap.writer", "pip install edgebot`"),
    ],
)
def test_an_import_that_fails_inside_a_verb_is_told_too(
    module: str, brings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "late_verb.py").write_text(f"def main(argv):\n    import {module}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    monkeypatch.setattr(cli, "VERBS", (cli.Verb("late", "late_verb:main", "", ""),))
    assert cli.main(["late"]) == 2
    sentence = capsys.readouterr().err
    assert f"needs {module.split('.')[0]}, which is not installed" in sentence and brings in sentence
    sys.modules.pop("late_verb")


def test_interruption_is_said_and_has_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "interrupted_verb.py").write_text("def main(argv):\n    raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "VERBS", (cli.Verb("wait", "interrupted_verb:main", "", ""),))
    assert cli.main(["wait"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
