"""Rows of the proof of deploy.sh: the link or the power goes, at moments drawn from the whole of a deploy."""

from __future__ import annotations

import random
import time
import zipfile
from functools import partial
from pathlib import Path

from tests.lab.deploy_page import Found, Plan
from tests.lab.deploy_rig import ACCEPT, AFTER_LOSS_S, SLOW, USUAL, Done, Rig, Robots
from tests.lab.deploy_rows import altered

LINK, POWER = "the link cut", "the power cut"
SEED = 7


def rows(count: int) -> list[Plan]:
    """So many cuts of each kind, each in its own share of the time that a deploy takes.

    Every second deploy brings an environment of its own (all wheels are copied and installed); the others are
    small updates, of which the trial is the most.
    """
    draw = random.Random(SEED)
    found = []
    for kind in (LINK, POWER):
        for number in range(count):
            share = (number + draw.random()) / count
            name = f"{kind.split()[1]}{number + 1}"
            full = number % 2 == 1
            what = f"{kind} at {100 * share:.0f} % of {'a whole deploy' if full else 'an update'}"
            found.append(Plan(name, what, partial(cut, kind, share, full, name), kind))
    return found


def cut(kind: str, share: float, full: bool, name: str, rig: Rig) -> Found:
    """One deploy that is cut off after a share of the time that it would take."""
    before = rig.deployed()
    guest = rig.guest()
    takes = rig.facts.get("whole_first_s" if full else "whole_update_s", 180.0 if full else 60.0)
    cache = altered(rig, "cut", lambda path: _comment(path, name)) if full else None
    deploying = rig.start(*USUAL, *ACCEPT, "--policy", "range", *never_there(name), cache=cache)
    ended = deploying.wait(share * takes)
    at, step = time.monotonic(), deploying.done.step
    if kind == LINK:
        guest.cable(False)
    else:
        guest.kill()
    done = deploying.end(300.0)
    if kind == LINK:
        time.sleep(max(0.0, AFTER_LOSS_S - (time.monotonic() - at)))
        guest.cable(True)
    else:
        guest.boot()
    good, state = told_after(rig, before, done)
    when = "after its end" if ended else f"at {at - done.began:.0f} s, while: {step}"
    return good, f"{when}; {state}; told: {done.words[:110]}"


def told_after(rig: Robots, before: str, done: Done) -> Found:
    """Whether a release runs after a deploy that was cut off: the one before, or one that was confirmed."""
    after = rig.settled()["release"]
    good, found = rig.runs(after)
    noted = rig.guest().ssh(f"cat /opt/edgebot/releases/{after}.json", check=False).stdout
    # Confirmed on the robot at the very moment: the laptop need not have heard of it.
    confirmed = after != before and '"confirmed"' in noted and '"failed": null' in noted
    kept = after == before and done.code != 0
    state = "the release before runs" if after == before else "confirmed before the cut: the new one runs"
    return good and (kept or confirmed), f"{state}; {found}"


def never_there(name: str) -> tuple[str, ...]:
    """The runtime's words of a release that was never there, for each name another."""
    return *SLOW[:2], f"{5 + int.from_bytes(name.encode()[-4:]) % 9973 / 10000}"


def _comment(wheel: Path, words: str) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.comment = words.encode()
