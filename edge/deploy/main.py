"""`./deploy.sh HOST...`: arguments, robots side by side, and a table of what became of each."""

from __future__ import annotations

import argparse
import difflib
import getpass
import json
import queue
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge.commands.arguments import Parser, number, whole
from edge.deploy import hil
from edge.deploy import release as releases
from edge.deploy.host import Options, Outcome, deploy
from edge.deploy.link import Link, own_options, terminal
from edge.deploy.release import Wanted, checked
from edge.deploy.targets import Target, parse, read_hosts
from edge.doctor.checks import CHECKS
from edge.errors import EdgeError, UsageError
from robot.errors import RobotError

EXAMPLES = """\
examples:
  ./deploy.sh robot.local                          robot.toml here, to that robot; the first time it asks
  ./deploy.sh pi@10.0.0.7:2222 --policy person     another port, another policy
  ./deploy.sh --hosts robots.txt --yes             many at once; a line is HOST [robot=FILE] [policy=NAME|MODEL]
  ./deploy.sh robot.local --policy runs/light/model.tflite
  ./deploy.sh robot.local --dry-run                what would change
  ./deploy.sh robot.local --config-only            robot.toml alone; --models-only: the models alone
  ./deploy.sh robot.local --status                 what runs, and what it could go back to
  ./deploy.sh robot.local --rollback               the release before
  ./deploy.sh robot.local --hil --only motors      the hardware tests, on the robot
  ./deploy.sh bench.local --sim                    a Pi without a chassis: the simulated body
  ./deploy.sh robot.local --policy light -- --camera        words after -- go to `edgebot run`

A release is prepared beside the running one and tried: units active, `edgebot doctor` content, the loop going round
for 10 s with the wheels held at zero (--drive: not held). It stays when this machine confirms it; else, also when the
link or the power goes, the release before runs again. Afterwards the robot drives by its policy whenever it is on.
Exit code: 0 where all robots are as asked, 1 where one is not, 2 for a mistake in the arguments or in every robot's
files, 130 after Ctrl-C."""

_out = threading.Lock()


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        return _main(argv)
    except (EdgeError, RobotError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("deploy: interrupted; what was not confirmed is reverted on the robots", file=sys.stderr)
        return 130


def _main(argv: list[str]) -> int:
    at = next((index for index, word in enumerate(argv) if word in ("--", "--hil")), len(argv))
    hardware, others = argv[at : at + 1] == ["--hil"], argv[at + 1 :]  # what follows is for another program
    args, words = _parser().parse_known_args(argv[:at])
    if words:
        raise UsageError(f"{words[0]!r} is no option of deploy; `./deploy.sh --help` shows them")
    targets = [parse(text) for text in args.host] + [one for path in args.hosts for one in read_hosts(path)]
    if not targets:
        where = ", before --hil" if hardware else ""
        raise UsageError(f"which robot? `./deploy.sh robot.local`{where}; `./deploy.sh --help` shows more")
    seen: set[tuple[str, int]] = set()
    for one in targets:
        if (one.address, one.port) in seen:
            raise UsageError(f"{one.text!r} is named twice; once is enough")
        seen.add((one.address, one.port))
    own_options()  # a mistake in them is no robot's
    options = _options(args)
    if hardware:
        if options != _options(_parser().parse_args([])):
            raise UsageError("only robots go before --hil; what follows it goes to `edgebot hil`")
        began = time.monotonic()
        with _folder() as name:
            codes, outcomes = hil.test(targets, others, Path(name))
        _table(outcomes, time.monotonic() - began)
        return max(codes)
    if others and options.do != "deploy":
        raise UsageError(f"{others[0]!r} after -- is for `edgebot run`, and --{options.do} starts none; leave it out")
    wanted, outcomes = _checked(targets, args, others) if options.do == "deploy" else (dict.fromkeys(targets), {})
    if args.ask_sudo:
        if not terminal():
            raise UsageError("--ask-sudo needs a terminal to ask in")
        options = replace(options, password=getpass.getpass("password for sudo on the robots: "))
    began = time.monotonic()
    questions = _Questions(args.yes)
    options = replace(options, ask=questions.ask)
    with _folder() as name, ThreadPoolExecutor(args.jobs) as pool, questions:
        futures = {target: pool.submit(_one, target, Path(name), one, options) for target, one in wanted.items()}
        questions.answer(list(futures.values()))
        outcomes |= {target: future.result() for target, future in futures.items()}
    outcomes = {target: outcomes[target] for target in targets}
    _table(outcomes, time.monotonic() - began)
    if args.json:
        rows = [{"host": at.text, "ok": one.ok, "words": one.words, **one.detail} for at, one in outcomes.items()]
        print(json.dumps(rows))
    return 0 if all(one.ok for one in outcomes.values()) else 1


def _folder() -> tempfile.TemporaryDirectory[str]:
    """For the sockets of shared connections, whose paths may have a hundred bytes: macOS's own folder is too long."""
    return tempfile.TemporaryDirectory(prefix="edgebot-ssh-", dir="/tmp")


def _checked(
    targets: list[Target], args: argparse.Namespace, others: list[str]
) -> tuple[dict[Target, Wanted | None], dict[Target, Outcome]]:
    """What each robot is to run, checked before anything is copied anywhere; and those whose files cannot be.

    Raises:
        EdgeError, RobotError: no robot's can.
    """
    wanted: dict[Target, Wanted | None] = {}
    refused: dict[Target, Outcome] = {}
    for target in targets:
        try:
            wanted[target] = checked(Wanted(
                Path(target.robot) if target.robot else args.robot, target.policy or args.policy, tuple(args.model),
                args.sim, tuple(others),
            ))  # fmt: skip
        except (EdgeError, RobotError) as error:
            refused[target] = Outcome(False, f"{error} (nothing was copied)")
            if len(refused) == len(targets) and len({one.words for one in refused.values()}) == 1:
                raise
    return wanted, refused


class _Questions:
    """What robots side by side ask whoever sits here, one at a time and in the main thread, where Ctrl-C arrives."""

    def __init__(self, yes: bool) -> None:
        self._yes = yes
        self._asked: queue.SimpleQueue[tuple[str, Future[bool]]] = queue.SimpleQueue()
        self._over = False

    def __enter__(self) -> _Questions:
        return self

    def __exit__(self, *exception: object) -> None:
        """Whoever still waits gets a no."""
        self._over = True
        while not self._asked.empty():
            self._asked.get()[1].set_result(False)

    def ask(self, question: str) -> bool:
        """From a robot's thread; no where nobody can be asked."""
        if self._yes or not terminal():
            return self._yes
        answer: Future[bool] = Future()
        self._asked.put((question, answer))
        while not answer.done() and not self._over:
            with suppress(TimeoutError):
                return answer.result(0.1)
        return answer.done() and answer.result()

    def answer(self, robots: list[Future[Outcome]]) -> None:
        """Put the questions until every robot is done."""
        while not all(robot.done() for robot in robots):
            with suppress(queue.Empty):
                question, answer = self._asked.get(timeout=0.1)
                with _out:
                    try:
                        agreed = input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
                    except EOFError:
                        agreed = False
                answer.set_result(agreed)


def _options(args: argparse.Namespace) -> Options:
    values = vars(args)
    chosen = [name for name in ("rollback", "status", "uninstall", "prune") if values[name]]
    if values["models_only"] and values["config_only"]:
        raise UsageError("--models-only and --config-only together leave out only the code; deploy without them")
    chosen += [name for name in ("models-only", "config-only") if values[name.replace("-", "_")]]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other; give one")
    known = [check.name for check in CHECKS]
    for name in values["accept"]:
        if name not in known and not name.startswith("model "):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`edgebot doctor` shows them, in its first column"
            raise UsageError(f"--accept: {name!r} is no line of `edgebot doctor`; {hint}")
    parts = releases.MODELS if values["models_only"] else releases.CONFIG if values["config_only"] else ()
    return Options(
        do=chosen[0] if chosen and not parts else "deploy", parts=parts, drive=values["drive"],
        dry=values["dry_run"], keep=3 if values["keep"] is None else values["keep"], accept=tuple(values["accept"]),
        wait_s=values["wait"], keep_recordings=values["keep_recordings"], set_clock=values["set_clock"],
    )  # fmt: skip


def _one(target: Target, folder: Path, wanted: Wanted | None, options: Options) -> Outcome:
    def tell(words: str) -> None:
        with _out:
            for line in words.splitlines():
                print(f"{target.text}: {line}", file=sys.stderr, flush=True)

    try:
        with Link(target, folder, terminal()) as link:
            return deploy(target, link, wanted, options, tell)
    except (EdgeError, RobotError) as error:
        return Outcome(False, str(error))
    except OSError as error:  # ssh or rsync is missing here
        return Outcome(False, f"{error.filename or 'a program'}: {error.strerror or error}")
    except Exception as error:  # the other robots go on, and the table is shown
        return Outcome(False, f"deploy itself failed: {type(error).__name__}: {error}")


def _table(outcomes: dict[Target, Outcome], seconds: float) -> None:
    width = max(len(target.text) for target in outcomes)
    print(f"\n{'robot':<{width}}  result ({seconds:.0f} s)", file=sys.stderr)
    for target, outcome in outcomes.items():
        print(f"{target.text:<{width}}  {'ok' if outcome.ok else 'FAILED'}: {outcome.words}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser("deploy", "Bring edgebot onto Raspberry Pi robots over ssh, and keep them running.", EXAMPLES)
    parser.prog = "./deploy.sh"
    parser.add_argument("host", nargs="*", metavar="HOST", help="[user@]host[:port]")
    parser.add_argument("--hosts", type=Path, action="append", default=[], metavar="FILE", help="a file of robots")
    parser.add_argument("--robot", type=Path, default=Path("robot.toml"), metavar="FILE", help="(default %(default)s)")
    parser.add_argument("--policy", default="light", metavar="NAME|MODEL", help="what drives (default %(default)s)")
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="FILE", help="one more model")
    parser.add_argument("--sim", action="store_true", help="the simulated body: no pin is touched")
    for name, words in (
        ("rollback", "go back to the release before"),
        ("status", "tell what runs; nothing is changed"),
        ("uninstall", "remove everything that deploy made"),
        ("dry-run", "tell what would change"),
        ("models-only", "change only the models"),
        ("config-only", "change only robot.toml and what follows from it"),
        ("drive", "do not hold the wheels at zero while a release is tried"),
        ("yes", "agree to everything that would be asked: set-up, reboot, removal"),
        ("prune", "only remove old releases, all but --keep N"),
        ("keep-recordings", "with --uninstall: leave /var/lib/edgebot"),
        ("set-clock", "set the robot's clock as this machine's"),
        ("ask-sudo", "ask for the password that sudo wants on the robots"),
        ("hil", "run `edgebot hil` there; what follows goes to it; its reports come here, into hil/"),
        ("json", "print the table as JSON to stdout"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=words)
    parser.add_argument("--keep", type=whole(1, 1000), metavar="N", help="releases to keep on the robot (default 3)")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="CHECK", help="a line of `edgebot doctor` that may fail"
    )
    parser.add_argument(
        "--wait", type=number(0, 86400, "seconds"), default=60.0, metavar="S", help="for another deploy (default 60)"
    )
    parser.add_argument("--jobs", type=whole(1, 64), default=8, metavar="N", help="robots at once (default 8)")
    return parser
