"""`edgebot sim --serve`: a simulated robot for a runtime on another machine, the processor in the loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError

EXAMPLES = """\
examples, on the laptop and then on the Pi:
  edgebot sim --serve --listen 0.0.0.0:7246 --task light --seed 7
  edgebot run --body tcp://laptop.local --policy light --duration 60

The token, ~/.config/edgebot/link.token, is made on the first start; the Pi needs the same file:
  scp ~/.config/edgebot/link.token robot.local:.config/edgebot/

Each run begins in the same room anew; the simulation says how each ended. One runtime drives at a time. The wheels
are at zero 0.2 s after the last command that came through (drive.command_timeout_s), and at once when the connection
closes. Ctrl-C ends it."""

LISTEN = "127.0.0.1:7246"


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C. Returns the exit code."""
    args = _parser().parse_args(argv)
    if not args.serve:
        raise UsageError("say what to do: --serve (a simulated run on this machine is `edgebot run --sim`)")
    from edge.goal import TASKS, Goal
    from edge.link.wire import read_token, resolve
    from edge.signals import Interrupted, stop_on_signal
    from robot.clock import WallClock
    from robot.config import load
    from robot.open import open_body
    from robot.remote.server import Server
    from robot.sim.rooms import make_room

    config = load(args.robot)
    if config.camera is not None:  # whose lens is ideal
        config = config.model_copy(update={"camera": config.camera.ideal()})
    room = make_room(args.task, args.level, args.seed)
    family, place = resolve(args.listen, listening=True, example=LISTEN)
    token = read_token(args.token, make=True)

    def opening() -> Any:
        return open_body(config, "sim", WallClock(), room, seed=args.seed, faults=tuple(args.fault))

    def ended(body: Any) -> None:
        if args.task in TASKS:
            verdict = Goal(body.world, args.task).verdict()
            say(f"the run lived {body.seconds:.1f} s; goal {'reached' if verdict.success else 'not reached'} "
                f"({verdict.measure:.2f} m){', touched something' if verdict.touched else ''}")  # fmt: skip

    server = Server(config, opening, family, place, token, say, ended)
    try:
        with stop_on_signal(server.stop):
            say(f"serving {config.name} in room {args.task} {args.level} {args.seed} on {place[0]}:{server.port}")
            server.run()
    except Interrupted as signal:
        say(f"{signal.ended} by {signal.name}; the wheels are at zero")
    finally:
        server.close()
    return 0


def say(text: str) -> None:
    """A line on standard error."""
    print(f"edgebot sim: {text}", file=sys.stderr, flush=True)


def _parser() -> Parser:
    from edge.commands.run import fault

    parser = Parser("sim", "Serve a simulated robot over the network: the processor in the loop.", EXAMPLES)
    parser.add_argument("--serve", action="store_true", help="serve until Ctrl-C")
    parser.add_argument(
        "--listen", default=LISTEN, metavar="HOST:PORT",
        help=f"where (default {LISTEN}, this machine only; 0.0.0.0:7246 for all networks)",
    )  # fmt: skip
    parser.add_argument("--token", type=Path, metavar="FILE", help="what runtimes must have too; made where missing")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml of the simulated robot")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="of the room and of all chance (default 0)")
    parser.add_argument("--task", choices=("light", "range", "person", "demo"), default="light", help="kind of room")
    parser.add_argument("--level", choices=("easy", "hard"), default="easy", help="of the room")
    parser.add_argument(
        "--fault", type=fault, action="append", default=[], metavar="PART:KIND[:FROM[:TO[:VALUE]]]",
        help="break a part of the simulated robot, as with `edgebot run`",
    )  # fmt: skip
    return parser

