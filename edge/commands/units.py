"""`edgebot units`: the files that make a robot start by itself, and stop whatever happens."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path

from edge.commands.arguments import Parser

EXAMPLES = """\
examples:
  edgebot units --robot robot.toml                        print them all
  edgebot units --robot robot.toml --policy person -o units/
  edgebot units --robot /etc/edgebot/robot.toml --user pi -o units/ -- --camera

on the robot, after the second:
  sudo install -D -m 644 units/motord.json /etc/edgebot/motord.json
  sudo install -m 644 units/edgebot-motord.service units/edgebot.service /etc/systemd/system/
  sudo install -D -m 644 units/edgebot-watchdog.conf /etc/systemd/system.conf.d/edgebot-watchdog.conf
  cat units/config.txt | sudo tee -a /boot/firmware/config.txt
  sudo systemctl daemon-reload && sudo systemctl enable edgebot-motord edgebot && sudo reboot

`edgebot doctor --robot robot.toml` then says whether all of it is in force. What follows `--` goes to
`edgebot run` as it is."""


def main(argv: list[str]) -> int:
    """Render, then print or write. Returns the exit code."""
    at = argv.index("--") if "--" in argv else len(argv)
    args = _parser().parse_args(argv[:at])
    from edge.units.render import Place, render
    from robot.config import load
    from robot.files import write_atomically

    config = load(args.robot)
    place = Place(
        robot=str(args.robot.resolve()),
        bin=args.bin or str(Path(sys.executable).parent),
        user=args.user or getpass.getuser(),
        etc=args.etc,
        policy=args.policy,
        record=not args.no_record,
        arguments=tuple(argv[at + 1 :]),
    )
    files = render(config, place)
    if args.json:
        print(json.dumps(files))
    elif args.output is None:
        for name, text in files.items():
            print(f"# ==== {name}\n{text}")
    if args.output is not None:
        for name, text in files.items():
            write_atomically(args.output / name, text.encode())
            print(args.output / name, file=sys.stderr)
    return 0


def _parser() -> Parser:
    parser = Parser("units", "Write the systemd units of a robot, and what else its system needs.", EXAMPLES)
    parser.add_argument("--robot", type=Path, required=True, metavar="FILE", help="robot.toml at its path on the robot")
    parser.add_argument("--policy", default="light", metavar="NAME|MODEL", help="what drives (default light)")
    parser.add_argument("--user", metavar="NAME", help="whose processes they are (default: you)")
    parser.add_argument("--bin", metavar="DIR", help="folder of edgebot and edgebot-motord (default: this one's)")
    parser.add_argument("--etc", default="/etc/edgebot", metavar="DIR", help="of motord.json (default %(default)s)")
    parser.add_argument("--no-record", action="store_true", help="do not record every drive into /var/lib/edgebot")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the files there instead of printing")
    parser.add_argument("--json", action="store_true", help="print them as one JSON object, name to text")
    return parser
