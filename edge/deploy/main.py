"""`./deploy.sh HOST...`: arguments, robots side by side, and a table of what became of each."""

from __future__ import annotations

import getpass
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from edge.commands.arguments import Parser, number, whole
from edge.deploy import hil
from edge.deploy import release as releases
from edge.deploy.host import Options, Outcome, deploy
from edge.deploy.link import Link, terminal
from edge.deploy.release import Wanted, checked
from edge.deploy.targets import Target, parse, read_hosts
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
Exit code: 0 where all robots are as asked, 1 where one is not, 2 for a mistake in the arguments or files, 130 after
Ctrl-C."""

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
    if hardware:
        return hil.test(targets, others)
    options = _options(args)
    wanted: dict[Target, Wanted | None] = dict.fromkeys(targets)
    if options.do == "deploy":  # everything is checked before anything is copied anywhere
        for target in targets:
            wanted[target] = checked(Wanted(
                Path(target.robot) if target.robot else args.robot, target.policy or args.policy, tuple(args.model),
                args.sim, tuple(others),
            ))  # fmt: skip
    if args.ask_sudo:
        if not terminal():
            raise UsageError("--ask-sudo needs a terminal to ask in")
        options = replace(options, password=getpass.getpass("password for sudo on the robots: "))
    with tempfile.TemporaryDirectory(prefix="edgebot-ssh-") as name, ThreadPoolExecutor(args.jobs) as pool:
        began = time.monotonic()
        futures = {target: pool.submit(_one, target, Path(name), wanted[target], options) for target in targets}
        outcomes = {target: future.result() for target, future in futures.items()}
    _table(outcomes, time.monotonic() - began)
    if args.json:
        rows = [{"host": at.text, "ok": one.ok, "words": one.words, **one.detail} for at, one in outcomes.items()]
        print(json.dumps(rows))
    return 0 if all(one.ok for one in outcomes.values()) else 1


def _options(args: object) -> Options:
    values = vars(args)
    chosen = [name for name in ("rollback", "status", "uninstall", "prune") if values[name]]
    if values["models_only"] and values["config_only"]:
        raise UsageError("--models-only and --config-only together leave out only the code; deploy without them")
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other; give one")
    parts = releases.MODELS if values["models_only"] else releases.CONFIG if values["config_only"] else ()
    yes = values["yes"]

    def ask(question: str) -> bool:
        if yes or not terminal():
            return bool(yes)
        with _out:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    return Options(
        do=chosen[0] if chosen else "deploy", parts=parts, drive=values["drive"],
        dry=values["dry_run"], keep=3 if values["keep"] is None else values["keep"], accept=tuple(values["accept"]),
        wait_s=values["wait"], keep_recordings=values["keep_recordings"], set_clock=values["set_clock"], ask=ask,
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
