"""Where the patients are: real processes, the wheels as the pins' trace tells, and how punctual this machine is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from robot.config import RobotConfig, load
from robot.motord.config import of_robot
from robot.motord.trace import Moment, duties
from robot.types import STOP

ROOT = Path(__file__).resolve().parents[3]
PATIENT = Path(__file__).with_name("patient.py")
START_S = 60.0
"""Nothing is said about how long a start may take: this machine may be busy."""

T = TypeVar("T")

PERIOD_S = 0.02
HOLD_S = 0.2


class WheelsTurn(AssertionError):
    """The wheels turned when they should have stood."""


class NotDriving(AssertionError):
    """The robot did not go on."""


class StoodBefore(Exception):
    """The wheels happened to stand when the fault came, so that it proves nothing: do it again."""


def again(check: Callable[[], T]) -> T:
    """Do a fault again where a busy machine had stopped the robot just before it."""
    for _ in range(4):
        try:
            return check()
        except StoodBefore:
            continue
    return check()


class Patient:
    """One real process: `kind` is runtime or motord."""

    def __init__(
        self, kind: str, *arguments: str, folder: Path, first: str = "", environment: dict[str, str] | None = None,
        stdin: int | None = None,
    ) -> None:  # fmt: skip
        ours, theirs = socket.socketpair()
        self.kind = kind
        name = f"{kind}-{time.monotonic_ns()}"
        self.output, self.log = folder / f"{name}.out", folder / f"{name}.log"
        reading, writing = os.pipe()
        self.log_pipe = reading
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PATIENT), kind, *arguments],
                cwd=folder, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=output, stderr=writing,
                pass_fds=(theirs.fileno(),), start_new_session=True,
                env=os.environ
                | {"PATIENT_DOOR": str(theirs.fileno()), "PATIENT_FIRST": first, "PYTHONPATH": str(ROOT)}
                | (environment or {}),
            )  # fmt: skip
        os.close(writing)
        theirs.close()
        self._door = ours.makefile("rw", encoding="utf-8")
        ours.close()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """What it has said on standard error so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def begin(self, source: str) -> None:
        """Do harm without waiting for its end."""
        self._door.write(json.dumps(source) + "\n")
        self._door.flush()

    def end(self) -> Any:
        """What the harm's `value` came to."""
        try:
            line = self._door.readline()
        except OSError:
            line = ""
        if not line:
            raise NotDriving(f"the {self.kind} is gone: {self.text[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def do(self, source: str) -> Any:
        """Run Python inside, and return what it left in `value`."""
        self.begin(source)
        return self.end()

    def send(self, number: int) -> float:
        """A signal; returns when."""
        now = time.monotonic()
        os.kill(self.pid, number)
        return now

    def close_log(self) -> float:
        """Nobody reads its log any more."""
        os.close(self.log_pipe)
        self.log_pipe = -1
        return time.monotonic()

    def wait(self) -> int:
        """Its exit code."""
        code = self.process.wait(START_S)
        self._reader.join(5.0)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()

    def _read_log(self) -> None:
        import select

        with self.log.open("ab", buffering=0) as log:
            while (pipe := self.log_pipe) >= 0:
                with suppress(OSError, ValueError):
                    if not select.select([pipe], [], [], 0.05)[0]:
                        continue
                    data = os.read(pipe, 65536)
                    if not data:
                        return
                    log.write(data)


class Punctual:
    """Measures, all the while, how late this machine wakes a thread that sleeps for two milliseconds."""

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def late_s(self, since: float, until: float) -> float:
        """The worst delay within a span of time."""
        return max((late for stamp, late in list(self._found) if since <= stamp <= until + late), default=0.0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            due = time.monotonic() + 0.002
            time.sleep(0.002)
            now = time.monotonic()
            if now - due > 0.0005:
                self._found.append((now, now - due))


class Ward:
    """A robot in two processes, the motors' and the runtime's."""

    def __init__(self, folder: Path, config: RobotConfig | None = None) -> None:
        self.folder = folder
        self.config = load() if config is None else config
        self.pins = of_robot(self.config)
        (folder / "motord.json").write_text(self.pins.text())
        # A socket's path may have 107 bytes, and pytest's folders are long.
        self.short = Path(f"/tmp/ward-{os.getpid()}-{time.monotonic_ns() % 10**9}")
        self.short.mkdir()
        self.socket = self.short / "motord.sock"
        self.trace = folder / "trace"
        self.trace.touch()
        self._known: tuple[int, list[Moment]] = (-1, [])
        self.punctual = Punctual()
        self.patients: list[Patient] = []

    def motord(self, *arguments: str, **options: Any) -> Patient:
        """Start a motord, ready to be driven."""
        patient = Patient(
            "motord", "--config", str(self.folder / "motord.json"), "--socket", str(self.socket), "--pins", "mock",
            "--trace", str(self.trace), "--state", str(self.short), *arguments, folder=self.folder, **options,
        )  # fmt: skip
        self.patients.append(patient)
        self.until(lambda: self._listens(patient), patient)
        return patient

    def runtime(self, *arguments: str, policy: str = "spin", driving: bool = True, **options: Any) -> Patient:
        """Start a runtime; on return its robot drives."""
        patient = Patient(
            "runtime", "run", "--sim", "--realtime", "--json", "--policy", policy, "--task", "light", "--seed", "7",
            "--duration", "300", "--motord", str(self.socket), *arguments, folder=self.folder, **options,
        )  # fmt: skip
        self.patients.append(patient)
        if driving:
            self.until(self.turning, patient)
        return patient

    def _listens(self, patient: Patient) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def until(self, true: Callable[[], Any], patient: Patient | None = None, seconds: float = START_S) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not true():
            if patient is not None and patient.process.poll() is not None:
                code = patient.process.returncode
                raise NotDriving(f"the {patient.kind} ended with {code}: {patient.text[-2000:]}")
            if time.monotonic() > end:
                raise NotDriving(f"not so within {seconds:g} s; log: {patient.text[-2000:] if patient else ''}")
            time.sleep(0.01)

    def moments(self) -> list[Moment]:
        size = self.trace.stat().st_size
        if size != self._known[0]:
            self._known = (size, duties(self.trace, self.pins))
        return self._known[1]

    def turning(self) -> bool:
        """Whether the wheels turn now."""
        return self.moments()[-1].wheels != STOP

    def drives_on(self, after: float, seconds: float = START_S, patient: Patient | None = None) -> None:
        """The wheels turn (again) some time after a stamp. Raises `NotDriving`."""
        self.until(
            lambda: self.turning() and (self.moments()[-1].stamp > after or time.monotonic() > after), patient, seconds
        )

    def zero_within(self, fault: float, bound_s: float, hold_s: float = 0.0, *, halt: bool = False) -> float:
        """The wheels are at zero `bound_s` after the fault, by the pins' own stamps, and stay so for `hold_s`.

        This machine's own delay in waking whoever has to act, measured meanwhile, is allowed on top.

        Args:
            halt: it is enough that they were at zero within the bound, and they may turn again.

        Returns:
            Seconds from the fault to zero.

        Raises:
            WheelsTurn: they do not.
            StoodBefore: they were at zero already.
        """
        if [moment for moment in self.moments() if moment.stamp <= fault][-1].wheels == STOP:
            raise StoodBefore
        time.sleep(max(0.0, fault + bound_s - time.monotonic()) + 0.05)
        for _ in range(2):
            late = self.punctual.late_s(fault, fault + bound_s)
            moments = self.moments()
            deadline = fault + bound_s + 3 * late + 0.003
            before = [moment for moment in moments if moment.stamp <= deadline]
            at = before[-1]
            if halt:
                at = next((moment for moment in before if moment.stamp >= fault and moment.wheels == STOP), at)
            if at.wheels == STOP or time.monotonic() > deadline + 0.05:
                break
            time.sleep(deadline + 0.05 - time.monotonic())
        if at.wheels != STOP:
            raise WheelsTurn(f"{at.wheels} on the wheels {1e3 * (deadline - fault):.0f} ms after the fault")
        if hold_s:
            time.sleep(max(0.0, fault + hold_s - time.monotonic()))
            moved = [moment for moment in self.moments() if deadline < moment.stamp <= fault + hold_s]
            if any(moment.wheels != STOP for moment in moved):
                raise WheelsTurn(f"{moved} on the wheels while the fault went on")
        return at.stamp - fault

    def close(self) -> None:
        for patient in self.patients:
            patient.close()
        self.punctual.close()
        shutil.rmtree(self.short, ignore_errors=True)


@contextmanager
def ward(folder: Path, **options: Any) -> Iterator[Ward]:
    """A ward that is cleared whatever comes."""
    made = Ward(folder, **options)
    try:
        yield made
    finally:
        made.close()
