"""What Python has: packages, NumPy against what the camera's libraries were built for, an interpreter, models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge.deploy.pi.place import Place
from edge.doctor.machine import Machine
from edge.doctor.rows import Examined, Row, failure, ok, skipped

NEEDED = ("numpy", "opencv-python-headless", "pydantic", "rich", "mcap", "gpiozero")
ALSO = {"opencv-python-headless": ("opencv-python", "opencv-contrib-python")}
INTERPRETERS = ("ai-edge-litert", "tflite-runtime", "tensorflow", "tensorflow-cpu")
LGPIO = (0, 2, 2)


def packages(examined: Examined) -> Iterator[Row]:
    """Everything of the base install, and lgpio in a version that works."""
    machine, name = examined.machine, "packages"
    versions = {package: machine.version(package) for package in NEEDED}
    for package, others in ALSO.items():
        versions[package] = versions[package] or next(filter(None, map(machine.version, others)), None)
    missing = [package for package, found in versions.items() if found is None]
    if missing:
        yield failure(name, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    else:
        yield ok(name, ", ".join(f"{package} {found}" for package, found in versions.items()))
    if machine.is_pi and machine.pins == "lgpio":
        yield _lgpio(examined)


def _lgpio(examined: Examined) -> Row:
    machine = examined.machine
    system = "sudo apt install python3-lgpio"
    mend = system if machine.python() >= (3, 13) else 'pip install "lgpio>=0.2.2"'
    found = machine.version("lgpio")
    if not machine.has_module("lgpio"):
        return failure("lgpio", "missing: the pins cannot be reached", mend)
    if found is not None and numbers(found) < LGPIO:  # what a wheels-only install takes for Python 3.13
        return failure("lgpio", f"{found} is broken; 0.2.2 is needed", f"pip uninstall -y lgpio && {mend}")
    return ok("lgpio", found or "the operating system's")


def numpy(examined: Examined) -> Iterator[Row]:
    """NumPy against what reads it: Bookworm's picamera2 (through simplejpeg) and tflite-runtime need NumPy 1."""
    machine, name = examined.machine, "numpy"
    found = machine.version("numpy")
    if found is None:
        yield skipped(name, "not installed")
        return
    major = numbers(found)[0]
    debian = re.search(r'^VERSION_ID="?(\d+)', machine.text("/etc/os-release") or "", re.MULTILINE)
    bookworm = machine.is_pi and debian is not None and debian[1] == "12"
    locked = "pip install -r locks/pi-bookworm.txt"
    if bookworm and major >= 2 and machine.has_module("picamera2"):
        yield failure(name, f"{found}, but Bookworm's picamera2 was built for NumPy 1", locked)
        return
    older = machine.version("tflite-runtime")
    if major >= 2 and older is not None and machine.version("ai-edge-litert") is None:
        yield failure(name, f"{found}, but tflite-runtime {older} needs NumPy 1", "pip install ai-edge-litert")
        return
    yield ok(name, f"{found}, fits" if machine.has_module("picamera2") else found)


def camera_libraries(examined: Examined) -> Iterator[Row]:
    """Whether picamera2 really imports, in a process of its own: a wrong NumPy shows only there."""
    machine = examined.machine
    if not machine.has_module("picamera2"):
        return  # the camera's row tells
    error = machine.import_error("picamera2")
    if error:
        trixie = machine.python() >= (3, 13)
        mend = "sudo apt install --reinstall python3-picamera2" if trixie else "pip install -r locks/pi-bookworm.txt"
        yield failure("picamera2", f"does not import ({error[:120]})", mend)
    else:
        yield ok("picamera2", "imports")


def interpreter(examined: Examined) -> Iterator[Row]:
    """One that opens the shipped detector."""
    from edge.errors import ModelError
    from edge.interpreter import open_model
    from edge.manifest import read
    from edge.perception.detector import SHIPPED

    try:
        read(SHIPPED)
    except ModelError:  # which `models` tells
        yield from interpreter_there(examined)
        return
    try:
        opened, _ = open_model(SHIPPED, "detector")
    except ModelError as error:
        forced = "EDGEBOT_INTERPRETER" in examined.machine.environment
        yield failure(
            "interpreter", str(error), "unset EDGEBOT_INTERPRETER" if forced else "pip install ai-edge-litert"
        )
        return
    version = next(filter(None, map(examined.machine.version, _distributions(opened.backend))), "")
    yield ok("interpreter", f"{opened.backend} {version}".strip())


def interpreter_there(examined: Examined) -> Iterator[Row]:
    """Whether one is installed: all that can be said without a model to open."""
    found = [package for package in INTERPRETERS if examined.machine.version(package)]
    if found:
        yield ok("interpreter", ", ".join(found))
    else:
        yield failure("interpreter", "no TFLite interpreter is installed", "pip install ai-edge-litert")


def models(examined: Examined) -> Iterator[Row]:
    """Each model's manifest against its own bytes."""
    from edge.errors import ModelError
    from edge.manifest import read
    from edge.perception.detector import SHIPPED

    shipped = sorted(Path(SHIPPED).parent.glob("*.tflite"))
    for path in (*shipped, *examined.models):
        try:
            _, manifest = read(path)
        except ModelError as error:
            yield failure(f"model {path.name}", str(error), _anew(path, path in shipped, examined.machine))
        else:
            yield ok(f"model {path.name}", f"{manifest.kind} {manifest.name}, sha256 {manifest.sha256[:12]}")


def _anew(path: Path, own: bool, machine: Machine) -> str:
    """What brings a damaged model back, where it lies."""
    if path.is_relative_to(Place(machine.root).opt):
        return "./deploy.sh HOST  # on the laptop"
    if own:
        return "pip install --force-reinstall --no-deps --no-build-isolation .  # in edgebot's source tree"
    return f"scp LAPTOP:{path.name} {path}" if machine.is_pi else f"edgebot convert RUN -o {path}"


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "0.2.2.0" is (0, 2, 2, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


def _distributions(backend: str) -> tuple[str, ...]:
    return tuple(package for package in INTERPRETERS if package.replace("-", "_").startswith(backend))
