"""deploy.sh against an arm64 guest with systemd: real ssh, rsync, pip and units; cut off at every point.

    python tests/lab/deploy.py --write               about an hour and a half on two cores; writes docs/proof-deploy.md
    python tests/lab/deploy.py --minutes 10          begins no further row after so long; the next call goes on
    python tests/lab/deploy.py --only rollback,uninstall        these rows again; --list tells their names
    python tests/lab/deploy.py --quick               at most 15 minutes: few cuts, no page

Target B of the lab: systemd-nspawn on an emulated bookworm root (`tests/lab/roots.py` makes it, once). Each row is
written down when it is known, and the guests outlive a call: a proof that was cut short goes on where it was, as long
as the sources are the same. Rows that failed are tried again.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lab import deploy_cuts, deploy_options, deploy_page, deploy_rows, deploy_target  # noqa: E402
from tests.lab.deploy_page import Page, Plan  # noqa: E402
from tests.lab.deploy_rig import Rig, Robots  # noqa: E402


def plan(cuts: int, quick: bool = False) -> list[Plan]:
    """Every row, in the order in which they follow each other best."""
    rows = [
        *deploy_rows.ARRIVE, *deploy_rows.BROKEN, *deploy_cuts.rows(cuts), *deploy_target.ROWS, *deploy_options.ROWS,
        *deploy_rows.LEAVE,
    ]  # fmt: skip
    return [row for row in rows if not quick or not row.long]


def options(description: str | None, keep: str, page: Page) -> argparse.ArgumentParser:
    """What every proof of this kind understands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FILE", help=f"of the rows (default build/{keep}.json)")
    parser.add_argument("--anew", action="store_true", help="forget the rows and guests of earlier calls")
    parser.add_argument("--only", metavar="ROW,...", help="these rows, known or not")
    parser.add_argument("--list", action="store_true", help="the rows' names, and what is known")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further row after so long")
    parser.add_argument("--write", action="store_true", help=f"write {page.path.relative_to(ROOT)}")
    parser.add_argument("--page-of", type=Path, nargs="+", metavar="FILE", help="only the page, of kept rows")
    parser.add_argument("--across", action="store_true", help="rows of earlier sources too; the page marks them")
    return parser


def main(argv: list[str]) -> int:
    parser = options(__doc__, "proof-deploy", deploy_page.DEPLOY)
    parser.add_argument("--quick", action="store_true", help="a cut of each kind, one guest, no page")
    parser.add_argument("--cuts", type=int, default=10, help="of each kind (default %(default)s)")
    args = parser.parse_args(argv)
    args.write &= not args.quick
    keep = args.keep or ROOT / "build" / ("proof-quick.json" if args.quick else "proof-deploy.json")
    rows = plan(1 if args.quick else args.cuts, args.quick)
    anew = args.anew or (args.quick and not args.only)
    return prove(args, parser, lambda: Rig(keep, anew), rows, deploy_page.DEPLOY, temporary=args.quick)


def prove(
    args: argparse.Namespace, parser: argparse.ArgumentParser, make: Callable[[], Robots], planned: list[Plan],
    page: Page, temporary: bool = False,
) -> int:  # fmt: skip
    """Do what was asked for: the rows that are not known, their list, or only the page. Returns the exit code.

    Args:
        args: of `options`.
        parser: of them.
        make: the rig.
        planned: every row.
        page: of the proof.
        temporary: the guests are not for another call.
    """
    if args.page_of:
        known = deploy_page.merged([json.loads(path.read_text()) for path in args.page_of], args.across)
        return show(known, planned, page, args.write)
    names = [row.name for row in planned]
    wanted = args.only.split(",") if args.only else names
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"{unknown[0]} is no row; --list tells their names")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the guests end with this program
    rig = make()
    if args.list:
        for row in planned:
            known = rig.known["rows"].get(row.name)
            print(f"{row.name:<12}{'-' if known is None else 'holds' if known['good'] else 'fails':<7}{row.what}")
        return 0
    began = time.monotonic()
    done = False
    try:
        for row in planned:
            known = rig.known["rows"].get(row.name)
            if row.name not in wanted or (known and known["good"] and not args.only):
                continue
            if time.monotonic() - began > args.minutes * 60:
                break
            at = time.monotonic()
            try:
                good, found = row.do(rig)
            except (RuntimeError, subprocess.SubprocessError, ValueError, LookupError) as error:
                good, found = False, f"the row ended early: {error}"
            rig.row(row.name, row.what, good, found, cut=row.cut, seconds=time.monotonic() - at)
        done = deploy_page.whole(rig.known, planned)
    finally:
        rig.close(remove=done or temporary)
    return show(rig.known, planned, page, args.write)


def show(known: deploy_page.Known, planned: list[Plan], page: Page, write: bool) -> int:
    """Print, and write if asked, what was proven and what was not. Returns the exit code: 0 where all of it was."""
    text = deploy_page.document(known, planned, page)
    print(text)
    if write:
        page.path.write_text(text)
    return 0 if deploy_page.whole(known, planned) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
