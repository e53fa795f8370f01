"""`./deploy.sh HOST --hil`: the hardware tests on each robot in turn, and their reports brought here."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from edge.deploy.host import Outcome
from edge.deploy.link import HostError, Link, LostError, terminal
from edge.deploy.targets import Target
from robot import calibration

COMMAND = "/usr/local/bin/edgebot"
NO_COMMAND = 127  # the shell's
NO_LINK = 255  # ssh's
SAID = {
    0: "everything is as it should be", 1: "not everything is as it should be", 2: "`edgebot hil` was told wrong",
    130: "interrupted",
}  # fmt: skip


def test(targets: list[Target], words: list[str], sockets: Path) -> tuple[list[int], dict[Target, Outcome]]:
    """Run `edgebot hil` with these words, with somebody at each robot's terminal; `-o` names a folder of this machine.

    Args:
        targets: in turn.
        words: for `edgebot hil`.
        sockets: a folder for the shared connections.

    Returns:
        The exit code of each, 1 for a robot that could not be reached; and its line of the table.
    """
    mine = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    mine.add_argument("-o", "--output", type=Path)
    args, rest = mine.parse_known_args(words)
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    here = args.output or Path("hil") / stamp
    codes: list[int] = []
    outcomes: dict[Target, Outcome] = {}
    for target in targets:
        folder = here / target.host if len(targets) > 1 else here
        try:
            with Link(target, sockets, terminal()) as link:
                link.run("true")  # which tells why it cannot be reached
                codes.append(_one(link, rest, f".cache/edgebot/hil/{stamp}", folder))
            outcomes[target] = Outcome(codes[-1] == 0, SAID.get(codes[-1], f"`edgebot hil` ended with {codes[-1]}"))
        except HostError as error:
            codes.append(1)
            outcomes[target] = Outcome(False, str(error))
    return codes, outcomes


def _one(link: Link, words: list[str], there: str, here: Path) -> int:
    command = shlex.join([COMMAND, "hil", *words, "--output", there])
    tty = ["-t"] if terminal() else []
    code = subprocess.run([*link.ssh, *tty, "--", link.target.address, command]).returncode
    if code == NO_COMMAND:
        raise HostError(f"there is no edgebot to test with; `./deploy.sh {link.target.text}` brings it")
    if code == NO_LINK:
        raise LostError(f"the link was lost; a report that is whole stays in ~/{there} there")
    if link.run(f"ls {there} 2>/dev/null || true"):
        link.fetch(there, here)
        link.run(f"rm -r {there}")
        print(f"{link.target.text}: the reports are in {here}", file=sys.stderr)
        if (here / calibration.NAME).is_file():
            print(
                f"{link.target.text}: `cp {shlex.quote(str(here / calibration.NAME))} .`, beside robot.toml, and "
                f"`./deploy.sh {link.target.text} --config-only` take what was measured into use", file=sys.stderr,
            )  # fmt: skip
    return code
