"""The demo's film: map and camera side by side, with captions; and the picture for the README."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.types import Detection
from robot.config import RobotConfig
from train.demo_drive import TASKS, Drive, Shot
from train.demo_map import EDGE, GREEN, INK, LEG_COLOURS, PANEL, QUIET, TEXT, Colour, Image, RoomMap
from train.demo_map import Path as MapPath

WIDTH, HEIGHT = 1280, 720
SPEED_UP = 2.0
TITLES = {"light": "1  seek the light", "range": "2  approach an object", "person": "3  find a person"}
CAPTIONS = {
    "light": "The policy that it has just learnt follows the light.",
    "range": "By sonar: to 0.25 m before the nearest thing that stands free.",
    "person": "By camera and an int8 detector: to 1.2 m before a person.",
}
REACHED = {
    "light": "At the lamp.",
    "range": "A hand's breadth and a half in front of the object.",
    "person": "In front of the person.",
}
_MAP = (20, 84, 572, 516)  # x, y, width, height
_CAMERA = (612, 84, 648, 486)


class Film:
    """Composes the frames of one drive."""

    def __init__(self, drive: Drive, config: RobotConfig) -> None:
        self._drive, self._config = drive, config
        self._map = RoomMap(drive.room, config, _MAP[2], _MAP[3])

    def __len__(self) -> int:
        return len(self._drive.shots)

    def frames(self, told: Callable[[int], None] = lambda done: None) -> Iterator[Image]:
        """Every frame of the film, (720, 1280, 3) RGB."""
        past: dict[str, list[tuple[float, float]]] = {}
        for number, shot in enumerate(self._drive.shots):
            past.setdefault(shot.task, []).append(shot.pose[:2])
            yield self.compose(shot, past)
            told(number + 1)

    def last(self, task: str) -> tuple[Shot, dict[str, list[tuple[float, float]]]]:
        """The last shot of a leg, and the paths up to it."""
        past: dict[str, list[tuple[float, float]]] = {}
        found = None
        for shot in self._drive.shots:
            if found is not None and found.task == task != shot.task:
                break
            past.setdefault(shot.task, []).append(shot.pose[:2])
            found = shot
        assert found is not None
        return found, past

    def compose(self, shot: Shot, past: dict[str, list[tuple[float, float]]]) -> Image:
        """One frame."""
        image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        image[:] = INK
        found = self._drive.seen.get(shot.stamp, ())
        self._header(image, shot)
        paths = [MapPath(task, np.array(points)) for task, points in past.items()]
        seen = [one.bearing for one in found if one.bearing is not None] if shot.task == "person" else []
        room = self._map.draw(shot.pose, shot.persons, paths, shot.echo, seen, shot.task)
        self._map.start(room, tuple(self._drive.room.start))
        _paste(image, room, _MAP[0], _MAP[1])
        frame = np.asarray(cv2.imdecode(shot.jpeg, cv2.IMREAD_COLOR))[..., ::-1]
        view = cv2.resize(frame, _CAMERA[2:], interpolation=cv2.INTER_AREA)
        _boxes(view, found, _CAMERA[2] / frame.shape[1])
        _paste(image, view, _CAMERA[0], _CAMERA[1])
        write(image, "from above", _MAP[0] + 12, _MAP[1] + 10, 15, TEXT, shade=True)
        write(image, "camera, 640 x 480", _CAMERA[0] + 12, _CAMERA[1] + 10, 15, TEXT, shade=True)
        self._footer(image, shot)
        return image

    def _header(self, image: Image, shot: Shot) -> None:
        write(image, "edgebot", 20, 22, 30, TEXT, bold=True)
        write(image, f"room {self._drive.room.seed}", 168, 34, 16, QUIET)
        x, now = 612, TASKS.index(shot.task)
        for number, task in enumerate(TASKS):
            text, active, done = TITLES[task], number == now, number < now or (number == now and shot.reached)
            wide = text_width(text, 17, active) + (52 if done else 28)
            colour = LEG_COLOURS[task] if active or done else EDGE
            _pill(image, x, 20, wide, 40, colour, filled=active)
            write(image, text, x + 14, 30, 17, INK if active else colour, bold=active)
            if done:
                _tick(image, x + wide - 24, 40, INK if active else colour)
            x += wide + 8

    def _footer(self, image: Image, shot: Shot) -> None:
        top = _MAP[1] + _MAP[3] + 14
        caption = REACHED[shot.task] if shot.reached else CAPTIONS[shot.task]
        size = next(size for size in range(21, 8, -1) if text_width(caption, size, shot.reached) <= _MAP[2])
        write(image, caption, 20, top + 4, size, LEG_COLOURS[shot.task], bold=shot.reached)
        write(image, f"{shot.time:5.1f} s   (film at {SPEED_UP:g}x)", 20, top + 46, 16, QUIET)
        x, y = _CAMERA[0], _CAMERA[1] + _CAMERA[3] + 20
        write(image, "light", x, y, 15, QUIET)
        for side, value in enumerate(shot.light):
            _bar(image, x + 64 + 116 * side, y + 3, 108, value, LEG_COLOURS["light"])
        write(image, "sonar", x + 318, y, 15, QUIET)
        _bar(image, x + 376, y + 3, 150, (shot.echo or 0.0) / self._config.range.max_m, LEG_COLOURS["range"])
        echo = "no echo" if shot.echo is None else f"{shot.echo:.2f} m"
        write(image, echo, x + 540, y, 15, TEXT)
        write(image, "wheels", x, y + 36, 15, QUIET)
        write(image, f"{shot.speed[0]:+.2f} m/s   {shot.speed[1]:+.2f} rad/s", x + 64, y + 36, 15, TEXT)
        write(image, "guard", x + 318, y + 36, 15, QUIET)
        write(image, shot.reason.replace("_", " "), x + 376, y + 36, 15, TEXT)


def poster(drive: Drive, config: RobotConfig, path: Path) -> None:
    """Write the picture for the README: the end of the drive, or the moment in which a person is seen best."""
    film = Film(drive, config)
    shot, past = film.last(drive.shots[-1].task)
    best, so_far = (shot, past), dict[str, list[tuple[float, float]]]()
    worth = -1.0
    for one in drive.shots:
        so_far.setdefault(one.task, []).append(one.pose[:2])
        for found in drive.seen.get(one.stamp, ()):
            x, y, w, h = found.box
            whole = x > 40 and x + w < 600 and y > 20 and y + h < 460
            value = found.score * h * (10.0 if whole else 1.0)
            if one.task == "person" and found.label == "person" and value > worth:
                worth = value
                best = one, {task: list(points) for task, points in so_far.items()}
    image = film.compose(*best)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


# -- drawing


@lru_cache(maxsize=16)
def _font(size: int, bold: bool):  # type: ignore[no-untyped-def]
    from matplotlib import get_data_path
    from PIL import ImageFont  # both come with matplotlib, and so does the font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


@lru_cache(maxsize=2048)
def _letters(text: str, size: int, bold: bool) -> NDArray[np.float32]:
    """A text's coverage, (rows, columns, 1), 0..1."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    font = _font(size, bold)
    picture = Pictures.new("L", (max(1, math.ceil(font.getlength(text)) + 2), int(size * 1.4)), 0)
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font)
    return np.asarray(picture, np.float32)[..., None] / np.float32(255)


def text_width(text: str, size: int, bold: bool = False) -> int:
    """Width of a text in pixels."""
    return math.ceil(_font(size, bold).getlength(text))


def write(
    image: Image, text: str, x: int, y: int, size: int, colour: Colour, bold: bool = False, shade: bool = False
) -> None:
    """Write a text with its top left corner at x, y; `shade` darkens what is behind it."""
    letters = _letters(text, size, bold)
    rows, columns = min(letters.shape[0], image.shape[0] - y), min(letters.shape[1], image.shape[1] - x)
    if rows <= 0 or columns <= 0:
        return
    if shade:
        behind = image[max(0, y - 4) : y + rows + 2, max(0, x - 6) : x + columns + 6]
        behind[:] = (behind * 0.45).astype(np.uint8)
    area, cover = image[y : y + rows, x : x + columns], letters[:rows, :columns]
    area[:] = (area * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)


def _paste(image: Image, part: NDArray[np.uint8], x: int, y: int) -> None:
    image[y : y + part.shape[0], x : x + part.shape[1]] = part


def _pill(image: Image, x: int, y: int, width: int, height: int, colour: Colour, filled: bool) -> None:
    radius = height // 2
    ends = ((x + radius, y + radius), (x + width - radius, y + radius))
    if filled:
        cv2.rectangle(image, (x + radius, y), (x + width - radius, y + height), colour, -1)
        for end in ends:
            cv2.circle(image, end, radius, colour, -1, cv2.LINE_AA)
        return
    cv2.line(image, (x + radius, y), (x + width - radius, y), colour, 1, cv2.LINE_AA)
    cv2.line(image, (x + radius, y + height), (x + width - radius, y + height), colour, 1, cv2.LINE_AA)
    cv2.ellipse(image, ends[0], (radius, radius), 0, 90, 270, colour, 1, cv2.LINE_AA)
    cv2.ellipse(image, ends[1], (radius, radius), 0, -90, 90, colour, 1, cv2.LINE_AA)


def _tick(image: Image, x: int, y: int, colour: Colour) -> None:
    points = np.array([[x - 5, y], [x - 1, y + 5], [x + 7, y - 6]], np.int32)
    cv2.polylines(image, [points], False, colour, 2, cv2.LINE_AA)


def _bar(image: Image, x: int, y: int, width: int, value: float, colour: Colour) -> None:
    cv2.rectangle(image, (x, y), (x + width, y + 12), PANEL, -1)
    filled = int(width * min(max(value, 0.0), 1.0))
    if filled:
        cv2.rectangle(image, (x, y), (x + filled, y + 12), colour, -1)


def _boxes(view: Image, found: Sequence[Detection], scale: float) -> None:
    for one in found:
        x, y, w, h = (round(side * scale) for side in one.box)
        cv2.rectangle(view, (x, y), (x + w, y + h), GREEN, 3, cv2.LINE_AA)
        label = f"{one.label} {one.score:.2f}"
        wide = text_width(label, 16, True) + 12
        left, top = min(max(x, 0), view.shape[1] - wide), max(y, 0)
        cv2.rectangle(view, (left, top), (left + wide, top + 24), GREEN, -1)
        write(view, label, left + 6, top + 2, 16, INK, bold=True)
