"""The agent on a robot's file tree: a release put together, switched to, tried, and reverted whatever comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.deploy.pi import activate, health, programs, releases, system
from edge.deploy.pi.place import UNITS, AgentError, Place, read_json, sha256, write_json

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A robot's tree, whose systemctl writes down what it is asked; environments are made on a real guest only."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    log = tmp_path / "systemctl.log"
    (bin_ / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    (bin_ / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    run = programs.run

    def without_python(*words: str, **how: Any) -> str:
        if "-I" not in words:
            return run(*words, **how)
        if "venv" in words:
            (Path(words[-1]) / "lib/python3.11/site-packages").mkdir(parents=True)
        return ""

    monkeypatch.setattr(programs, "run", without_python)
    root = Place(tmp_path / "robot")
    root.releases.mkdir(parents=True)
    root.run.mkdir(parents=True)
    return root


def asked(place: Place) -> str:
    path = place.root.parent / "systemctl.log"
    return path.read_text() if path.exists() else ""


def index(folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """Files in a folder, as they arrive, and their index."""
    entries = {}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        entries[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    return {"files": entries, "identity": json.dumps(entries, sort_keys=True)}


FILES = {"robot.toml": "one", "motord.json": "{}", "units/edgebot.service": "[Unit]", "wheels/a-1-none.whl": "wheel"}
FILES |= {"wheels/edgebot-1-none.whl": "own"}


def adopted(place: Place, name: str, **changes: str) -> str:
    """A release that lies there, ready."""
    incoming = place.root.parent / "incoming"
    found = index(incoming, FILES | {key.replace("_", "."): text for key, text in changes.items()})
    releases.adopt(place, name, found, incoming, "nobody", lambda words: None)
    return name


def confirmed(place: Place, name: str, **changes: str) -> str:
    adopted(place, name, **changes)
    place.note(name, confirmed=float(len(place.all_releases())))
    return name


def test_a_release_is_whole_and_shares_what_was_there_before(place: Place) -> None:
    adopted(place, "1")
    found = index(place.root.parent / "new", FILES | {"robot.toml": "two"})
    assert releases.missing(place, found) == ["robot.toml"]
    (place.root.parent / "new" / "wheels/a-1-none.whl").unlink()  # it need not be sent
    releases.adopt(place, "2", found, place.root.parent / "new", "nobody", lambda words: None)
    assert place.all_releases() == ["1", "2"] and list(releases.wrong(place, "2")) == []
    unit = "units/edgebot.service"
    assert (place.release("1") / unit).stat().st_ino == (place.release("2") / unit).stat().st_ino
    assert not (place.root.parent / "new").exists()
    (place.release("1") / unit).write_text("[Unot]")  # the same file, of the same size
    assert list(releases.wrong(place, "2")) == [unit] and releases.missing(place, found) == [unit]


def test_pinned_wheels_are_kept_installed_only(place: Place) -> None:
    adopted(place, "1")
    assert [path.name for path in place.releases.rglob("*.whl")] == ["edgebot-1-none.whl"]
    assert len(list(place.envs.glob("*/ready"))) == 2
    found = place.index("1")
    assert "wheels/a-1-none.whl" in found["files"] and releases.missing(place, found) == []
    (releases.environment(place, found) / "ready").unlink()  # the power went while it was being made
    assert list(releases.wrong(place, "1")) == ["the environment of its pinned wheels"]
    assert releases.missing(place, found) == ["wheels/a-1-none.whl"]
    releases.tidy(place)
    assert [path.name for path in place.envs.iterdir()] == [releases.application(place, found).name]


def test_releases_with_the_same_wheels_share_their_environments(place: Place) -> None:
    confirmed(place, "1")
    confirmed(place, "2", robot_toml="two")
    incoming = place.root.parent / "incoming"
    found = index(incoming, FILES | {"wheels/edgebot-1-none.whl": "newer"})
    releases.adopt(place, "3", found, incoming, "nobody", lambda words: None)
    venvs = [(place.release(name) / "venv").resolve(strict=True) for name in "123"]
    assert venvs[0] == venvs[1] != venvs[2] and len(list(place.envs.iterdir())) == 3
    assert list(releases.wrong(place, "3")) == []
    activate.switch(place, "3")
    place.note("3", confirmed=9.0)
    releases.keep(place, 1)
    assert {path.name for path in place.envs.iterdir()} == {venvs[2].name, releases.environment(place, found).name}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder, found: (folder / "robot.toml").write_text("xxx"), "robot.toml is not what the index says"),
        (lambda folder, found: (folder / "robot.toml").unlink(), "robot.toml did not arrive"),
        (lambda folder, found: (folder / "wheels/a-1-none.whl").write_text("x"), "a-1-none.whl is not what the index"),
        (lambda folder, found: (folder / "wheels/a-1-none.whl").unlink(), "a-1-none.whl did not arrive"),
        (lambda folder, found: found["files"].update({"../../x": found["files"]["robot.toml"]}), "outside"),
    ],
)
def test_what_arrived_damaged_leaves_nothing(
    place: Place, damage: Callable[[Path, dict[str, Any]], None], words: str
) -> None:
    incoming = place.root.parent / "incoming"
    found = index(incoming, FILES)
    damage(incoming, found)
    with pytest.raises(AgentError, match=words):
        releases.adopt(place, "1", found, incoming, "nobody", lambda words: None)
    assert place.all_releases() == [] and not place.release("1").exists() and not list(place.root.rglob("ready"))


def test_rubbish_of_a_deploy_that_was_cut_off_goes(place: Place) -> None:
    (place.release("0") / "wheels").mkdir(parents=True)
    adopted(place, "1")
    assert not place.release("0").exists() and place.all_releases() == ["1"]


def test_a_full_disk_is_refused_before_anything_is_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = index(place.root.parent / "incoming", FILES)
    releases.refuse_full(place, found, list(found["files"]))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=12_000_000))
    with pytest.raises(AgentError, match=r"has 12 MB free and this release needs 100 MB"):
        releases.refuse_full(place, found, list(found["files"]))


def test_the_switch_changes_all_by_one_link(place: Place) -> None:
    adopted(place, "1")
    activate.switch(place, "1")
    assert place.running() == "1" and os.readlink(place.current) == "releases/1"
    assert os.readlink(place.etc / "robot.toml") == "/opt/edgebot/current/robot.toml"
    for unit in UNITS:
        assert os.readlink(place.systemd / unit) == f"/opt/edgebot/current/units/{unit}"
        assert (place.systemd / "multi-user.target.wants" / unit).is_symlink()
    lines = asked(place).splitlines()
    assert lines[0] == "daemon-reload" and lines[-1] == f"restart --no-block {' '.join(UNITS)}"


def test_a_trial_that_ended_anyhow_goes_back(place: Place) -> None:
    """Killed, or the power went: the note of the trial is all that is left."""
    confirmed(place, "1")
    adopted(place, "2", robot_toml="two")
    activate.switch(place, "2")
    write_json(place.pending, {"release": "2", "previous": "1"})
    place.hold.touch()
    assert "1 runs again" in activate.recover(place, boot=True)
    assert place.running() == "1" and not place.pending.exists() and not place.hold.exists()
    assert "restart" not in asked(place).splitlines()[-1], "at boot the units start by themselves"
    assert place.noted("2")["failed"] == "the robot went down before it was confirmed"
    assert activate.recover(place) == ""


def test_a_first_release_that_was_never_confirmed_leaves_nothing_running(place: Place) -> None:
    adopted(place, "1")
    activate.switch(place, "1")
    write_json(place.pending, {"release": "1", "previous": None})
    assert "nothing runs" in activate.recover(place)
    assert place.running() is None and not any((place.systemd / unit).is_symlink() for unit in UNITS)
    lines = asked(place).splitlines()
    assert lines.index("stop edgebot.service") < lines.index("stop edgebot-motord.service"), "motord last, pins low"


@pytest.fixture
def trial(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    confirmed(place, "1")
    activate.switch(place, "1")
    adopted(place, "2", robot_toml="two")
    write_json(place.order, {"release": "2", "doctor": []})
    place.heartbeat.touch()
    monkeypatch.setattr(health, "healthy", lambda place, order, tell: ["loop jitter: accepted"])
    return place


def test_a_healthy_release_stays_once_it_is_confirmed(trial: Place) -> None:
    held = []

    def laptop() -> None:
        while read_json(trial.progress).get("state") != "healthy":
            time.sleep(0.01)
        held.append((trial.hold.exists(), trial.pending.exists(), trial.running()))
        trial.confirm.touch()

    thread = threading.Thread(target=laptop)
    thread.start()
    assert activate.activate(trial) == 0
    thread.join()
    assert held == [(True, True, "2")], "on trial the wheels are held, and a power cut would revert"
    assert trial.running() == "2" and not trial.hold.exists() and not trial.pending.exists()
    assert releases.back(trial) == "1"


def test_a_lost_link_goes_back(trial: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activate, "SILENT_S", 0.2)
    assert activate.activate(trial) == 1
    assert trial.running() == "1" and "the link was lost" in trial.noted("2")["failed"]
    assert read_json(trial.progress)["state"] == "reverted"


def test_an_unhealthy_release_goes_back(trial: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def sick(*words: object) -> list[str]:
        raise AgentError("edgebot.service died 3 times: no such model")

    monkeypatch.setattr(health, "healthy", sick)
    assert activate.activate(trial) == 1
    assert trial.running() == "1" and not trial.hold.exists() and releases.back(trial) is None


@pytest.mark.parametrize(
    ("own", "systemds", "words"),
    [
        ("chown: no file\nedgebot: no model x\nbye", "Starting edgebot: x", "edgebot: no model x"),
        ("", "edgebot.service: Failed at step EXEC\nFailed to start x", "edgebot.service: Failed at step EXEC"),
        ("", "", "its journal says nothing"),
    ],
)
def test_a_unit_that_will_not_start_is_told_by_its_own_words(
    place: Place, own: str, systemds: str, words: str
) -> None:
    for name, text in (("own", own), ("all", systemds)):
        (place.root / name).write_text(text)
    journal = place.root.parent / "bin/journalctl"
    journal.write_text(f'#!/bin/sh\ncd {place.root}\ncase "$*" in *_SYSTEMD_UNIT*) cat own;; *) cat all;; esac\n')
    journal.chmod(0o755)
    assert health._journal("edgebot.service") == words


@pytest.mark.parametrize(("beats", "good"), [(["1", "2", "3"], True), (["1", "1"], False), (["1", "2"], False)])
def test_the_loop_has_to_be_seen_going_round(monkeypatch: pytest.MonkeyPatch, beats: list[str], good: bool) -> None:
    looks = [0]

    def properties(unit: str, *names: str) -> dict[str, str]:
        looks[0] += 1
        beat = beats[looks[0] // 4 % len(beats)]
        return {"ActiveState": "active", "MainPID": "7", "WatchdogTimestampMonotonic": beat}

    monkeypatch.setattr(programs, "properties", properties)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if good:
        health._ticking(0.02)
    else:
        with pytest.raises(AgentError, match=rf"does not go round: it reported {len(set(beats))} times"):
            health._ticking(0.02)


def test_keep_leaves_what_runs_and_what_to_go_back_to(place: Place) -> None:
    for name in "1234":
        confirmed(place, name, robot_toml=name)
    activate.switch(place, "2")
    assert releases.back(place) == "4"
    assert releases.keep(place, 2, dry=True) == ["1", "3"] and place.all_releases() == ["1", "2", "3", "4"]
    assert releases.keep(place, 2) == ["1", "3"] and place.all_releases() == ["2", "4"]
    assert releases.keep(place, 1) == ["4"]


def test_the_firmwares_lines_come_once_and_go_without_a_trace() -> None:
    before = "dtparam=audio=on\n[pi4]\narm_boost=1\n"
    once = system.with_lines(before, ["dtparam=strict_gpiod", "gpio=12=op,dl"])
    assert once.endswith("[all]\ndtparam=strict_gpiod\ngpio=12=op,dl\n# edgebot: end\n")
    assert system.with_lines(once, ["dtparam=strict_gpiod", "gpio=12=op,dl"]) == once
    assert system.with_lines(once, ["gpio=13=op,dl"]).count("[all]") == 1
    assert system.with_lines(once, []) == before


def test_programs_that_fail_say_so_in_a_sentence() -> None:
    with pytest.raises(AgentError, match="nonesuch is not installed on the robot"):
        programs.run("nonesuch")
    with pytest.raises(AgentError, match="failed on the robot: ERROR: bad"):
        programs.run("sh", "-c", "echo ERROR: bad >&2; echo more >&2; exit 1")
    with pytest.raises(AgentError, match=r"took longer than 0.2 s"):
        programs.run("sleep", "9", limit_s=0.2)


SERVE = "import sys; from edge.deploy.pi.serve import serve; from edge.deploy.pi.place import Place; "


def session(root: Path, who: str) -> subprocess.Popen[str]:
    code = SERVE + f"sys.exit(serve(Place({str(root)!r}), {who!r}))"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]


def test_the_second_deploy_is_told_who_has_the_lock(tmp_path: Path) -> None:
    with session(tmp_path, "ann@laptop") as first:
        assert first.stdin is not None and first.stdout is not None
        assert json.loads(first.stdout.readline()) == {"done": {"ready": True}}
        with session(tmp_path, "bob@desk") as second:
            assert second.stdout is not None
            said = json.loads(second.stdout.readline())
        assert said["kind"] == "locked" and said["error"].startswith("ann@laptop has been deploying to it for")
        assert second.returncode == 4
        first.stdin.write('12345\nsecret\n\n{"do": "rollback"}\n')  # a password that sudo did not want
        first.stdin.flush()
        assert "no earlier release" in json.loads(first.stdout.readline())["error"]
        first.stdin.close()
    with session(tmp_path, "bob@desk") as third:
        assert third.stdin is not None and third.stdout is not None
        assert "done" in json.loads(third.stdout.readline())
        third.stdin.close()


def test_a_session_goes_on_when_an_uninstall_has_taken_its_folder(tmp_path: Path) -> None:
    with session(tmp_path, "ann@laptop") as one:
        assert one.stdin is not None and one.stdout is not None
        one.stdout.readline()
        Place(tmp_path).run.rmdir()
        one.stdin.write('\n{"do": "rollback"}\n')  # a sign of life comes first
        one.stdin.flush()
        assert "no earlier release" in json.loads(one.stdout.readline())["error"]
        one.stdin.close()
    assert one.returncode == 0
