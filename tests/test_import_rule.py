"""The rooms of the house: who may import whom, wherever the import stands."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKSHOP = {"tensorflow", "keras", "gymnasium", "tensorboard", "matplotlib", "jinja2", "imageio_ffmpeg", "pyarrow"}

# Room -> what it never imports, not even inside a function.
NEVER = {
    "robot": {"edge", "convert", "train"} | WORKSHOP,
    "edge": {"convert", "train"} | (WORKSHOP - {"tensorflow"}),
    "convert": {"train", "gymnasium"},
    "train": set(),
}
# edge's interpreter takes TensorFlow's where no other is installed, by its name in a table and never by an import.
HARDWARE = {"gpiozero", "lgpio", "RPi", "picamera2", "libcamera", "spidev", "smbus2", "evdev", "simplejpeg"}
# These stand on subclasses of a hardware library, so they load it at once, and are loaded lazily themselves.
SUBCLASSES_HARDWARE = {"robot/pi/virtual.py": "robot.pi.virtual", "robot/pi/rig.py": "robot.pi.rig"}
# What the robot's side may import: the base install, the hardware's libraries, the interpreters.
BASE = {"numpy", "cv2", "pydantic", "rich", "mcap", "lz4", "zstandard", "gpiozero", "ai_edge_litert", "flatbuffers"}
BASE |= {"tflite_runtime"}  # where it is there


class Import(NamedTuple):
    path: str
    line: int
    module: str
    lazy: bool
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports(path: Path) -> Iterator[Import]:
    """Every import of a module: statements anywhere, and import_module or __import__ of a literal name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(ROOT).as_posix()

    def walk(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute, so that the rooms can be told apart"
            modules = [node.module or ""]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("import_module", "__import__", "find_spec") and isinstance(node.args[0].value, str):
                modules = [node.args[0].value]
        for module in modules:
            yield Import(name, node.lineno, module, lazy, typing_only)  # type: ignore[attr-defined]
        inner_lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for field, value in ast.iter_fields(node):
            guarded = typing_only or (
                isinstance(node, ast.If) and field == "body" and ast.unparse(node.test).endswith("TYPE_CHECKING")
            )
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from walk(child, inner_lazy, guarded)

    yield from walk(tree, False, False)


def modules_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def all_imports(room: str) -> list[Import]:
    return [found for path in modules_of(room) for found in imports(path)]


def top(found: Import) -> str:
    return found.module.split(".")[0]


@pytest.mark.parametrize("room", NEVER)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    assert modules_of(room)
    wrong = [str(found) for found in all_imports(room) if top(found) in NEVER[room]]
    if room == "edge":
        wrong += [str(found) for found in all_imports(room) if top(found) == "tensorflow"]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ["robot", "edge"])
def test_the_robots_side_stands_on_the_base_install(room: str) -> None:
    known = BASE | HARDWARE | set(NEVER) | set(sys.stdlib_module_names)
    wrong = [str(found) for found in all_imports(room) if top(found) not in known]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", NEVER)
def test_hardware_is_imported_only_when_used(room: str) -> None:
    wrong = [
        str(found)
        for found in all_imports(room)
        if not (found.lazy or found.typing_only)
        and found.path not in SUBCLASSES_HARDWARE
        and (top(found) in HARDWARE or found.module in SUBCLASSES_HARDWARE.values())
    ]
    assert not wrong, "\n".join(wrong)


def test_the_robot_package_imports_nothing() -> None:
    assert list(imports(ROOT / "robot" / "__init__.py")) == []


def test_every_folder_of_modules_is_a_package() -> None:
    bare = {path.parent for room in NEVER for path in modules_of(room) if not (path.parent / "__init__.py").exists()}
    assert not bare, f"setuptools would leave out {sorted(map(str, bare))}: add an __init__.py"


def test_the_rule_sees_an_import_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "m.py").write_text(
        "import a.b\n"
        "def f():\n    from c import d\n    import importlib\n    importlib.import_module('e.f')\n"
        "if TYPE_CHECKING:\n    import g\n"
        "class K:\n    def m(self):\n        try:\n            import h\n        except ImportError: pass\n"
    )
    found = [(item.module, item.lazy, item.typing_only) for item in imports(tmp_path / "m.py")]
    assert found == [
        ("a.b", False, False), ("c", True, False), ("importlib", True, False), ("e.f", True, False),
        ("g", False, True), ("h", True, False),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("room", ["robot", "edge"])
def test_the_robots_side_loads_without_the_workshop(room: str) -> None:
    """Import every module in one process and look at what came along: the rule, as it really happens."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules_of(room)]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    names = [name for name in names if name not in SUBCLASSES_HARDWARE.values()]
    forbidden = sorted(WORKSHOP | {"convert", "train"} | HARDWARE)
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted(set({forbidden!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("[]"), result.stdout
