"""Each check says yes to a Pi as it should be, and no, with a command, to the same Pi broken in one place."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main as cli
from edge.doctor import jitter, lines
from edge.doctor.checks import CHECKS, UnfitError, examine, fit, refuse_unfit
from edge.doctor.machine import Machine
from edge.doctor.rows import Level, Row
from edge.perception.detector import SHIPPED
from robot.config import RobotConfig, load
from tests.edge.doctor.captured import PIS, CapturedPi, examined


def found(rows: list[Row], check: str) -> Row:
    """The gravest row of a check."""
    order = list(Level)
    return max((row for row in rows if row.check == check), key=lambda row: order.index(row.level) % 4)


@pytest.fixture(params=PIS)
def pi(request: pytest.FixtureRequest, tmp_path: Path) -> CapturedPi:
    return CapturedPi(request.param, tmp_path)


def test_a_pi_as_it_should_be_may_drive(pi: CapturedPi) -> None:
    rows = examine(examined(pi, camera=True))
    bad = [row for row in rows if row.level in (Level.FAILURE, Level.WARNING) and row.check != "loop jitter"]
    assert not bad
    assert {check.name for check in CHECKS} - {"models"} <= {row.check for row in rows}
    refuse_unfit(examined(pi, camera=True))


def mcp3008(config: RobotConfig) -> RobotConfig:
    light = config.light.model_copy(update={"kind": "mcp3008", "left": 0, "right": 1})
    return config.model_copy(update={"light": light})


Break = Callable[[CapturedPi], object]
F, W = Level.FAILURE, Level.WARNING

BREAKS: dict[str, tuple[str, Level, str, Break]] = {
    "32-bit": ("operating system", F, "64-bit image", lambda pi: pi.facts.update(bits=32)),
    "an older system": (
        "operating system", W, "image",
        lambda pi: pi.write("/etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\n'),
    ),
    "Python 3.9": ("Python", F, "apt install", lambda pi: pi.facts.update(python=[3, 9])),
    "a missing package": ("packages", F, "pip install mcap", lambda pi: pi.facts["versions"].pop("mcap")),
    "the broken lgpio": ("lgpio", F, "lgpio", lambda pi: pi.facts["versions"].update(lgpio="0.0.0.2")),
    "no lgpio": ("lgpio", F, "lgpio", lambda pi: pi.facts["modules"].remove("lgpio")),
    "picamera2 that does not import": (
        "picamera2", F, "install",
        lambda pi: pi.facts["import_errors"].update(picamera2="ValueError: numpy.dtype size changed"),
    ),
    "no picamera2": ("camera", F, "apt install python3-picamera2", lambda pi: pi.facts["modules"].remove("picamera2")),
    "picamera2 outside the environment": (
        "camera", F, "--system-site-packages",
        lambda pi: (pi.facts["modules"].remove("picamera2"),
                    pi.write("/usr/lib/python3/dist-packages/picamera2/__init__.py", "")),
    ),
    "a ribbon that is out": (
        "camera sensor", F, "rpicam-hello",
        lambda pi: pi.commands.update({"rpicam-hello --list-cameras": "No cameras available!"}),
    ),
    "no camera in the kernel": (
        "camera", F, "dmesg",
        lambda pi: [pi.remove(f"/dev/{name}") for name in pi.names("/dev") if name.startswith("media")],
    ),
    "no GPIO chip": (
        "GPIO chip", F, "full-upgrade",
        lambda pi: [pi.remove(f"/dev/{name}") for name in pi.names("/dev") if name.startswith("gpiochip")],
    ),
    "not in the group gpio": ("permissions", F, "usermod -aG gpio pi", lambda pi: pi.facts["groups"].remove("gpio")),
    "the chip closed to this user": ("GPIO chip", F, "usermod -aG gpio", lambda pi: pi.facts["groups"].remove("gpio")),
    "not in the group video": ("permissions", F, "usermod -aG video", lambda pi: pi.facts["groups"].remove("video")),
    "a pin that an overlay has": (
        "pins in use", F, "config.txt", lambda pi: pi.facts["lines"].update({"17": ["w1", False]}),
    ),
    "a motor pin that is high": (
        "motor pins", F, "pinctrl set 17,27,12,23,24,13 op dl",
        lambda pi: pi.commands.update({
            "systemctl is-active edgebot.service": "inactive",
            **{key: text.replace("23: op dl pd | lo", "23: op dh pd | hi") for key, text in pi.commands.items()
               if key.startswith("pinctrl")},
        }),
    ),
    "no strict_gpiod": (
        "firmware", F, r"printf '\n[all]\ndtparam=strict_gpiod\n' | sudo tee -a /boot/firmware/config.txt",
        lambda pi: (pi.remove("/sys/module"), pi.write("/proc/cmdline", "console=tty1"),
                    pi.write("/boot/firmware/config.txt", "[all]\ngpio=12,13,17,23,24,27=op,dl\n")),
    ),
    "pins that float at boot": (
        "firmware", F, "gpio=12,13,17,23,24,27=op,dl",
        lambda pi: pi.write("/boot/firmware/config.txt", "[all]\ndtparam=strict_gpiod\ngpio=12,13,17=op,dl\n"),
    ),
    "under-voltage now": (
        "power", F, "vcgencmd", lambda pi: pi.commands.update({"vcgencmd get_throttled": "throttled=0x50005"}),
    ),
    "the kernel's alarm of under-voltage": (
        "power", F, "vcgencmd",
        lambda pi: [path.write_text("1\n") for path in pi.root.glob("sys/class/hwmon/*/in0_lcrit_alarm")],
    ),
    "under-voltage before": (
        "power", W, "vcgencmd", lambda pi: pi.commands.update({"vcgencmd get_throttled": "throttled=0x50000"}),
    ),
    "throttled by heat": (
        "power", W, "vcgencmd", lambda pi: pi.commands.update({"vcgencmd get_throttled": "throttled=0xe0008"}),
    ),
    "hot": ("temperature", F, "measure_temp", lambda pi: pi.write("/sys/class/thermal/thermal_zone0/temp", "84000\n")),
    "warm": ("temperature", W, "measure_temp", lambda pi: pi.write("/sys/class/thermal/thermal_zone0/temp", "77000\n")),
    "a full disk": ("disk", W, "-delete", lambda pi: pi.facts.update(free_bytes=200_000_000)),
    "a read-only disk": ("disk", W, "remount,rw", lambda pi: pi.facts.update(writable=False)),
    "a clock that was never set": ("clock", W, "set-ntp", lambda pi: pi.facts.update(clock=86400.0)),
    "no units": ("units", W, "edgebot units", lambda pi: pi.remove("/etc/systemd/system/edgebot.service")),
    "another robot's motord.json": ("units", F, "motors config", lambda pi: pi.write("/etc/edgebot/motord.json", "{}")),
    "a unit that failed": (
        "units", F, "reset-failed",
        lambda pi: pi.commands.update({"systemctl is-active edgebot-motord.service": "failed"}),
    ),
    "a unit that dies again and again": (
        "units", W, "journalctl -n 30 -u edgebot-motord.service",
        lambda pi: pi.commands.update({"systemctl is-active edgebot-motord.service": "activating"}),
    ),
    "units that do not start at boot": (
        "units", W, "systemctl enable",
        lambda pi: pi.commands.update({"systemctl is-enabled edgebot-motord.service": "disabled"}),
    ),
    "a watchdog that nobody feeds": (
        "hardware watchdog", W, "edgebot-watchdog.conf",
        lambda pi: pi.write("/sys/class/watchdog/watchdog0/state", "inactive\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found_with_a_command(name: str, pi: CapturedPi) -> None:
    check, level, mend, broken = BREAKS[name]
    broken(pi)
    rows = examine(examined(pi, camera=True), quick=next((c.quick for c in CHECKS if c.name == check), False))
    row = found(rows, check)
    assert row.level is level, row
    assert mend in row.mend
    assert fit([row for row in rows if row.check != "loop jitter"]) is (level is not F)


def test_every_warning_and_failure_comes_with_its_command(pi: CapturedPi) -> None:
    for _, _, _, broken in BREAKS.values():
        try:
            broken(pi)
        except (OSError, KeyError, ValueError):  # an earlier one has taken it away
            continue
    rows = examine(examined(pi, camera=True))
    bad = [row for row in rows if row.level in (F, W)]
    assert len(bad) > 10
    assert [row for row in bad if not row.mend] == []
    assert [row for row in rows if row.mend and row not in bad] == []
    assert not any("the check itself failed" in row.found for row in rows)


def test_bookworms_picamera2_needs_numpy_1(tmp_path: Path) -> None:
    pi = CapturedPi("pi4-bookworm", tmp_path)
    pi.facts["versions"]["numpy"] = "2.4.1"
    row = found(examine(examined(pi), quick=True), "numpy")
    assert row.level is F and row.mend == "pip install -r locks/pi-bookworm.txt"


def test_tflite_runtime_needs_numpy_1(tmp_path: Path) -> None:
    pi = CapturedPi("pi5-trixie", tmp_path)
    del pi.facts["versions"]["ai-edge-litert"]
    pi.facts["versions"]["tflite-runtime"] = "2.14.0"
    assert found(examine(examined(pi), quick=True), "numpy").level is F


def test_spi_is_needed_for_an_mcp3008_only(pi: CapturedPi) -> None:
    pi.remove("/dev/spidev0.0")
    assert found(examine(examined(pi), quick=True), "I2C, SPI").level is Level.OK
    config = mcp3008(load())
    row = found(examine(examined(pi, config), quick=True), "I2C, SPI")
    assert row.level is F and "do_spi 0" in row.mend


def test_a_camera_that_nobody_needs_is_a_warning(pi: CapturedPi) -> None:
    pi.facts["modules"].remove("picamera2")
    assert found(examine(examined(pi), quick=True), "camera").level is W
    assert found(examine(examined(pi, camera=True), quick=True), "camera").level is F


def test_a_robot_without_an_emergency_stop_is_told(pi: CapturedPi) -> None:
    config = load().model_copy(update={"emergency_stop": None})
    row = next(row for row in examine(examined(pi, config)) if row.check == "emergency stop")
    assert row.level is W and "[emergency_stop]" in row.mend


def test_a_damaged_model_is_a_failure(pi: CapturedPi, tmp_path: Path) -> None:
    damaged = tmp_path / "mine.tflite"
    damaged.write_bytes(b"\0" * 100)
    rows = examine(examined(pi, models=(damaged,)))
    assert found(rows, "model mine.tflite").level is F
    assert found(rows, "model person.tflite").level is Level.OK


@pytest.mark.parametrize(
    ("folder", "shipped", "mend"),
    [
        ("opt/edgebot/envs/x/edge/models", True, "./deploy.sh HOST"),
        ("opt/edgebot/current/models", False, "./deploy.sh HOST"),
        ("home/pi/.venv/edge/models", True, "--no-build-isolation ."),
        ("home/pi", False, "scp LAPTOP:mine.tflite "),
    ],
)
def test_an_altered_model_is_the_models_fault_and_mended_where_it_lies(
    pi: CapturedPi, monkeypatch: pytest.MonkeyPatch, folder: str, shipped: bool, mend: str
) -> None:
    model = pi.root / folder / "mine.tflite"
    data = bytearray(SHIPPED.read_bytes())
    data[len(data) // 3] ^= 1
    model.parent.mkdir(parents=True)
    model.write_bytes(data)
    if shipped:
        monkeypatch.setattr("edge.perception.detector.SHIPPED", model)
    rows = examine(examined(pi, models=() if shipped else (model,)))
    first = next(row for row in rows if row.level is F)
    assert first.check == "model mine.tflite" and "was altered" in first.found and mend in first.mend


def test_an_interpreter_that_the_environment_forces_is_let_go(
    pi: CapturedPi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBOT_INTERPRETER", "abacus")
    pi.environment["EDGEBOT_INTERPRETER"] = "abacus"
    row = found(examine(examined(pi)), "interpreter")
    assert row.level is F and row.mend == "unset EDGEBOT_INTERPRETER"


class Laptop(CapturedPi):
    """The same answers without a Pi's board."""

    @property
    def model(self) -> str:
        return ""


def test_a_laptop_is_told_so_and_not_failed_falsely(tmp_path: Path) -> None:
    laptop = Laptop("pi5-trixie", tmp_path)
    laptop.facts["chips"] = []
    rows = examine(examined(laptop, real=False))
    hardware = [row for row in rows if row.check in {check.name for check in CHECKS if check.hardware}]
    assert hardware and all((row.level, row.found) == (Level.SKIPPED, "not a Raspberry Pi") for row in hardware)
    assert fit([row for row in rows if row.check != "loop jitter"])
    real = examine(examined(laptop), quick=True)
    assert found(real, "computer").level is F and not fit(real)
    with pytest.raises(UnfitError, match="not a Raspberry Pi.*edgebot run --sim"):
        refuse_unfit(examined(laptop))


def test_mock_pins_are_no_pi_and_drive(tmp_path: Path) -> None:
    laptop = Laptop("pi5-trixie", tmp_path)
    laptop.environment["GPIOZERO_PIN_FACTORY"] = "mock"
    refuse_unfit(examined(laptop))


def test_a_check_that_falls_over_is_no_failure_of_the_robot(pi: CapturedPi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CapturedPi, "space", lambda self, path: 1 / 0)
    row = found(examine(examined(pi), quick=True), "disk")
    assert row.level is W and "ZeroDivisionError" in row.found


def test_the_runtime_refuses_a_machine_that_is_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setattr(Machine, "model", "")
    robot = tmp_path / "robot.toml"
    robot.write_bytes((Path(load.__code__.co_filename).parent / "example.toml").read_bytes())
    assert cli(["run", "--robot", str(robot), "--policy", "light", "--duration", "1"]) == 2
    said = capsys.readouterr().err
    assert "this machine should not drive (computer: " in said and said.count("\n") == 1


def test_the_short_form_is_short(pi: CapturedPi) -> None:
    refuse_unfit(examined(pi))  # what is imported is imported
    began = time.process_time()  # of this process: what other processes do does not count
    for _ in range(5):
        refuse_unfit(examined(pi))
    assert (time.process_time() - began) / 5 < 0.1


def test_this_machine_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli(["doctor", "--sim", "--jitter", "0.2", "--json"])
    out = json.loads(capsys.readouterr().out)
    assert out["robot"] == "simulated" and {"check", "level", "found", "mend"} == set(out["rows"][0])
    failures = [row for row in out["rows"] if row["level"] == "failure"]
    assert [row for row in failures if row["check"] != "loop jitter"] == []
    assert code == (1 if failures else 0) and out["drives"] is not bool(failures)


def test_the_table_and_its_exit_code(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "model", "")
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    example = Path(load.__code__.co_filename).parent / "example.toml"
    assert cli(["doctor", "--robot", str(example), "--quick"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "should not drive a real robot" in said.err and "$ edgebot run --sim" in said.err


def test_sim_and_robot_are_two_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["doctor", "--sim", "--robot", "robot.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_kernels_structures_are_read() -> None:
    chip = lines.read_chip("/dev/gpiochip0", struct.pack("=32s32sI", b"gpiochip0", b"pinctrl-bcm2711", 58))
    assert chip == lines.Chip("/dev/gpiochip0", "pinctrl-bcm2711", 58)
    data = struct.pack("=32s32sIIQ", b"GPIO17", b"lg", 17, 0, 1 | 8).ljust(256, b"\0")
    assert lines.read_line(data) == lines.Line(True, "lg", True)
    assert lines.chip_of(Path(os.devnull)) is None
    assert struct.calcsize("=32s32sI") == lines._CHIP_INFO >> 16 & 0x3FFF
    assert len(data) == lines._LINE_INFO >> 16 & 0x3FFF


def late(p99: float, count: int) -> Callable[[float], tuple[Any, int]]:
    def measure(seconds: float) -> tuple[Any, int]:
        from edge.timing import Latency

        latency = Latency()
        for _ in range(100):
            latency.add(p99)
        return latency, count

    return measure


@pytest.mark.parametrize(
    ("p99", "count", "level"), [(1e-4, 0, Level.OK), (3e-3, 0, W), (1e-4, 1, W), (0.03, 100, F)]
)
def test_jitter_is_judged(
    p99: float, count: int, level: Level, pi: CapturedPi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jitter, "measure", late(p99, count))
    (row,) = jitter.jitter(examined(pi))
    assert row.level is level


def test_jitter_is_measured() -> None:
    latency, count = jitter.measure(0.2)
    assert latency.count == 10 and 0 <= count <= 10 and latency.largest > 0


def test_the_doctor_starts_without_the_robots_libraries() -> None:
    code = (
        "import sys; from edge.doctor import checks;"
        "print([name for name in ('gpiozero', 'lgpio', 'picamera2', 'tensorflow', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_another_robot_of_the_same_machine(pi: CapturedPi) -> None:
    config = load()
    other = config.model_copy(update={"drive": replace_pin(config)})
    assert found(examine(examined(pi, other)), "units").level is F


def replace_pin(config: RobotConfig) -> Any:
    left = config.drive.left.model_copy(update={"forward_pin": 16})
    return config.drive.model_copy(update={"left": left})


