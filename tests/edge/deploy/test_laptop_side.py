"""deploy on the laptop: which robots, what is refused before anything is copied, and what a release is made of."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli import main as cli
from edge.deploy import main as deploy
from edge.deploy import release, wheels
from edge.deploy.host import suited
from edge.deploy.link import HostError, unreachable
from edge.deploy.release import Wanted, checked
from edge.deploy.targets import parse, read_hosts
from edge.errors import EdgeError, UsageError
from edge.policies import make
from edge.policies.held import Held
from edge.units.render import Place, render
from robot.config import load
from robot.errors import RobotError
from robot.types import STOP

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "robot" / "example.toml"


@pytest.mark.parametrize(
    ("text", "address", "port", "remote"),
    [
        ("robot.local", "robot.local", 0, "robot.local"),
        ("pi@10.0.0.7:2222", "pi@10.0.0.7", 2222, "pi@10.0.0.7"),
        ("pi@[fe80::1%eth0]:22", "pi@fe80::1%eth0", 22, "pi@[fe80::1%eth0]"),
    ],
)
def test_hosts_are_read(text: str, address: str, port: int, remote: str) -> None:
    found = parse(text)
    assert (found.address, found.port, found.remote) == (address, port, remote)


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "a b", "pi@", "host:0", "host:99999", "host:x", "$(x)", ""])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no host"):
        parse(text)


def test_a_hosts_file_gives_each_robot_its_own(tmp_path: Path) -> None:
    path = tmp_path / "robots.txt"
    path.write_text("# the class\nann.local robot='ann s/robot.toml' policy=person\n\nbob@b.local:22  # plain\n")
    ann, bob = read_hosts(path)
    assert ann.robot == str(tmp_path / "ann s/robot.toml") and ann.policy == "person" and bob.robot == ""
    path.write_text("ann.local polcy=person\n")
    with pytest.raises(UsageError, match=r"line 1: 'polcy=person' has no meaning"):
        read_hosts(path)


FACTS = {
    "os": "debian", "version": "12", "words": "Debian GNU/Linux 12 (bookworm)", "kernel": "aarch64",
    "userland": "arm64", "python": "3.11", "systemd": "yes",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": "x86_64", "userland": "amd64"}, "it is x86_64 with amd64 programs .* needs 64-bit ARM"),
        ({"userland": "armhf"}, "it is aarch64 with armhf programs"),
        ({"version": "11", "words": "Debian GNU/Linux 11 (bullseye)"}, r"it runs Debian GNU/Linux 11 \(bullseye\)"),
        ({"os": "ubuntu", "words": "Ubuntu 24.04"}, "it runs Ubuntu 24.04"),
        ({"systemd": ""}, "not started by systemd"),
        ({"python": "3.12"}, "its python3 is 3.12, not bookworm's 3.11"),
    ],
)
def test_a_machine_that_cannot_be_a_robot_is_told_why(change: dict[str, str], words: str) -> None:
    assert suited(FACTS).name == "bookworm" and suited(FACTS | {"version": "13", "python": "3.13"}).name == "trixie"
    with pytest.raises(HostError, match=words):
        suited(FACTS | change)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Host key verification failed.", "host key is not known yet; look at it with `ssh -p 2222 pi@r.local`"),
        ("pi@r.local: Permission denied (publickey).", "ssh is not let in"),
        ("ssh: Could not resolve hostname r.local: Name or service not known", "there is no host 'r.local'"),
        ("ssh: connect to host r.local port 2222: Connection refused", "it cannot be reached"),
        ("", "the link was lost"),
    ],
)
def test_what_ssh_says_becomes_one_sentence(said: str, words: str) -> None:
    assert words in unreachable(parse("pi@r.local:2222"), said)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, pinned = tmp_path / "edgebot-0.1.0-py3-none-any.whl", tmp_path / "numpy-1.26.4-cp311.whl"
    own.write_text("own")
    pinned.write_text("pinned")
    monkeypatch.setattr(wheels, "own", lambda: own)
    monkeypatch.setattr(wheels, "pinned", lambda system: [pinned])


BOOKWORM = wheels.SYSTEMS["12"]


def test_the_index_hashes_every_file(small: None) -> None:
    model = ROOT / "edge/models/person.tflite"
    wanted = checked(Wanted(EXAMPLE, "light", (model,), False, ()))
    made = release.build(wanted, BOOKWORM)
    assert {name.split("/")[0] for name in made.sources} == {
        "robot.toml", "motord.json", "requirements.txt", "units", "models", "wheels"
    }  # fmt: skip
    for name, source in made.sources.items():
        data = source if isinstance(source, bytes) else source.read_bytes()
        assert made.index["files"][name] == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert release.build(wanted, BOOKWORM).index["identity"] == made.index["identity"]
    other = release.build(Wanted(EXAMPLE, "range", (model,), False, ()), BOOKWORM)
    changed = [name for name in made.index["files"] if made.index["files"][name] != other.index["files"][name]]
    assert changed == ["units/edgebot.service"]


def test_a_part_changes_only_itself(small: None) -> None:
    model = ROOT / "edge/models/person.tflite"
    running = release.build(Wanted(EXAMPLE, "light", (), False, ()), BOOKWORM).index
    new = release.build(Wanted(EXAMPLE, "range", (model,), False, ()), BOOKWORM)
    models = release.partly(new, running, release.MODELS).index["files"]
    assert set(models) - set(running["files"]) == {"models/person.tflite"}
    assert models["units/edgebot.service"] == running["files"]["units/edgebot.service"]
    config = release.partly(new, running, release.CONFIG).index
    assert config["policy"] == "range" and "models/person.tflite" not in config["files"]


def test_a_calibration_beside_robot_toml_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(EXAMPLE.read_text())
    assert "calibration.toml" not in release.build(Wanted(path, "light", (), False, ()), BOOKWORM).index["files"]
    (tmp_path / "calibration.toml").write_text('robot = "example"\n[drive]\ngain_left = 1.1\n')
    assert "calibration.toml" in release.build(Wanted(path, "light", (), False, ()), BOOKWORM).index["files"]


def test_units_of_a_release_hold_and_simulate() -> None:
    config = load(EXAMPLE)
    place = {"robot": "/r.toml", "bin": "/b", "user": "edgebot", "hold": "/run/hold"}
    real, sim = render(config, Place(**place)), render(config, Place(**place, sim=True))
    assert "/b/edgebot run --robot /r.toml --policy light --hold /run/hold --record" in real["edgebot.service"]
    assert "--pins mock" not in real["edgebot-motord.service"] and "--sim" not in real["edgebot.service"]
    assert "edgebot run --sim --realtime --robot /r.toml --policy light --motord /run/edge" in sim["edgebot.service"]
    assert sim["edgebot-motord.service"].count("--config /etc/edgebot/motord.json --pins mock") == 2


def test_a_held_policy_is_asked_and_does_not_move(tmp_path: Path) -> None:
    class Always:
        name, needs_camera, note = "always", False, "a note"

        def __init__(self) -> None:
            self.asked = 0

        def act(self, observation: object) -> object:
            self.asked += 1
            return "drive"

        def reset(self) -> None:
            self.asked = 0

    policy, file = Always(), tmp_path / "hold"
    held = Held(policy, file)  # type: ignore[arg-type]
    assert held.act(None) == "drive" and held.note == "a note" and getattr(held, "link", None) is None  # type: ignore[arg-type]
    file.touch()
    assert held.act(None) == STOP and policy.asked == 2  # type: ignore[arg-type]
    held.reset()
    assert policy.asked == 0
    assert make("light", load(EXAMPLE)).name == Held(make("light", load(EXAMPLE)), file).name


def test_a_held_run_does_not_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hold"
    file.touch()
    words = ["run", "--sim", "--policy", "straight", "--seed", "7", "--duration", "1", "--json", "--hold"]
    assert cli([*words, str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["distance_m"] < 0.01
    file.unlink()
    assert cli([*words, str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["distance_m"] > 0.05


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which robot"),
        (["a b"], "is no host"),
        (["r.local", "--robot", "nowhere.toml"], "nowhere.toml"),
        (["r.local", "--robot", str(EXAMPLE), "--policy", "lihgt"], "did you mean 'light'"),
        (["r.local", "--robot", str(EXAMPLE), "--policy", "no.tflite"], "no.tflite"),
        (["r.local", "--rollback", "--status"], "exclude each other"),
        (["r.local", "--prune", "--status"], "exclude each other"),
        (["--hil", "r.local"], "which robot? `./deploy.sh robot.local`, before --hil"),
        (["r.local", "--robot", str(EXAMPLE), "--", "--camera; rm -rf /"], "'--camera; rm -rf /', which a unit cannot"),
        (["r.local", "r.local", "--status"], "named twice"),
        (["r.local", "--keep", "0"], "'0' is no whole number from 1"),
        (["r.local", "--rolback"], "'--rolback' is no option"),
        (["r.local", "--models-only", "--rollback"], "--rollback and --models-only exclude each other"),
        (["r.local", "--rollback", "--hil"], "only robots go before --hil"),
        (["r.local", "--status", "--", "--camera"], "'--camera' after -- is for `edgebot run`, and --status starts"),
        (["r.local", "--accept", "loop jiter"], "did you mean 'loop jitter'"),
        (["r.local", "--robot", str(EXAMPLE), "--", "--rat", "5"], "unrecognized arguments: --rat 5"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_is_copied(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(words) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1


def test_ssh_options_that_cannot_be_read_are_one_sentence(monkeypatch, capsys) -> None:
    monkeypatch.setenv("EDGEBOT_SSH_OPTIONS", "-o 'x")
    assert deploy.main(["r.local", "--status"]) == 2
    assert "EDGEBOT_SSH_OPTIONS is \"-o 'x\"" in capsys.readouterr().err


def test_one_bad_description_does_not_stop_the_other_robots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("name = 3\n")
    (tmp_path / "robots.txt").write_text(f"127.0.0.1:1 robot={EXAMPLE}\n127.0.0.1:2 robot=bad.toml\n")
    assert deploy.main(["--hosts", str(tmp_path / "robots.txt"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert [row["host"] for row in json.loads(out)] == ["127.0.0.1:1", "127.0.0.1:2"]
    assert "127.0.0.1:1  FAILED: it cannot be reached" in err and "bad.toml" in err.splitlines()[-1]


def test_a_description_that_does_not_validate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_text(EXAMPLE.read_text().replace("forward_pin = 17", "forward_pin = 3"))
    with pytest.raises((EdgeError, RobotError), match="GPIO"):
        checked(Wanted(path, "light", (), False, ()))


def test_the_agent_is_one_file_for_any_python(tmp_path: Path) -> None:
    path = release.agent(tmp_path)
    first = path.read_bytes()
    assert release.agent(tmp_path).read_bytes() == first
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "knows serve, activate and recover" in done.stderr
    for file in (ROOT / "edge/deploy/pi").glob("*.py"):
        lines = [line.split() for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]
        imported = {words[1].split(".")[0] for words in lines}
        assert imported <= {*sys.stdlib_module_names, "edge"}, f"{file.name}: a robot has only Python's own library"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_deploy_sh_is_clean() -> None:
    done = subprocess.run(["shellcheck", ROOT / "deploy.sh"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


NEEDS_RSYNC = pytest.mark.skipif(
    not (shutil.which("ssh") and shutil.which("rsync")), reason="ssh or rsync is not installed"
)


@NEEDS_RSYNC
def test_a_robot_that_is_not_there_is_told_in_the_table() -> None:
    words = ["127.0.0.1:1", "nobody@127.0.0.1:2", "--robot", EXAMPLE, "--sim"]
    environment = {"EDGEBOT_PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run([ROOT / "deploy.sh", *words], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("FAILED: it cannot be reached (ssh: connect to host 127.0.0.1 port") == 2


@NEEDS_RSYNC
def test_the_reports_of_the_hardware_tests_come_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over an ssh that runs its command here, as if this were the robot."""
    bin_, robot = tmp_path / "bin", tmp_path / "pi"
    bin_.mkdir()
    robot.mkdir()
    (bin_ / "ssh").write_text(
        '#!/bin/bash\n[[ " $* " == *" -O exit "* ]] && exit\n'
        f'while [ "$1" != r.local ]; do shift; done; shift; cd {robot} && exec bash -c "$*"\n'
    )
    (bin_ / "edgebot").write_text(f'#!/bin/bash\nexec {sys.executable} -m edge.cli "$@"\n')
    for program in bin_.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("edge.deploy.hil.COMMAND", str(bin_ / "edgebot"))
    here = tmp_path / "it's here"
    assert deploy.main(["r.local", "--hil", "--sim", "--only", "range", "-o", str(here)]) == 0
    assert {"report.html", "junit.xml", "results.json"} <= {path.name for path in here.iterdir()}
    assert f"the reports are in {here}" in capsys.readouterr().err and not list(robot.rglob("report.html"))
    assert deploy.main(["r.local", "--hil", "--list"]) == 0
    monkeypatch.setattr("edge.deploy.hil.COMMAND", str(bin_ / "nothing"))
    assert deploy.main(["r.local", "--hil", "--sim"]) == 1
    assert "FAILED: there is no edgebot to test with; `./deploy.sh r.local` brings it" in capsys.readouterr().err
