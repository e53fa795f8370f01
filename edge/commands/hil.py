"""`edgebot hil`: the robot's parts as test cases, on the robot itself or on a simulated one."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.arguments import Parser, number, whole, writing
from edge.deploy.pi.place import Place
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.hil.electrical import Electrical
    from edge.hil.found import Case
    from edge.hil.report import Subject
    from robot.config import RobotConfig

EXAMPLES = """\
examples:
  edgebot hil --sim                           the guided cases on a simulated robot: what there is to see
  edgebot hil --sim --fault motors:swapped    the same with a part broken: its case fails
  edgebot hil                                 on a robot: guided, about ten minutes; wheels off the ground at first
  edgebot hil --only range,light              some of it; --list tells the names
  edgebot hil --loopback                      a bare Pi with jumper wires (`edgebot wiring --loopback`), unattended
  edgebot hil --loopback --sim                the same on virtual pins, with real processes

The guided cases ask somebody at the terminal (over ssh: ssh -t). Before a wheel turns, the emergency stop has been
tried and it was confirmed that the wheels are off the ground; duties are low, motions short. Ctrl-C anywhere: the
wheels first. A deployed robot drives by itself: `sudo systemctl stop edgebot` comes first. Reports go to -o:
report.html, junit.xml, results.json and calibration.toml, which belongs beside robot.toml. Exit code: 0 all passed (or
had no meaning here), 1 a part is not as it must be or was not looked at, 2 a mistake in the arguments or files,
130 after Ctrl-C."""

INSTALLED = Path("/etc/edgebot/robot.toml")
DEPLOYED = Place().current
CODES = {"interrupted": 130, "terminated": 143}


def main(argv: list[str]) -> int:
    """Run the cases, tell, write the reports. Returns the exit code."""
    args = _parser().parse_args(argv)
    from edge.hil.cases import GUIDED, chosen
    from edge.hil.loopback import LOOPBACK
    from edge.hil.runner import armed
    from robot.config import load

    every = LOOPBACK if args.loopback else GUIDED
    if args.list:
        for case in every:
            print(f"{case.name:<12}{case.title}")
        return 0
    if args.fault and (args.loopback or not args.sim):
        raise UsageError("--fault breaks a simulated robot under the guided cases; add --sim, or leave it out")
    path = _robot(args)
    config = load(path)
    cases = armed(chosen(every, args.only), every)
    if not args.sim and not args.loopback:
        _attended(cases)
    return _run(args, path, config, cases)


def _robot(args: Namespace) -> Path | None:
    if args.robot is not None or args.sim:
        return args.robot  # type: ignore[no-any-return]
    found = next((path for path in (Path("robot.toml"), INSTALLED) if path.is_file()), None)
    if found is None:
        raise UsageError(
            f"neither ./robot.toml nor {INSTALLED} is here; name the robot's with --robot, or take --sim for a "
            "simulated one"
        )
    return found


def _attended(cases: list[Case]) -> None:
    """Refuse what needs somebody where nobody is."""
    if sys.stdin.isatty():
        return
    needing = [case.name for case in cases if case.person or case.moves]
    if needing:
        raise UsageError(
            f"{', '.join(needing)} need somebody who looks and answers, and standard input is no terminal; run it in "
            "one (over ssh: ssh -t), or choose --loopback, or --only camera,loop"
        )


def _run(args: Namespace, path: Path | None, config: RobotConfig, cases: list[Case]) -> int:
    from edge.hil.checklist import Checklist
    from edge.hil.guided import real_bench, simulated_bench
    from edge.hil.operator import Person
    from edge.hil.report import Subject, as_json, write
    from edge.hil.runner import Run
    from robot import calibration

    started = datetime.now(UTC)
    folder = args.output or Path("hil") / started.astimezone().strftime("%Y%m%d-%H%M%S")
    checklist = Checklist(cases)
    with ExitStack() as stack:
        bench: Any
        operator = None
        if args.loopback:
            bench = electrical(config, args.sim, stack)
        elif args.sim:
            bench = simulated_bench(config, args.fault, args.seed, args.loop)
        else:
            bench = real_bench(config, Person(args.assume_safe, checklist.pause), args.loop)
        stack.callback(bench.close)
        if not args.loopback:
            operator = bench.operator
        _probe(folder)
        run = Run(cases, bench, operator, checklist)
        with checklist.shown():
            run.go()
    earlier = {} if path is None else calibration.tables(path)
    kind = "loopback" if args.loopback else "guided"
    subject = Subject(config.name, "simulated" if args.sim else "real", kind, started, earlier)
    with writing(folder):
        files = write(folder, subject, run.outcomes, run.calibration())
    _tell(files, path, subject)
    if args.json:
        print(json.dumps(as_json(subject, run.outcomes, run.calibration())))
    if run.interrupted is not None:
        print(f"edgebot: {run.interrupted.ended} by {run.interrupted.name}; the wheels are at zero", file=sys.stderr)
        return CODES[str(run.interrupted.ended)]
    return 0 if run.passed else 1


def electrical(config: RobotConfig, simulated: bool, stack: ExitStack) -> Electrical:
    """The bench of the loopback: this machine's pins, or mock ones with real processes."""
    from edge.hil.jumpers import jumpers

    plan = jumpers(config)
    if not simulated:
        from edge.hil.electrical import real

        return real(plan)
    from edge.hil.mock_jumpers import mock

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgebot-hil-"))
    return mock(plan, Path(folder), slack_s=0.3)


def _probe(folder: Path) -> None:
    """Make the reports' folder and try it: a run takes ten minutes of somebody's time."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _tell(files: dict[str, Path], robot: Path | None, subject: Subject) -> None:
    from robot import calibration

    print(f"report: {files['report.html']}", file=sys.stderr)
    if calibration.NAME not in files:
        return
    file = files[calibration.NAME]
    if subject.simulated:
        what = "of a simulated robot, and not for a real one"
    elif DEPLOYED.exists():
        what = ("copy it beside the robot.toml on your laptop, and `./deploy.sh HOST --config-only` there takes it "
                "into use")  # fmt: skip
    else:
        assert robot is not None, "a real robot has a file"
        place = shlex.join(["cp", str(file), str(robot.with_name(calibration.NAME))])
        what = f"`{place}` takes it into use, there and in simulation"
    print(f"measured: {file}; {what}", file=sys.stderr)


def _parser() -> Parser:
    from edge.commands.run import fault

    parser = Parser("hil", "Test a robot's hardware, part by part, and measure what is to be calibrated.", EXAMPLES)
    parser.add_argument(
        "--robot", type=Path, metavar="FILE", help=f"its robot.toml (default ./robot.toml, else {INSTALLED})"
    )
    parser.add_argument("--only", metavar="CASE,...", help="some cases only; --list tells their names")
    parser.add_argument("--list", action="store_true", help="the cases' names, and no more")
    parser.add_argument(
        "--loopback", action="store_true",
        help="the electrical cases, unattended, on a bare Pi with jumpers: no motors' supply; see `edgebot wiring`",
    )  # fmt: skip
    parser.add_argument("--sim", action="store_true", help="a simulated robot, and somebody simulated beside it")
    parser.add_argument(
        "--fault", type=fault, action="append", default=[], metavar="PART:KIND[:FROM[:TO[:VALUE]]]",
        help="with --sim: break a part, as with `edgebot run`",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="with --sim: of all chance (default 0)")
    parser.add_argument(
        "--loop", type=number(1, 3600, "seconds"), default=60.0, metavar="S",
        help="how long the loop's punctuality is measured (default 60)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="of the reports (default hil/DATE-TIME)")
    parser.add_argument(
        "--assume-safe", action="store_true",
        help="RISKY: do not ask whether the wheels are off the ground and a hand is at the switch",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as JSON to stdout")
    return parser
