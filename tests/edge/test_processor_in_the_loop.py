"""`edgebot sim --serve` and `edgebot run --body tcp://...`: two processes, the real runtime, a simulated body."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from edge.cli import main


def edgebot(*arguments, **more):
    command = [sys.executable, "-m", "edge.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


@pytest.fixture
def served(tmp_path):
    token = str(tmp_path / "token")
    process = edgebot("sim", "--serve", "--listen", "127.0.0.1:0", "--token", token, "--seed", "7")
    line = process.stderr.readline()
    yield re.search(r"127\.0\.0\.1:(\d+)", line)[1], token, process
    process.kill()
    process.communicate()


def test_the_runtime_drives_a_body_in_another_process(served):
    port, token, process = served
    address = f"tcp://127.0.0.1:{port}"
    done = edgebot("run", "--body", address, "--token", token, "--policy", "light", "--duration", "4", "--json")
    out, said = done.communicate(timeout=120)
    found = json.loads(out)
    assert done.returncode == 0 or "was still so when the run's time was up" in said, said  # a machine too busy
    assert found["distance_m"] > 0.1 and found["link"]["round_trips"] > 50 and found["link"]["p99_ms"] > 0
    assert "there and back" in said and not found["simulated"]
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert "drives" in told and "has ended its run" in told and re.search(r"goal (not )?reached", told)
    assert process.returncode == 0


def test_a_killed_runtime_leaves_the_wheels_at_zero(served):
    port, token, process = served
    done = edgebot("run", "--body", f"tcp://127.0.0.1:{port}", "--token", token, "--policy", "straight")
    while "drives" not in process.stderr.readline():
        pass
    done.kill()
    done.communicate()
    assert "wheels are at zero" in process.stderr.readline()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "--body", "laptop", "--policy", "light"], "tcp://laptop:7246"),
        (["run", "--body", "tcp://x", "--sim", "--policy", "light"], "brings its own robot"),
        (["sim"], "--serve"),
        (["sim", "--serve", "--listen", "nowhere"], "write it like 127.0.0.1:7246"),
        (["run", "--body", "tcp://x", "--policy", "x", "--fault", "range:nan", "--level", "easy"], "level and --fault"),
        (["run", "--body", "tcp://x", "--policy", "light", "--seed", "0"], "--seed: that is said where"),
        (["run", "--body", "tcp://x", "--policy", "light", "--task", "range"], "`edgebot sim --serve`"),
        (["run", "--body", "tcp://x", "--policy", "light", "--realtime"], "--realtime: that is said where"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, capsys, arguments, why):
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    (tmp_path / "token").chmod(0o600)
    assert main([*arguments, "--token", str(tmp_path / "token")]) == 2
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1


def test_a_missing_token_names_the_command_that_makes_one(tmp_path, capsys):
    assert main(["run", "--body", "tcp://x", "--policy", "light", "--token", str(tmp_path / "none")]) == 2
    assert "edgebot sim --serve" in capsys.readouterr().err
