"""The agent's command line: what ssh and systemd call. `python3 -I agent.pyz VERB`."""

from __future__ import annotations

import sys

from edge.deploy.pi import activate
from edge.deploy.pi.place import AgentError, Place
from edge.deploy.pi.serve import serve


def main(argv: list[str]) -> int:
    """Run one verb. Returns the exit code."""
    place = Place()
    verb, rest = argv[0] if argv else "", argv[1:]
    try:
        if verb == "serve":
            return serve(place, rest[0] if rest else "somebody")
        if verb == "activate":
            return activate.activate(place)
        if verb == "recover":
            said = activate.recover(place, boot="--boot" in rest)
            print(said or "nothing was on trial", file=sys.stderr)
            return 0
    except AgentError as error:
        print(f"edgebot: {error}", file=sys.stderr)
        return 1
    print("edgebot: this is deploy.sh's program on the robot; it knows serve, activate and recover", file=sys.stderr)
    return 2
