"""`edgebot run`: a policy on the robot, or on a simulated one."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge.commands import recording_arguments
from edge.commands.arguments import Parser, add_layout, detector_of, number, whole
from edge.commands.recording_arguments import wanted
from edge.commands.run_report import CODES, as_json, exit_code, heard_by_nobody, progress, report
from edge.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from edge.commands.recording_arguments import Wanted
    from edge.types import Policy
    from robot.config import RobotConfig
    from robot.remote.body import RemoteBody
    from robot.sim.faults import Fault, Kind, Part

EXAMPLES = """\
examples:
  edgebot run --sim --policy light --seed 7               a simulated robot seeks the lamp in room 7
  edgebot run --sim --policy person --realtime            at the speed of life, perception in its own process
  edgebot run --sim --policy follow --target largest      stays 1.2 m behind one of three persons who walk
  edgebot run --sim --policy runs/light/model.tflite --record run.mcap
  edgebot run --robot robot.toml --policy person --record recordings --keep-mb 2000
  edgebot run --sim --policy light --fault range:nan:3:6  the sonar says NaN from second 3 to 6
  edgebot run --robot robot.toml --policy range           on a real robot, until Ctrl-C
  edgebot run --body tcp://laptop --policy light          a Pi without a chassis drives what `edgebot sim --serve`
                                                          simulates on the laptop
  edgebot run --robot robot.toml --policy link --listen 0.0.0.0:7245
                                                          by hand from elsewhere, with `edgebot drive --to`

A simulated run ends when the goal is reached (the room knows the truth) or its time is up; a real one at
Ctrl-C or when its time is up. Open a recording with Foxglove. Exit code: 0 where the run ended as it should
(goal reached or not), 1 where the policy, perception, recording or body failed, 2 for a mistake in the
arguments or files, 130 after Ctrl-C, 143 after SIGTERM."""

DEFAULT_S = 60.0
SCORE = 0.4


def main(argv: list[str]) -> int:
    """Parse, run, tell. Returns the exit code."""
    args = parser().parse_args(argv)
    if not args.sim and args.robot is None and args.body is None:
        raise UsageError(
            "say which robot: --sim for a simulated one, --robot robot.toml for a real one, --body tcp://HOST for one "
            "that is simulated elsewhere"
        )
    if args.body is not None and (args.sim or args.robot is not None):
        raise UsageError("--body brings its own robot; leave out --sim and --robot")
    there = {
        "--seed": args.seed is not None, "--task": args.task, "--level": args.level, "--fault": args.fault,
        "--realtime": args.realtime,
    }  # fmt: skip
    if args.body is not None and (given := [name for name, is_given in there.items() if is_given]):
        raise UsageError(
            f"{' and '.join(given)}: that is said where the robot is simulated, to `edgebot sim --serve`, which keeps "
            "to the wall clock; leave it out here"
        )
    if args.robot is not None and not args.sim and (args.realtime or args.task or args.level or args.fault):
        raise UsageError("--realtime, --task, --level and --fault are for simulated runs; add --sim, or leave them out")
    recording = wanted(args)
    from robot.config import load

    if args.motord is not None and not (args.sim and (args.realtime or args.policy == "link")):
        raise UsageError(
            "--motord puts a motor process before simulated wheels, so it needs --sim --realtime; a real robot finds "
            "its own by itself"
        )
    remote = body_of(args)
    if remote is not None:
        with ExitStack() as stack:
            stack.callback(remote.close)
            return _drive(args, remote.config, recording, remote)
    config = load(args.robot)
    if args.sim and config.camera is not None:  # whose lens is ideal
        config = config.model_copy(update={"camera": config.camera.ideal()})
    return _drive(args, config, recording, None)


def body_of(args: Namespace) -> RemoteBody | None:
    """The body that `--body` names; None without it."""
    if args.body is None:
        return None
    from edge.link.wire import read_token
    from robot.remote.body import RemoteBody

    return RemoteBody(args.body, read_token(args.token, made_by="`edgebot sim --serve`"))


def _drive(args: Namespace, config: RobotConfig, recording: Wanted, remote: RemoteBody | None) -> int:
    from edge.session import Settings, open_session
    from edge.signals import Interrupted, stop_on_signal

    policy = policy_of(args, config)
    if args.hold is not None:
        from edge.policies.held import Held

        policy = Held(policy, args.hold)
    linked = args.policy == "link"
    task, seed = args.task or task_of(policy), args.seed or 0
    room = None
    if args.sim:
        from robot.sim.rooms import make_room

        room = make_room(task, args.level or "easy", seed)
    settings = Settings(
        room=room, seed=seed, task="" if linked else task_of(policy, task), realtime=args.realtime or linked,
        rate_hz=args.rate, motord=args.motord,
        camera=args.camera, detector=detector_of(args.detector, args), score=score_of(args, policy),
        record=recording.path,
        overwrite=recording.overwrite, record_frames=recording.frames, rotation=recording.rotation,
        faults=tuple(args.fault), opening=None if remote is None else remote.watching,
    )  # fmt: skip
    duration_s = args.duration if args.duration is not None else limit_s(task) if args.sim and not linked else None
    # Python hands the interpreter from thread to thread each 5 ms, a quarter of the loop's period.
    sys.setswitchinterval(0.0005)
    try:
        with stop_on_signal(lambda: None), open_session(config, policy, settings) as session:
            with progress(session, duration_s) as on_tick:
                summary = session.run(duration_s, on_tick)
            verdict = session.verdict()
    except Interrupted as signal:  # while things were being opened or closed
        print(f"edgebot: {signal.ended} by {signal.name}", file=sys.stderr)
        return CODES[str(signal.ended)]
    with heard_by_nobody():
        report(summary, verdict, session)
    if args.json:
        print(json.dumps(as_json(summary, verdict, session)))
    return exit_code(summary, session)


def policy_of(args: Namespace, config: RobotConfig) -> Policy:
    """The policy that `--policy` names; for "link" one that listens, and tells where."""
    if args.policy != "link":
        if args.listen is not None or (args.token is not None and args.body is None):
            raise UsageError("--listen and --token are for --policy link, which drives as `edgebot drive --to` asks")
        from edge.policies import make

        if args.target is not None and args.policy != "follow":
            raise UsageError("--target says whom --policy follow follows; leave it out for other policies")
        return make(args.policy if args.target is None else f"{args.policy}:{args.target}", config)
    from edge.link.robot import LinkPolicy
    from edge.link.wire import LISTEN, read_token

    policy = LinkPolicy(config, args.listen or LISTEN, read_token(args.token, make=True))
    with heard_by_nobody():
        print(f"edgebot: listening; `edgebot drive --to {policy.address}` drives", file=sys.stderr, flush=True)
    return policy


def fault(text: str) -> Fault:
    """One `--fault`: part and kind, then seconds from and to, and a value where the kind needs one."""
    from robot.sim.faults import Fault

    part, _, rest = text.partition(":")
    kind, *numbers = rest.split(":")
    try:
        start, end, value = ([float(found) for found in numbers] + [0.0, float("inf"), 0.0][len(numbers) :])[:3]
        if len(numbers) > 3:
            raise ValueError
    except ValueError:
        raise UsageError(f"--fault {text!r} cannot be read; write it like range:nan:3:6") from None
    return Fault(cast("Part", part), cast("Kind", kind), start, end, value)  # it takes names, and tells unknown ones


def task_of(policy: Any, default: str = "light") -> str:
    """The task that a policy is for: its own word, or its name's, or that of its observation; else `default`."""
    from edge.goal import TASKS

    for word in (getattr(policy, "task", None), policy.name):
        if word in TASKS:
            return str(word)
    return default


def score_of(args: Namespace, policy: Policy) -> float:
    """From which score on the policy gets detections: as asked, else as it likes (one that tracks likes weak ones)."""
    return float(getattr(policy, "score", SCORE) if args.score is None else args.score)


def limit_s(task: str) -> float:
    """How long a simulated run may take where nobody says."""
    from robot.sim.following import APPROACH_S, FOLLOW_S

    return APPROACH_S + FOLLOW_S if task == "follow" else DEFAULT_S


def parser() -> Parser:
    """Its arguments."""
    parser = Parser("run", "Run a policy on a robot, or on a simulated one, with the guard between.", EXAMPLES)
    parser.add_argument("--sim", action="store_true", help="a simulated robot (with --robot: of that description)")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml of a real robot; the example without it")
    parser.add_argument(
        "--policy", required=True, metavar="NAME|MODEL",
        help="light, range, person, follow, random, straight, a .tflite, or link: by hand from elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--body", metavar="tcp://HOST[:PORT]", help="drive the robot that `edgebot sim --serve` simulates there"
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT",
        help="for --policy link (default 127.0.0.1:7245; 0.0.0.0:7245 for all networks)",
    )  # fmt: skip
    parser.add_argument(
        "--token", type=Path, metavar="FILE",
        help="for --policy link: what drivers must have too; for --body: the simulation's (default "
        "~/.config/edgebot/link.token, made where missing)",
    )  # fmt: skip
    parser.add_argument(
        "--motord", type=Path, metavar="SOCKET", help="with --sim --realtime: put a running edgebot-motord in between"
    )
    parser.add_argument(
        "--hold", type=Path, metavar="FILE", help="while FILE is there: do everything, and keep the wheels at zero"
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), help="of the room and of all chance (default 0)")
    parser.add_argument(
        "--duration", type=number(0.02, 1e6, "seconds"), metavar="S", help="seconds (default with --sim: 60, follow 75)"
    )
    parser.add_argument("--realtime", action="store_true", help="simulate on the wall clock instead of at full speed")
    recording_arguments.add(parser)
    parser.add_argument(
        "--task", choices=("light", "range", "person", "follow", "demo"), help="kind of room (default: policy's)"
    )
    parser.add_argument("--level", choices=("easy", "hard"), help="of the room (default easy)")
    parser.add_argument(
        "--fault", type=fault, action="append", default=[], metavar="PART:KIND[:FROM[:TO[:VALUE]]]",
        help="break a part of the simulated robot: range, light, camera, motors, ...: nan, dropout, disconnect, ...",
    )  # fmt: skip
    parser.add_argument("--camera", action="store_true", help="look and record though the policy needs no camera")
    parser.add_argument("--detector", type=Path, metavar="MODEL", help="a detector's .tflite (default: the shipped)")
    add_layout(parser)
    parser.add_argument(
        "--target", metavar="WHO",
        help="for --policy follow: nearest (default), largest, centre, or the number of an identity",
    )  # fmt: skip
    parser.add_argument(
        "--score", type=number(0.01, 0.99), help="detections above it count (default 0.4; person 0.2, follow 0.15)"
    )
    parser.add_argument("--rate", type=number(1, 50), default=50.0, metavar="HZ", help="of the loop (default 50)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON to stdout")
    return parser
