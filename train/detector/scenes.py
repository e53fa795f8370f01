"""Labelled pictures of simulated rooms: what the robot's camera sees, and where the persons are.

Everything follows from a room's seed; seeds below `EVALUATION_SEEDS` are for training, the others for judging.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from robot import config
from robot.sim.camera import Camera
from robot.sim.geometry import Rectangles, distance_to_rectangles, rectangles
from robot.sim.room import PersonState, Room
from robot.sim.rooms import make_room
from train.detector.examples import IGNORED, Examples, Truth

LABELS = ("person",)
PERSON = 0
_ROBOT_GAP, _PERSON_GAP = 0.14, 0.3  # m from walls and obstacles
TRAINED = 1 / 3
"""Persons of whom at least this share of what the frame holds is in view are learnt."""

_LEAST_SIZE = (10, 24)  # pixels of a frame 640 wide; smaller persons are neither learnt nor asked for


@dataclass(frozen=True)
class Scene:
    """One picture: `image` uint8 RGB; `boxes` (P, 4) x, y, width, height in its pixels.

    A box goes round what is seen of a person. Of what the frame holds of a person, `visible` (P,) is the share that
    nothing hides.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    visible: NDArray[np.float64]

    def asked(self, visible: float) -> NDArray[np.bool_]:
        """(P,) who must be found: all with at least that share in view; at 0 everyone of whom a pixel shows."""
        if visible <= 0:
            return np.ones(len(self.boxes), bool)
        least = np.array(_LEAST_SIZE) * self.image.shape[1] / 640
        asked: NDArray[np.bool_] = (self.visible >= visible) & np.all(self.boxes[:, 2:] >= least, axis=1)
        return asked


def scenes(seed: int, frames: int) -> Iterator[Scene]:
    """`frames` pictures of the room of `seed`: about a quarter without a person, the others with one to three."""
    rng = np.random.default_rng([seed, 11])
    task = str(rng.choice(["person", "demo", "light"], p=[0.75, 0.15, 0.1]))
    room = make_room(task, "hard" if rng.random() < 0.5 else "easy", seed)
    camera = Camera(_example_camera(), room)
    shapes = rectangles(room.obstacles)
    for step in range(frames):
        pose, persons = _staging(rng, room, shapes)
        image = camera.render(pose, persons, step)
        boxes = np.array(camera.person_boxes(pose, persons)).reshape(-1, 5)
        boxes = boxes[boxes[:, 4] > 0]
        yield Scene(image, boxes[:, :4], boxes[:, 4])


def _example_camera() -> config.Camera:
    camera = config.load().camera
    assert camera is not None  # the example robot has one; a test of the configuration says so
    return camera


def _staging(
    rng: np.random.Generator, room: Room, shapes: Rectangles
) -> tuple[tuple[float, float, float], list[PersonState]]:
    """Where the robot stands and looks, and who is there."""
    robots, places = _free(rng, room, shapes, _ROBOT_GAP), _free(rng, room, shapes, _PERSON_GAP)
    robot = robots[0]
    kind = rng.random()
    yaw = float(rng.uniform(-np.pi, np.pi))
    if kind < 0.22 or not len(places):
        if rng.random() < 0.7:  # nobody, but something to mistake
            yaw = _towards(rng, robot, room.obstacles[rng.integers(len(room.obstacles))].mean(axis=0))
        return (float(robot[0]), float(robot[1]), yaw), []
    person = places[0]
    wanted = rng.uniform(0.55, 4.5) if kind < 0.7 else rng.uniform(0.6, 2.0)
    away = np.hypot(*(robots - person).T)
    robot = robots[np.abs(away - wanted).argmin()]
    if kind < 0.93:
        yaw = _towards(rng, robot, person)
    others = places[1 : 1 + int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))]
    people = [place for place in (person, *others) if np.hypot(*(place - robot)) > 0.5]
    return (float(robot[0]), float(robot[1]), yaw), [_somebody(rng, place) for place in people]


def _somebody(rng: np.random.Generator, place: NDArray[np.float64]) -> PersonState:
    phase = 0.0 if rng.random() < 0.55 else float(rng.uniform(0.01, 2 * np.pi))
    return PersonState(
        float(place[0]), float(place[1]), float(rng.uniform(-np.pi, np.pi)), phase, float(rng.uniform(1.5, 1.95)),
        int(rng.integers(2**31)),
    )  # fmt: skip


def _towards(rng: np.random.Generator, robot: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """A heading that has the target within the frame, mostly."""
    return float(np.arctan2(*(target - robot)[::-1]) + rng.uniform(-0.55, 0.55))


def _free(rng: np.random.Generator, room: Room, shapes: Rectangles, gap: float) -> NDArray[np.float64]:
    points = rng.uniform((gap, gap), (room.size_m[0] - gap, room.size_m[1] - gap), (96, 2))
    free = points[distance_to_rectangles(points, shapes).min(axis=-1) >= gap]
    return free if len(free) or gap > _ROBOT_GAP else room.start[None, :2]


Part = tuple[NDArray[np.uint8], list[Truth]]
"""Pictures of one room (N, height, width, 3), as the runtime would resize them, and the truth of each."""


def room_examples(seed: int, frames: int, width: int, height: int) -> Part:
    """Training examples from one room; persons who need not be found are there as `IGNORED`."""
    images, truths = np.empty((frames, height, width, 3), np.uint8), []
    for number, scene in enumerate(scenes(seed, frames)):
        tall, wide = scene.image.shape[:2]
        cv2.resize(scene.image, (width, height), dst=images[number], interpolation=cv2.INTER_LINEAR)
        sizes = scene.boxes[:, 2:]
        boxes = np.concatenate([scene.boxes[:, :2] + sizes / 2, sizes], axis=1) / [wide, tall, wide, tall]
        kinds = np.where(scene.asked(TRAINED), PERSON, IGNORED)
        truths.append(np.concatenate([boxes, kinds[:, None]], axis=1).astype(np.float32))
    return images, truths


def _leave_interrupts() -> None:
    """Ctrl-C is the parent's to deal with: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _job(arguments: tuple[int, int, int, int]) -> Part:
    cv2.setNumThreads(1)
    return room_examples(*arguments)


def render(seeds: Sequence[int], frames: int, width: int, height: int, workers: int = 2) -> Iterator[Part]:
    """Examples of each room in the order of `seeds`, drawn by worker processes."""
    jobs = [(seed, frames, width, height) for seed in seeds]
    if workers <= 1:
        yield from map(_job, jobs)
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, _leave_interrupts) as pool:
        yield from pool.imap(_job, jobs, chunksize=4)


def gather(parts: Sequence[Part]) -> Examples:
    """Many rooms' examples as one."""
    return Examples(np.concatenate([images for images, _ in parts]), [truth for _, truths in parts for truth in truths])
