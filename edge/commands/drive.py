"""`edgebot drive`: a robot by hand, on the real floor or in a simulated room; the guard stays in force."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands import recording_arguments
from edge.commands.arguments import Parser, number, whole
from edge.commands.recording_arguments import wanted
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.controls import Controls
    from edge.session import Session
    from edge.tick import Tick

EXAMPLES = """\
keys, held down: W A S D or the arrows; space stops, Q or Ctrl-C ends.
gamepad: the left stick drives, a face button stops until the stick is let go, start or back ends.

examples:
  edgebot drive --sim                       a simulated robot, with a small map
  edgebot drive --sim --seed 3 --record drive.mcap
  edgebot drive --robot robot.toml          a real robot
  edgebot drive --robot robot.toml --gamepad
  edgebot drive --to robot.local:7245       from another machine; `edgebot run --policy link` runs on the robot

A terminal cannot tell when a key is let go. The robot stops at most 0.5 s after a tap, and 0.2 s after a
key that has begun to repeat is let go; a stick that is let go stops at once. Emergency stop, obstacles and
all else that the guard watches hold as under a policy. Exit codes as of `edgebot run`; Q is 0."""


def main(argv: list[str]) -> int:
    """Parse, drive, tell. Returns the exit code."""
    args = _parser().parse_args(argv)
    if args.to is not None:
        if args.sim or args.robot is not None or args.record is not None or args.camera:
            raise UsageError(
                "--to drives a robot that runs elsewhere; give --sim, --robot, --record and --camera to its "
                "`edgebot run --policy link`"
            )
        from edge.commands.drive_to import drive_to

        return drive_to(args)
    if args.motord is not None and not args.sim:
        raise UsageError("--motord puts a motor process before simulated wheels: add --sim, or leave it out")
    if not args.sim and args.robot is None:
        raise UsageError(
            "say which robot: --sim for a simulated one, --robot robot.toml for a real one, --to HOST:PORT for one "
            "that runs elsewhere"
        )
    recording = wanted(args)
    from edge.commands.run_report import CODES, exit_code, heard_by_nobody, report
    from edge.controls import Gamepad, HoldToDrive, open_controls
    from edge.session import Settings, open_session
    from edge.signals import Interrupted, stop_on_signal
    from robot.config import load

    config = load(args.robot)
    room = None
    if args.sim:
        from robot.sim.rooms import make_room

        room = make_room(args.task, args.level, args.seed)
    settings = Settings(
        room=room, seed=args.seed, task="", realtime=True, camera=args.camera, record=recording.path,
        overwrite=recording.overwrite, record_frames=recording.frames, rotation=recording.rotation,
        motord=args.motord,
    )  # fmt: skip
    sys.setswitchinterval(0.0005)
    controls: list[Controls] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(stop_on_signal(lambda: None))
            controls += open_controls(args.gamepad, stack)
            policy = HoldToDrive(config, controls, args.speed)
            session = stack.enter_context(open_session(config, policy, settings))
            on_tick = stack.enter_context(display(session))
            summary = session.run(args.duration, on_tick, until=lambda: policy.quit)
    except Interrupted as signal:  # while things were being opened or closed
        print(f"edgebot: {signal.ended} by {signal.name}", file=sys.stderr)
        return CODES[str(signal.ended)]
    with heard_by_nobody():
        report(summary, None, session)
    gone = next((control.path for control in controls if isinstance(control, Gamepad) and control.gone), None)
    if gone is not None:
        print(f"edgebot: gamepad {gone} is gone, so the robot was stopped; plug it in and start again", file=sys.stderr)
        return 1
    return exit_code(summary, session)


def _parser() -> Parser:
    parser = Parser("drive", "Drive a robot by keyboard or gamepad: hold to drive, let go to stop.", EXAMPLES)
    parser.add_argument("--sim", action="store_true", help="a simulated robot (with --robot: of that description)")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml of a real robot; the example without it")
    parser.add_argument("--to", metavar="HOST:PORT", help="a robot that listens there with `edgebot run --policy link`")
    parser.add_argument(
        "--token", type=Path, metavar="FILE", help="with --to: the robot's token (default ~/.config/edgebot/link.token)"
    )
    parser.add_argument(
        "--gamepad", nargs="?", const="/dev/input/js0", metavar="DEVICE", help="a Linux joystick (default js0)"
    )
    parser.add_argument("--speed", type=number(0.05, 1), default=0.6, help="share of the robot's limits (default 0.6)")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="of the room and of all chance (default 0)")
    parser.add_argument(
        "--task", choices=("light", "range", "person", "follow", "demo"), default="light", help="kind of room"
    )
    parser.add_argument("--level", choices=("easy", "hard"), default="easy", help="of the room")
    parser.add_argument("--duration", type=number(0.02, 1e6, "seconds"), metavar="S", help="seconds (default: no end)")
    recording_arguments.add(parser)
    parser.add_argument("--camera", action="store_true", help="look and record with the camera too")
    parser.add_argument(
        "--motord", type=Path, metavar="SOCKET", help="with --sim: put a running edgebot-motord in between"
    )
    return parser


@contextmanager
def display(session: Session) -> Iterator[Callable[[Tick], None] | None]:
    """A status line on stderr, over a map where the robot is simulated; drawn by a thread of its own."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from edge.commands.journal import Journal
    from edge.commands.run_report import status
    from edge.sketch import Sketch

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        with Journal(session.clock.now()) as journal:
            yield journal.on_tick
        return
    world = getattr(session.body, "world", None)
    sketch = None if world is None else Sketch(world, min(56, max(20, console.width - 2)))
    newest: list[Tick] = []
    start = session.clock.now()

    def draw() -> Group:
        lines = [] if sketch is None else sketch.lines()
        lines.append(status(newest[0], start) if newest else "starting")
        lines.append("hold W A S D or the arrows; space stops, Q ends")
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def on_tick(tick: Tick) -> None:
        newest[:] = (tick,)

    with Live(get_renderable=draw, console=console, refresh_per_second=8, transient=True):
        yield on_tick
