"""A Raspberry Pi that is a folder of files, for the checks to look at; tests break it in one place at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edge.doctor.lines import Chip, Line
from edge.doctor.machine import Machine, Space
from edge.doctor.rows import Examined
from edge.units.render import MOTORD_JSON, UNITS, Place, render
from robot.config import RobotConfig, load

DATA = Path(__file__).with_name("data")
PIS = ("pi4-bookworm", "pi5-trixie")


class CapturedPi(Machine):
    """Answers from a copy of one of `data/`'s folders, with its units installed."""

    def __init__(self, name: str, folder: Path, config: RobotConfig | None = None) -> None:
        shutil.copytree(DATA / name / "root", folder / "root")
        super().__init__(folder / "root", {})
        self.facts = json.loads((DATA / name / "machine.json").read_text())
        self.commands: dict[str, str] = json.loads((DATA / name / "commands.json").read_text())
        place = Place("/home/pi/robot.toml", "/home/pi/.venv/bin", "pi")
        files = render(load() if config is None else config, place)
        for unit in UNITS:
            self.write(f"/etc/systemd/system/{unit}", files[unit])
        self.write("/etc/edgebot/motord.json", files[MOTORD_JSON])

    def write(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def remove(self, path: str) -> None:
        target = self.root / path.lstrip("/")
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    def run(self, *command: str, limit_s: float = 5.0) -> str | None:
        return self.commands.get(" ".join(command))

    def version(self, distribution: str) -> str | None:
        return self.facts["versions"].get(distribution)

    def has_module(self, name: str) -> bool:
        return name in self.facts["modules"]

    def import_error(self, module: str) -> str:
        return self.facts["import_errors"].get(module, "")

    def python(self) -> tuple[int, int]:
        return tuple(self.facts["python"])

    def bits(self) -> int:
        return self.facts["bits"]

    def architecture(self) -> str:
        return self.facts["architecture"]

    def user(self) -> str:
        return self.facts["user"]

    def groups(self) -> set[str]:
        return set(self.facts["groups"])

    def may_use(self, path: str) -> bool:
        groups = {"gpio": "gpio", "vide": "video", "medi": "video", "spid": "spi"}
        return self.exists(path) and groups.get(path.removeprefix("/dev/")[:4]) in self.groups()

    def space(self, path: str) -> Space | None:
        return Space(self.facts["free_bytes"], self.facts["writable"])

    def chips(self) -> list[Chip]:
        return [Chip(*chip) for chip in self.facts["chips"] if self.may_use(chip[0])]

    def line(self, chip: Chip, number: int) -> Line | None:
        found = self.facts["lines"].get(str(number))
        return Line(False, "", False) if found is None else Line(True, found[0], bool(found[1]))

    def clock(self) -> float:
        return float(self.facts["clock"])


def examined(machine: Machine, config: RobotConfig | None = None, *, real: bool = True, **more: object) -> Examined:
    """The example robot on this machine, its jitter measured for a moment only."""
    return Examined(machine, load() if config is None else config, Path("robot.toml"), real, jitter_s=0.1, **more)  # type: ignore[arg-type]
