"""`edgebot-motord`: opens the motor pins, serves the socket, and leaves the pins low whatever happens."""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from robot import realtime
from robot.clock import WallClock
from robot.errors import RobotError
from robot.motor_port import MotorCore
from robot.motor_report import Cause, Flag
from robot.motord import config as settings
from robot.motord.latch import Latch
from robot.motord.pins import StopInput, chip_of, open_pins, play_switch
from robot.motord.protocol import PATH_VARIABLE, SOCKET
from robot.motord.server import Ended, Server
from robot.motord.trace import Trace
from robot.notify import Notifier
from robot.pi import firmware
from robot.pi.hbridge import HBridge

UNCHECKED_VARIABLE = "EDGEBOT_FIRMWARE_UNCHECKED"

EXAMPLES = """\
examples:
  edgebot motors config --robot robot.toml -o motord.json      what this process has to know of the robot
  edgebot-motord --config motord.json                          on the robot; usually systemd runs it
  edgebot-motord --config motord.json --pins-low               pins low and pulled down, then exit
  edgebot-motord --config motord.json --pins mock --socket /tmp/motord.sock --trace /tmp/pins.txt
                                                               on a laptop: no wheel turns, the file shows them

The wheels are at zero from the start. They go to zero when the last command's time is up, when the driver goes,
on the emergency stop (latched: release the switch, then `edgebot motors acknowledge`), on commands that are not
finite or beyond -1..1, and on SIGTERM and SIGINT. Exit code: 0 after SIGTERM or SIGINT, 1 after a failure, 2 for
a mistake in the arguments, the configuration or the firmware's settings."""

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Signalled(BaseException):
    """A signal asked for the end."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RobotError(f"{message}; `edgebot-motord --help` shows how")


def main(argv: list[str] | None = None) -> NoReturn:
    """Run; the process ends here, by `os._exit`, so that no exit handler of a library touches a motor pin."""
    code = 1
    try:
        code = _run(_parser().parse_args(argv))
    except RobotError as error:
        say(str(error))
        code = 2
    except SystemExit as end:  # --help
        code = end.code if isinstance(end.code, int) else 2
    except Signalled:
        code = 0
    except BaseException as error:
        try:
            say(f"failed: {type(error).__name__}: {error}\n{_where(error)}")
        except BaseException:  # there is no memory even for these words
            with suppress(OSError):
                os.write(2, b"edgebot-motord: failed: MemoryError\n")
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def say(text: str) -> None:
    """A line on stderr, or none: where nobody reads, or reads too slowly, the motors do not wait."""
    data = f"edgebot-motord: {text}\n".encode(errors="replace")[: select.PIPE_BUF]
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, data)


def _where(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_tb(error.__traceback__)[-3:]).rstrip()


def _run(args: argparse.Namespace) -> int:
    chip = chip_of(args.pins)
    config = settings.load(args.config, 0 if chip is not None else settings.LOWEST_PIN)
    folder = args.socket.parent
    if args.pins_low:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        HBridge(config, open_pins(args.pins, folder)).close()
        return 0
    if args.pins != "mock" and (args.trace or args.mock_switch):
        raise RobotError("--trace and --mock-switch are for mock pins; add --pins mock, or leave them out")
    flags = _flags(args, config)
    _make_folder(folder)
    _only_one(args.socket)
    state = args.state or Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or folder)
    latch = Latch(state / "emergency-stop")
    # Signals wait until the pins are ours: none may come between a pin that is taken and the one who lets it go.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        _serve(args, config, latch, flags)
    finally:
        with suppress(OSError):
            args.socket.unlink(missing_ok=True)
    return 0


def _serve(args: argparse.Namespace, config: settings.MotordConfig, latch: Latch, flags: Flag) -> None:
    """Take the pins, serve, and let them go, low, whatever happens. Begins with the ending signals blocked."""
    notifier, clock = Notifier(), WallClock()
    granted = realtime.ask(realtime.MOTORD_PRIORITY, threads=True)
    flags |= (Flag.REALTIME if granted.priority else Flag(0)) | (Flag.LOCKED if granted.locked else Flag(0))
    factory = open_pins(args.pins, args.socket.parent)
    if args.trace:
        factory.witness = Trace(args.trace).witness
    if args.pins == "mock":
        play_switch(factory, config, args.mock_switch)
    bridge = HBridge(config, factory)
    core = MotorCore(bridge, clock, config.hold_s)
    ending = False

    def end(number: int, frame: FrameType | None) -> None:
        core.stop(Cause.ENDING)
        if not ending:  # one is enough: what follows must not be broken into
            for other in _ENDING:
                signal.signal(other, signal.SIG_IGN)
            raise Signalled

    try:
        try:
            switch = StopInput(factory, config.emergency_stop_pin)
            server = Server(
                core, _listen(args.socket, args.socket_mode), switch.read, latch, clock, notifier, flags=flags,
                digest=config.digest, with_driver=args.end_with_driver, say=say,
            )  # fmt: skip
            for number in _ENDING:
                signal.signal(number, end)
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # suspended by Ctrl-Z it could stop nothing
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            say(f"{config.name}: wheels at zero, {granted.sentence()}; socket {args.socket}")
            notifier.ready("wheels at zero")
            with suppress(Ended):
                server.run()
        finally:
            ending = True
    finally:
        core.stop(Cause.ENDING)
        bridge.close()
        notifier.stopping()


def _flags(args: argparse.Namespace, config: settings.MotordConfig) -> Flag:
    """Check the firmware's settings; what is true of these pins."""
    if args.pins == "mock":
        return Flag.MOCK
    complaint = firmware.complaint(config.motor_pins.values(), args.root)
    if not complaint:
        return Flag(0)
    why = args.firmware_unchecked
    if not why:
        raise RobotError(
            f"{complaint} (on a board that has no such settings, and has pull-downs: --firmware-unchecked WHY)"
        )
    say(f"WARNING: the firmware's settings are waived ({why}): {complaint}")
    return Flag.UNCHECKED


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise RobotError(
            f"the socket's folder {str(folder)!r} cannot be made ({error.strerror}); give --socket a path where this "
            "user may write"
        ) from None


def _only_one(path: Path) -> None:
    """Hold the lock beside the socket for as long as this process lives."""
    lock = path.with_name(path.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RobotError(f"another edgebot-motord runs at {str(path)!r}; `edgebot motors status` shows it") from None
    except OSError as error:
        raise RobotError(f"{str(lock)!r} cannot be locked ({error.strerror}); give another --socket") from None


def _listen(path: Path, mode: int) -> socket.socket:
    """The listening socket. Its file is never open to more than `mode`, and whoever sees it can connect."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):  # a socket would be a dead process's: the lock is ours
            raise RobotError(f"{str(path)!r} exists and is no socket; give another --socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    making = path.with_name(path.name + ".new")
    before = os.umask(0o777 & ~mode)
    try:
        making.unlink(missing_ok=True)
        listener.bind(str(making))
        listener.listen(16)
        making.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)  # "AF_UNIX path too long" has no number
        raise RobotError(f"the socket {str(path)!r} cannot be made ({reason}); give another --socket") from None
    finally:
        os.umask(before)
    return listener


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777 or mode & 0o111:
        raise argparse.ArgumentTypeError(f"{text!r} is no file mode such as 660")
    return mode


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="edgebot-motord",
        description="The motors' own process: owns the motor pins and the emergency stop's input, and nothing else.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON of `edgebot motors config`")
    parser.add_argument(
        "--socket", type=Path, default=Path(os.environ.get(PATH_VARIABLE) or SOCKET), metavar="PATH",
        help=f"where to listen (default: ${PATH_VARIABLE}, else {SOCKET})",
    )  # fmt: skip
    parser.add_argument("--socket-mode", type=_mode, default=0o660, metavar="MODE", help="who may drive (default 660)")
    parser.add_argument(
        "--state", type=Path, metavar="FOLDER",
        help="of the emergency stop's latch (default: $STATE_DIRECTORY, else the socket's)",
    )  # fmt: skip
    parser.add_argument("--pins", default="lgpio", help="lgpio (a Raspberry Pi), chip:N (another board), or mock")
    parser.add_argument("--pins-low", action="store_true", help="only bring the pins low, pull them down, and exit")
    parser.add_argument(
        "--firmware-unchecked", metavar="WHY", default=os.environ.get(UNCHECKED_VARIABLE, ""),
        help="drive without the firmware's settings; each status says so",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("--end-with-driver", action="store_true", help="end when the driver has gone")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="with mock pins: append each change of a pin")
    parser.add_argument("--mock-switch", type=Path, metavar="FILE", help="with mock pins: pressed while FILE exists")
    return parser


if __name__ == "__main__":
    main()
