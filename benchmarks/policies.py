"""How often the reactive policies reach their goals, in rooms that nobody has tuned on.

Each room is one run of the real runtime (loop, guard, simulated body, virtual clock; the shipped detector on
rendered frames for `person` and `follow`), judged by the world's truth when the policy says that it is done or when
its time is up. Beside them, in the same rooms, a random and a straight-ahead policy. Results are kept room by room, so
that an interrupted benchmark goes on where it stopped; the table goes to docs/benchmarks-policies.md.

    python benchmarks/policies.py                              everything, two processes
    python benchmarks/policies.py --policy follow              some rows; the page's others stay
    python benchmarks/policies.py --policy light --rooms 50    a part, quickly; writes no page
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.pages import together  # noqa: E402

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # two processes share two cores; numpy is imported later, in them

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.perception.runner import FindsThings, Perception
    from robot.config import RobotConfig

FIRST_SEED = 1_000_000  # below it rooms are for training and tuning
LIMIT_S = {"light": 30.0, "range": 45.0, "person": 60.0, "follow": 75.0}
SEEING = {
    "person": ("person", "sighting"),
    "follow": ("follow", "crowd", "likelihood", "recognition", "sighting", "someone", "trail", "walker", "watch"),
}  # tasks, modules of their policies
FOLLOW_PX = (320, 240)  # of a frame while following: the detector takes 192 x 144, and rendering costs the most
COAST_S = 0.5  # after the last command, until the robot stands and is judged
TOUCH_MPS = 0.05
SCORE = 0.4  # of detections, as `edgebot run` has it


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    policy: str
    task: str
    level: str
    rooms: int
    bumpers: bool = False
    photos: bool = False  # persons are cut out of photos, and Yolo-Fastest looks for them
    bar: float | None = None  # the Wilson 95 % lower bound that success must reach
    least: float | None = None  # the share that success must reach
    most: float | None = None  # the success share that a baseline must not exceed
    touching: float | None = None  # the share of rooms with a contact > 0.05 m/s that is allowed

    @property
    def key(self) -> str:
        more = [name for name in ("bumpers", "photos") if getattr(self, name)]
        return "-".join([self.task, self.level, self.policy, *more])


CASES = (
    Case("light", "light", "easy", 1000, bar=0.93, touching=0.15),
    Case("random", "light", "easy", 1000, most=0.2),
    Case("straight", "light", "easy", 1000, most=0.2),
    Case("light", "light", "hard", 500),
    Case("random", "light", "hard", 500),
    Case("straight", "light", "hard", 500),
    Case("light", "light", "easy", 300, bumpers=True),
    Case("range", "range", "easy", 1000, bar=0.93, touching=0.0),
    Case("random", "range", "easy", 1000, most=0.2),
    Case("straight", "range", "easy", 1000, most=0.2),
    Case("person", "person", "easy", 300, bar=0.86, touching=0.15),
    Case("random", "person", "easy", 300, most=0.2),
    Case("straight", "person", "easy", 300, most=0.2),
    Case("person", "person", "easy", 100, bumpers=True),
    Case("person", "person", "easy", 100, photos=True, least=0.8),
    Case("follow", "follow", "easy", 200, bar=0.83),
)


@dataclass(frozen=True)
class Outcome:
    """One room: judged at its end."""

    seed: int
    success: bool
    measure: float
    contact_speed: float
    seconds: float  # simulated
    wall_s: float


def run_room(case: Case, seed: int) -> Outcome:
    """Run one room through the real runtime and judge it."""
    from edge.goal import Goal
    from edge.guard import Guard
    from edge.loop import Loop
    from edge.policies import make
    from robot.clock import VirtualClock
    from robot.sim.body import SimBody
    from robot.sim.rooms import make_room

    began = time.perf_counter()
    config = _config(case.bumpers, case.task)
    policy = make(case.policy, config)
    room = make_room(case.task, case.level, seed)
    clock = VirtualClock(0.02)
    perception = _perception(config, getattr(policy, "score", SCORE), case.photos) if policy.needs_camera else None
    pictures: Sequence[NDArray[np.uint8]] = ()
    if case.photos:
        import photos

        pictures = photos.persons()
    with SimBody(config, room, clock, seed=seed, camera=policy.needs_camera, photos=pictures) as body:
        loop = Loop(body, policy, Guard.of(config, policy), clock, perception=perception)
        goal = Goal(body.world, case.task)
        if case.task == "follow":
            loop.run(LIMIT_S[case.task], until=goal)
            seconds = clock.now()
        else:
            loop.run(LIMIT_S[case.task], until=lambda: bool(getattr(policy, "done", False)))
            seconds = clock.now()
            clock.sleep_until(seconds + COAST_S)
        verdict = goal.verdict()
    return Outcome(seed, verdict.success, verdict.measure, verdict.contact_speed, seconds, time.perf_counter() - began)


@functools.cache
def _config(bumpers: bool, task: str) -> RobotConfig:
    from robot.config import Bumpers, load

    config = load()
    if task == "follow" and config.camera is not None:
        size = dict(zip(("width_px", "height_px"), FOLLOW_PX, strict=True))
        config = config.model_copy(update={"camera": config.camera.model_copy(update=size)})
    return config.model_copy(update={"bumpers": Bumpers(left_pin=16, right_pin=19)}) if bumpers else config


@functools.cache
def _detector(config: RobotConfig, score: float, real: bool) -> FindsThings:
    from edge.perception.runner import make_detector

    if not real:
        return make_detector(None, score, config)
    import photos

    return make_detector(photos.model(), score, config)


def _perception(config: RobotConfig, score: float, real: bool) -> Perception:
    """What `edgebot run --sim` takes; the detector is opened once in each process."""
    from edge.perception.runner import SyncPerception

    assert config.camera is not None
    return SyncPerception(_detector(config, score, real), config.camera.latency_s, config.camera.stale_s)


# -- results, room by room


def results_path(case: Case) -> Path:
    return ROOT / "runs" / "benchmarks" / "policies" / f"{case.key}.jsonl"


def load_results(case: Case, fingerprint: str) -> dict[int, Outcome]:
    """What an earlier, interrupted benchmark of the same code has found, by seed."""
    path = results_path(case)
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    if not lines or json.loads(lines[0]).get("code") != fingerprint:
        return {}
    outcomes = (Outcome(**json.loads(line)) for line in lines[1:] if line.endswith("}"))
    return {outcome.seed: outcome for outcome in outcomes}


def code_fingerprint(case: Case) -> str:
    """A hash of the code, the robot and the model that decide a case: results of other code are not mixed in."""
    sees = case.task in SEEING
    policies = ["memory", "steering", "baselines", "light", "range", "scan", *SEEING.get(case.task, ())]
    drawn = ("camera", "decor", "figure", "furniture", "order", "solids", "textures")
    paths = [ROOT / "edge" / "policies" / f"{name}.py" for name in policies]
    paths += [ROOT / "edge" / name for name in ("guard.py", "decision.py", "limits.py", "plausible.py")]
    paths += [ROOT / "robot" / name for name in ("kinematics.py", "example.toml", "pinhole.py")]
    paths += [path for path in (ROOT / "robot" / "sim").glob("*.py") if sees or path.stem not in drawn]
    if sees:
        paths += [*(ROOT / "edge" / "perception").glob("*.py"), ROOT / "edge" / "models" / "person.tflite"]
    if case.photos:
        paths.append(ROOT / "benchmarks" / "photos.py")
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run_case(case: Case, seeds: Sequence[int], processes: int, fresh: bool) -> list[Outcome]:
    """Run the rooms that have no result yet, two at a time, with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    fingerprint = code_fingerprint(case)
    done = {} if fresh else load_results(case, fingerprint)
    path = results_path(case)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not done:
        path.write_text(json.dumps({"code": fingerprint}) + "\n")
    todo = [seed for seed in seeds if seed not in done]
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]}")) as bar, path.open("a") as file:
        task = bar.add_task(case.key, total=len(seeds), completed=len(seeds) - len(todo), rate="")
        for outcome in _outcomes(case, todo, processes):
            done[outcome.seed] = outcome
            file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
            file.flush()
            wins = sum(done[seed].success for seed in seeds if seed in done)
            count = sum(seed in done for seed in seeds)
            bar.update(task, advance=1, rate=f"{wins / count:.3f} succeed")
    return [done[seed] for seed in seeds]


def _outcomes(case: Case, seeds: Sequence[int], processes: int) -> Iterator[Outcome]:
    if case.policy in ("random", "straight"):
        yield from _baseline(case, seeds)
        return
    if processes == 1:
        yield from (run_room(case, seed) for seed in seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(functools.partial(run_room, case), seeds, chunksize=2)


def _baseline(case: Case, seeds: Sequence[int]) -> Iterator[Outcome]:
    """All rooms in one batched world, a hundred at a time; see `benchmarks/baselines.py`."""
    import baselines

    for first in range(0, len(seeds), 100):
        some, began = seeds[first : first + 100], time.perf_counter()
        limit = LIMIT_S[case.task]
        verdicts = baselines.run(_config(case.bumpers, case.task), case.policy, case.task, case.level, some, limit)
        wall = (time.perf_counter() - began) / len(some)
        for seed, verdict in zip(some, verdicts, strict=True):
            yield Outcome(seed, verdict.success, verdict.measure, verdict.contact_speed, limit, wall)


# -- the table


def row(case: Case, outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    """One line of the table, and whether its bar is reached."""
    from train.evaluation import wilson

    trials = len(outcomes)
    wins = sum(outcome.success for outcome in outcomes)
    touching = sum(outcome.contact_speed > TOUCH_MPS for outcome in outcomes) / trials
    limit = LIMIT_S[case.task]
    seconds = sum(outcome.seconds if outcome.success else limit for outcome in outcomes) / trials
    bound = wilson(wins, trials)[0]
    checks = [
        (case.bar is not None and f"bound >= {case.bar}", case.bar is None or bound >= case.bar),
        (case.least is not None and f"share >= {case.least}", case.least is None or wins / trials >= case.least),
        (case.most is not None and f"share <= {case.most}", case.most is None or wins / trials <= case.most),
        (
            case.touching is not None and f"contact <= {case.touching:.0%}",
            case.touching is None or touching <= case.touching,
        ),
    ]
    told = ", ".join(f"{text}: {'reached' if ok else 'MISSED'}" for text, ok in checks if text) or "told only"
    name = case.policy + (" + bumpers" if case.bumpers else "") + (", photos" if case.photos else "")
    line = (
        f"| {case.task} | {case.level} | {name} | {trials} | {wins / trials:.3f} | {bound:.3f} | {touching:.1%} "
        f"| {seconds:.1f} | {told} |"
    )
    return line, all(ok for _, ok in checks)


HEAD = """\
| task | rooms | policy | n | success | lower bound | contact > 0.05 m/s | mean time (s) | bar |
|---|---|---|---|---|---|---|---|---|"""

PAGE = """\
# The reactive policies, in rooms that nobody tuned on

Written by `python benchmarks/policies.py`, last on {date}. Each room is one run of the real runtime (loop at 50 Hz,
guard, simulated body, virtual clock; for `person` and `follow` the shipped detector on rendered frames), with room
seeds from {first} on; tuning used seeds below 1,000,000 only. A run is judged by the world's truth when the policy
says that it is done, or when its time is up. `random` and `straight` drive in the same rooms, all at once: the batched
form of the same world under the batched form of the guard's rules.

* `light` ends within 0.5 m of the lamp, inside 30 s.
* `range` ends with 0.25 +- 0.05 m between the sonar and the object, along the sonar's axis; the object is the one whose
  surface was nearest at the start; nothing was ever touched; inside {range_s:.0f} s.
* `person` ends with 1.2 +- 0.3 m between the robot's middle and a standing person's, who is within 30 degrees of
  straight ahead; inside {person_s:.0f} s.
* `person, photos`: the same with persons cut out of the photos of `coco_train128` (boxes of whole, large, standing
  persons, `benchmarks/photos.py`) in the place of drawn ones, and Yolo-Fastest-1.1-xl in int8 as the detector.
* `follow` has come within 1.2 +- 0.4 m of the first of three walking persons in 15 s at most, and in 90 % of the looks
  (50 a second) of the minute after that was so far from that person, who was within 30 degrees of straight ahead
  ([more](follow.md)). Its frames have 320 x 240 pixels.

Contacts do not count against `follow`, only distance and bearing do; those looked at, in rooms for tuning, were the
robot's flank that grazed furniture, or somebody who stood beside its way, while it drove on.

Rows that were made elsewhere stay as they are until they are made anew; those with a smaller n than `CASES` plans were
written before all their rooms had been run (`--table`), and the same command goes on from there. "lower bound" is that
of the 95 % Wilson interval. "mean time" counts a failure as the whole time limit. "contact" is the share of rooms in
which anything was hit faster than 0.05 m/s: one sonar does not see its flanks, bumpers do.

{table}
"""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exit code 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", help="only rows of this policy: light, range, person, follow, random, straight")
    parser.add_argument("--task", choices=sorted(LIMIT_S), help="only rows of this task")
    parser.add_argument("--level", choices=("easy", "hard"), help="only rows of this level")
    parser.add_argument("--photos", action="store_true", help="only the rows of persons cut out of photos")
    parser.add_argument("--rooms", type=int, help="at most so many rooms a row")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the rooms (default %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (default %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--table", action="store_true", help="run nothing; write the table of what has been run so far")
    args = parser.parse_args(argv)

    cases = [
        case
        for case in CASES
        if args.policy in (None, case.policy) and args.task in (None, case.task) and args.level in (None, case.level)
        and (case.photos or not args.photos)
    ]
    if not cases:
        parser.error(f"no row has policy {args.policy!r}, task {args.task!r} and level {args.level!r} as asked for")
    whole = args.table or (args.rooms is None and args.first_seed == FIRST_SEED)
    lines, reached = [], True
    for case in cases:
        count = min(case.rooms, args.rooms or case.rooms)
        seeds = range(args.first_seed, args.first_seed + count)
        if args.table:
            known = load_results(case, code_fingerprint(case))
            outcomes = [known[seed] for seed in seeds if seed in known]
            if not outcomes:
                continue
        else:
            outcomes = run_case(case, seeds, args.processes, args.fresh)
        line, ok = row(case, outcomes)
        lines.append(line)
        reached &= ok
        for outcome in (o for o in outcomes if not o.success and case.policy == case.task and not args.table):
            print(f"  failed: seed {outcome.seed}, {outcome.measure:.2f} m, contact {outcome.contact_speed:.2f} m/s")
    table = "\n".join([HEAD, *lines])
    print(table)
    if whole:
        target = ROOT / "docs" / "benchmarks-policies.md"
        table = together(target.read_text(encoding="utf-8"), table, keys=3)
        page = PAGE.format(
            date=time.strftime("%-d %B %Y"), first=f"{FIRST_SEED:,}",
            range_s=LIMIT_S["range"], person_s=LIMIT_S["person"], table=table,
        )  # fmt: skip
        target.write_text(page, encoding="utf-8")
    return 0 if reached else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
