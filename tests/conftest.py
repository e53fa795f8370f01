"""What every test stands on: bounded threads, data that may be absent, and skips that must be known."""

from __future__ import annotations

import fnmatch
import os
import signal
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
SKIPS = ROOT / "tests" / "skips.txt"

collect_ignore = [] if os.environ.get("EDGEBOT_ROW") else ["rows"]  # the tests of an environment, in that environment

# The suite runs in several processes at once, so each keeps to one thread. Set before numpy or TensorFlow loads.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell starts what it puts into the background with Ctrl-C ignored, and every process under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no bug, and the same examples in every CI run make a failure the change's own.
hypothesis.settings.register_profile(
    "edgebot",
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("edgebot")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos, detectors and recordings beside the repository; skips where it is absent."""
    folder = Path(os.environ.get("EDGEBOT_SHARED") or ROOT.parent / "shared") / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data is absent")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hardware", action="store_true", help="run the tests that need a robot")
    parser.addoption("--hil", action="store_true", help="run tests/hil on a robot; EDGEBOT_ROBOT names its robot.toml")
    parser.addoption("--loopback", action="store_true", help="with --hil: the electrical cases, on jumper wires")
    parser.addoption("--strict-skips", action="store_true", help="fail on a skip whose reason is not in skips.txt")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--hardware"):
        for item in items:
            if item.get_closest_marker("hardware"):
                item.add_marker(pytest.mark.skip(reason="needs a robot: run with --hardware"))


# Skips. Each process (xdist's workers, or the only one) notes its own; the controller gathers them, prints every one,
# and under CI fails the run for a reason that tests/skips.txt does not list: a test nobody runs protects nothing.

_SKIPS = pytest.StashKey[set[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SKIPS] = set()
    config.pluginmanager.register(_Noter(config), "edgebot-skips")


class _Noter:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker = hasattr(config, "workeroutput")
        # With workers, the controller hears of the same skips twice, and of skipped modules not at all.
        self.listens = self.worker or not getattr(config.option, "numprocesses", None)

    def note(self, report: Any) -> None:
        if not self.listens or not report.skipped:
            return
        if hasattr(report, "wasxfail"):
            reason = report.wasxfail or "xfail without a reason"
        else:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.config.stash[_SKIPS].add((report.nodeid, " ".join(reason.removeprefix("Skipped: ").split())))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self.config.stash[_SKIPS] |= {tuple(skip) for skip in getattr(node, "workeroutput", {}).get("skips", ())}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.worker:
            session.config.workeroutput["skips"] = sorted(self.config.stash[_SKIPS])  # type: ignore[attr-defined]
        elif _strict(session.config) and unlisted(self.config.stash[_SKIPS]) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not _strict(config):
            return
        for nodeid, reason in sorted(config.stash[_SKIPS]):
            terminalreporter.write_line(f"skipped: {nodeid}: {reason}")
        for nodeid, reason in unlisted(config.stash[_SKIPS]):
            terminalreporter.write_line(f"FAILED {nodeid}: skipped for a reason not in tests/skips.txt: {reason}")


def _strict(config: pytest.Config) -> bool:
    return bool(config.getoption("--strict-skips")) or os.environ.get("CI") == "true"


def unlisted(skips: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The skips whose reason matches no line of tests/skips.txt (shell patterns; `#` opens a comment)."""
    lines = (line.strip() for line in SKIPS.read_text(encoding="utf-8").splitlines())
    known = [line for line in lines if line and not line.startswith("#")]
    return sorted(skip for skip in skips if not any(fnmatch.fnmatchcase(skip[1], pattern) for pattern in known))
