"""`edgebot replay`: a policy or a detector once more on a recorded run, and what differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.arguments import Parser, add_layout, detector_of, number
from edge.commands.bar import bar
from edge.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from edge.recordings.reader import Recording
    from edge.replay.detector import DetectorDiff
    from edge.replay.policy import PolicyDiff

EXAMPLES = """\
examples:
  edgebot replay run.mcap                               the policy that drove, again: equal bit for bit
  edgebot replay run.mcap --policy range                what another policy would have wanted
  edgebot replay run.mcap --policy runs/light/model.tflite --save diff.png --json
  edgebot replay run.mcap --detector person             the shipped detector, on the recorded frames
  edgebot replay run-*.mcap --exact                     the parts of one run; exit code 1 where anything differs

The policy sees what was seen in the run: time, senses, the detections that were there at that moment, and what the
wheels had. What the robot did stays as recorded. Frames are recorded as JPEG, which changes pixels: detectors find
a little else there; on frames of `edgebot run --record-frames png` they find the same bits."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    args = _parser().parse_args(argv)
    from edge.recordings.reader import episodes
    from edge.signals import Interrupted, stop_on_signal

    runs = episodes(args.file)
    if len(runs) > 1:
        raise UsageError(f"{', '.join(map(str, args.file))} hold {len(runs)} runs; replay one at a time")
    recording = runs[0]
    picture = args.save if args.save is not None else Path(f"{recording.path.stem}-replay.png")
    if picture.suffix.lower() != ".png":
        raise UsageError(f"--save {picture} has the ending {picture.suffix!r}; name a .png")
    if picture.exists() and not args.overwrite and args.save is not None:
        raise UsageError(f"--save {picture} exists already; choose another name, or add --overwrite")
    try:
        with stop_on_signal(lambda: None):
            return _replay(args, recording, picture)
    except Interrupted as signal:
        print(f"edgebot: {signal.ended} by {signal.name}", file=sys.stderr)
        return 128 + signal.number


def _replay(args: Any, recording: Recording, picture: Path) -> int:
    import cv2
    import numpy as np
    from rich.console import Console

    from edge.replay import picture as pictures
    from robot.files import write_atomically

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    found: dict[str, Any] = {"recording": [str(path) for path in recording.paths], "cut": ""}
    drawn, exact = [], True
    if args.policy is not None or args.detector is None:
        policy_diff = _policy(args, recording)
        _tell_policy(console, policy_diff, recording)
        found["policy"] = policy_diff.as_dict(recording.config.drive)
        drawn.append(pictures.of_policy(policy_diff, recording.config.drive))
        exact &= policy_diff.exact
    if args.detector is not None:
        detector_diff = _detector(args, recording)
        _tell_detector(console, detector_diff)
        found["detector"] = detector_diff.as_dict()
        drawn.append(pictures.of_detector(detector_diff))
        exact &= detector_diff.exact
    found["cut"], found["dropped"] = recording.cut, recording.dropped
    if recording.cut:
        mend = "`edgebot recording repair` makes it whole"
        console.print(f"{recording.paths[-1]}: {recording.cut}; {mend}", style="yellow")
    done, data = cv2.imencode(".png", np.vstack(drawn)[:, :, ::-1])
    assert done
    try:
        write_atomically(picture, data.tobytes())
    except OSError as error:
        raise UsageError(f"{picture} cannot be written ({error.strerror}); give another --save") from None
    console.print(f"wrote {picture}")
    if args.json:
        print(json.dumps(found | {"picture": str(picture)}))
    return 1 if args.exact and not exact else 0


def _parser() -> Parser:
    parser = Parser("replay", "Replay a recorded run, faster than it was, and show what differs.", EXAMPLES)
    parser.add_argument("file", nargs="+", type=Path, metavar="FILE", help="a recording, or all parts of one run")
    parser.add_argument("--policy", metavar="NAME|MODEL", help="light, range, ..., or a .tflite (the recorded)")
    parser.add_argument("--detector", metavar="MODEL", help="a detector's .tflite, or `person` for the shipped one")
    add_layout(parser)
    parser.add_argument(
        "--score", type=number(0.001, 0.999), metavar="S", help="detections above it count (default: as recorded)"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="the picture (default: NAME-replay.png)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")
    parser.add_argument("--exact", action="store_true", help="exit code 1 unless all is equal bit for bit")
    parser.add_argument("--json", action="store_true", help="print the diff as JSON to stdout")
    return parser


def _policy(args: Any, recording: Recording) -> PolicyDiff:
    from edge.replay.policy import choose, replay

    policy = choose(recording, args.policy)
    with bar("replaying", recording.size) as advance:
        diff = replay(recording.moments(pictures=False, advance=advance), policy)
    if not diff.steps:
        raise UsageError(f"{recording.path} holds no iteration in which a policy was asked; record a run with --record")
    return diff


def _detector(args: Any, recording: Recording) -> DetectorDiff:
    from edge.perception.process import MOST
    from edge.perception.runner import make_detector
    from edge.replay.detector import replay

    score = float(recording.metadata.get("score", "0.4")) if args.score is None else args.score
    detector = make_detector(detector_of(args.detector, args), score, recording.config)
    most = MOST if recording.metadata.get("clock") == "wall" else None
    with bar("detecting", recording.size) as advance:
        diff = replay(recording, detector, detector.manifest.name, most=most, advance=advance)  # type: ignore[attr-defined]
    if not diff.frames:
        raise UsageError(
            f"{recording.path} holds no frame that a detector looked at ({diff.unseen} frames in all); record a run "
            "with `edgebot run --policy person --record FILE`, or with --camera"
        )
    return diff


def _tell_policy(console: Console, diff: PolicyDiff, recording: Recording) -> None:
    from rich.table import Table

    from edge.replay.policy import words

    told = diff.as_dict(recording.config.drive)
    steps, different = diff.steps, diff.different
    table = Table(title=f"{diff.policy} on {recording.path.name}", title_justify="left", show_header=False, box=None)
    span = told["recorded_s"]
    speed = f"{span / max(diff.took_s, 1e-9):.0f} times as fast as it was"
    table.add_row("iterations", f"{len(steps)}: {span:.1f} s in {diff.took_s:.2f} s, {speed}")
    verdict = "[green]all equal, bit for bit[/]" if diff.exact else f"[yellow]{len(different)} differ[/]"
    table.add_row("commands", f"{verdict}, {told['equal']} equal")
    if different:
        first = different[0]
        table.add_row("first difference", f"iteration {first.index}, {first.now - steps[0].now:.2f} s after the first")
        table.add_row("  recorded", words(first.recorded, first.failed))
        table.add_row("  replayed", words(first.replayed, first.fails))
        for name, unit in (("v_mps", "m/s"), ("omega_radps", "rad/s")):
            mean, most = told[f"mean_abs_{name}"], told[f"max_abs_{name}"]
            table.add_row(name.split("_")[0], f"apart by {mean:.4g} {unit} on average, {most:.4g} {unit} at most")
        failing = sum(step.fails for step in steps), sum(step.failed for step in steps)
        if any(failing):
            table.add_row("raised", f"in {failing[0]} iterations now, in {failing[1]} then")
    if diff.not_asked:
        table.add_row("not asked", f"{diff.not_asked} iterations: the loop failed before it came to the policy")
    if diff.late:
        table.add_row("incomplete", "[yellow]it does not begin with the run: the policy's memory may differ[/]")
    if diff.gaps or recording.dropped:
        lost = f"{diff.gaps} gaps, {recording.dropped} items dropped"
        table.add_row("incomplete", f"[yellow]{lost}: the policy's memory may differ[/]")
    console.print(table)


def _tell_detector(console: Console, diff: DetectorDiff) -> None:
    from rich.table import Table

    told = diff.as_dict()
    frames = len(diff.frames)
    table = Table(title=f"{diff.detector} on recorded frames", title_justify="left", show_header=False, box=None)
    table.add_row("frames", f"{frames} ({', '.join(told['formats'])}), looked at again in {diff.cost_s:.2f} s")
    verdict = "[green]all equal, bit for bit[/]" if diff.exact else f"[yellow]{frames - told['equal']} differ[/]"
    table.add_row("detections", f"{verdict}, {told['equal']} equal")
    table.add_row("boxes", f"{told['boxes_recorded']} recorded, {told['boxes_replayed']} replayed")
    table.add_row("", f"{told['boxes_in_both']} in both, {told['boxes_lost']} not found again, {told['boxes_new']} new")
    if diff.pairs and not diff.exact:
        table.add_row("overlap", f"{told['mean_iou']:.3f} IoU on average")
        table.add_row("scores", f"apart by {told['max_abs_score']:.3f} at most")
    if diff.unseen:
        table.add_row("no record", f"{diff.unseen} frames, which nobody looked at in the run")
    console.print(table)
