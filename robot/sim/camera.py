"""What the robot's camera sees in a room, drawn with OpenCV: surfaces, things and persons in true perspective.

Floor and walls are textures warped by homographies of the tilted pinhole (`robot.pinhole`); things and
persons are painted over them from far to near, so that boxes hide what stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot import config
from robot.pinhole import Pinhole
from robot.sim import figure, order
from robot.sim.decor import PPM, Wall, floor_to_texture, make_decor
from robot.sim.furniture import furnish
from robot.sim.optics import Lens, glow, shadow
from robot.sim.room import PersonState, Room
from robot.sim.solids import Array, Colour, Mesh, capsule_outlines, fill, mesh, to_fixed
from robot.sim.view import Image, Outline, View, clipped, polygon

Box = tuple[float, float, float, float, float]

_PERSON = -1  # what `_sorted` calls a person; obstacles and the lamp go by their number
_FINE = 200  # pixels; persons taller than this in the image are shaded finely
_LEVELS = (1.8, 5.0)  # texture pixels per image row from which the floor's smoother versions serve


class Camera:
    """The camera of one robot in one room.

    Args:
        camera: of the robot's configuration: size, field of view, height, tilt.
        room: what is to be seen; its textures are made here, once (about 30 ms).
        width, height: draw the same view in another number of pixels than the configuration's.
        photos: pictures of whole persons, uint8 RGB, that stand upright in the place of drawn figures (see `_photo`).
    """

    def __init__(
        self,
        camera: config.Camera,
        room: Room,
        width: int | None = None,
        height: int | None = None,
        photos: Sequence[Image] = (),
    ) -> None:
        self.pinhole = Pinhole.from_config(camera, width, height)
        self.room = room
        self.decor = make_decor(room)
        self._mesh: Mesh = mesh(furnish(room, self.decor))
        self._footprints = [*room.obstacles, order.square(room.lamp, 0.09)]
        self._lens = Lens(self.pinhole, room.decor)
        width, height = self.pinhole.width, self.pinhole.height
        self._coarse = replace(self.pinhole, width=width // 2, height=height // 2) if width >= 480 else self.pinhole
        self._ceiling = np.empty((self._coarse.height, self._coarse.width, 3), np.uint8)
        self._ceiling[:] = self.decor.ceiling
        self._photos = [_smaller(photo) for photo in photos]

    def render(self, pose: ArrayLike, persons: Sequence[PersonState] = (), step: int = 0) -> Image:
        """The frame, uint8 (height, width, 3) RGB, that a robot at `pose` (x, y, yaw) sees.

        `step` keys the sensor's noise: the same room, pose, persons and step give the same frame.
        """
        view = View(self.pinhole, pose)
        image = self._surfaces(view)
        self._things(image, view, persons)
        return self._lens.expose(image, step)

    def person_boxes(self, pose: ArrayLike, persons: Sequence[PersonState]) -> list[Box]:
        """Labels: for each person its box (x, y, width, height, visible) round what is seen of it.

        `visible` is the share of its outline within the frame that nothing hides; a person of whom
        nothing is seen has a box of zeros. In the order of `persons`.
        """
        view = View(self.pinhole, pose)
        labels: NDArray[np.uint8] = np.zeros((self.pinhole.height, self.pinhole.width), np.uint8)
        whole = np.zeros(len(persons), np.int64)
        outlines = self._outlines(view)
        for number, person in self._sorted(view, persons):
            if number != _PERSON:
                for part in self._mesh.things[number]:
                    for item, _ in self._mesh.items[part]:
                        if (outline := outlines(item)) is not None:
                            fill(labels, outline, 0, smooth=False)
                continue
            label = person + 1
            for outline in _person_outlines(view, persons[person]):
                fill(labels, outline, label, smooth=False)
            whole[person] = np.count_nonzero(labels == label)
        boxes: list[Box] = []
        for person in range(len(persons)):
            seen = labels == person + 1
            count = int(np.count_nonzero(seen))
            if not count:
                boxes.append((0.0, 0.0, 0.0, 0.0, 0.0))
                continue
            x, y, width, height = cv2.boundingRect(seen.astype(np.uint8))
            boxes.append((float(x), float(y), float(width), float(height), count / float(whole[person])))
        return boxes

    def project(self, points: ArrayLike, pose: ArrayLike) -> tuple[Array, Array]:
        """Pixels (..., 2) and depths (...) of points (..., 3) of the world; see `Pinhole.project`."""
        return self.pinhole.project(points, pose)

    def _surfaces(self, view: View) -> Image:
        """Ceiling, floor and walls. Their textures are coarser than a large image, so half its pixels do."""
        pinhole = self._coarse
        coarse = view if pinhole is self.pinhole else View(pinhole, view.pose)
        image = self._ceiling.copy()
        for panel in self.decor.panels:
            polygon(image, coarse, panel, (255, 255, 250))
        self._floor(image, coarse)
        for wall in self.decor.walls:
            _draw_wall(image, coarse, wall, self.decor.wall_height)
        if pinhole is self.pinhole:
            return image
        return cv2.resize(image, (self.pinhole.width, self.pinhole.height), interpolation=cv2.INTER_LINEAR)

    def _floor(self, image: Image, view: View) -> None:
        pinhole = view.pinhole
        top = max(0, int(np.ceil(pinhole.horizon + 1)))
        if top >= pinhole.height:
            return
        # The plane z = 0 onto the image, and back.
        plane = np.column_stack([view.rotation[:, 0], view.rotation[:, 1], -view.rotation @ view.position])
        back = floor_to_texture() @ cv2.invert(pinhole.matrix @ plane)[1]
        rows = np.arange(top, pinhole.height)
        # How many texture pixels one image row spans: distance grows as height / (row - horizon).
        distance = pinhole.floor_distance(np.column_stack([np.full(len(rows), pinhole.width / 2), rows + 0.5]))
        span = distance**2 / (pinhole.z * pinhole.focal) * PPM
        edges = [top, *(top + int(np.searchsorted(-span, -level)) for level in _LEVELS[::-1]), pinhole.height]
        for texture, low, high in zip(self.decor.floors[::-1], edges[:-1], edges[1:], strict=True):
            if high > low:
                _warp(image, texture, back, (0, low, pinhole.width, high), cv2.BORDER_REPLICATE)

    def _outlines(self, view: View) -> Callable[[int], Outline | None]:
        """A function from an item of the mesh to its outline in the image, or None where it is not seen."""
        pinhole, solid = self.pinhole, self._mesh
        camera = (solid.quads - view.position) @ view.rotation.T
        facing = np.einsum("qi,qi->q", solid.normals, solid.quads[:, 0] - view.position) < 0
        pixels, inside, any_inside = view.pixels(camera)
        quads = to_fixed(pixels)
        ends, radii, shown = view.capsules(solid.ends, solid.radii)
        capsules = to_fixed(capsule_outlines(ends[:, 0], ends[:, 1], radii[:, 0], radii[:, 1]))

        def outline(item: int) -> Outline | None:
            if item < 0:
                return capsules[~item] if shown[~item] else None
            if not facing[item] or not any_inside[item]:
                return None
            if inside[item]:
                return quads[item]
            return clipped(pinhole, camera[item])

        return outline

    def _sorted(self, view: View, persons: Sequence[PersonState]) -> list[tuple[int, int]]:
        """(number of the thing, -) or (_PERSON, number of the person), from far to near."""
        squares = [order.square(np.array([person.x, person.y]), 0.16) for person in persons]
        things = len(self._footprints)
        ranks = order.far_to_near(
            [*self._footprints, *squares], view.position[:2], view.yaw, self.pinhole.horizontal_fov / 2 + 0.15
        )
        return [(rank, 0) if rank < things else (_PERSON, rank - things) for rank in ranks]

    def _things(self, image: Image, view: View, persons: Sequence[PersonState]) -> None:
        solid, outlines = self._mesh, self._outlines(view)
        away = np.linalg.norm(solid.centres - view.position, axis=1)
        lamp = len(self._footprints) - 1
        for person in persons:
            shadow(image, view, person)
        for number, person_number in self._sorted(view, persons):
            if number == _PERSON:
                person = persons[person_number]
                if self._photos:
                    self._photo(image, view, person)
                    continue
                light = self.decor.light_at(np.array([person.x, person.y]))
                for outline, colour in _person_strokes(view, person, self.decor.key, light):
                    fill(image, outline, colour)
                continue
            if number == lamp:
                glow(image, view, self.room.lamp, self.decor.glow)
            for part in sorted(solid.things[number], key=lambda part: -away[part]):
                for item, colour in solid.items[part]:
                    shape = outlines(item)
                    if shape is not None:
                        fill(image, shape, colour)

    def _photo(self, image: Image, view: View, person: PersonState) -> None:
        """A person's photo, chosen by `look`, as tall as the person, turned to the camera."""
        sizes = self._photos[person.look % len(self._photos)]
        across = np.array([person.x, person.y]) - view.position[:2]
        distance = max(float(np.hypot(*across)), 0.1)
        along = np.array([across[1], -across[0]]) / distance
        wanted = view.pinhole.focal * person.height_m / distance
        picture = next((one for one in sizes if len(one) <= 2 * wanted), sizes[-1])  # finer ones would flicker
        breadth = person.height_m * picture.shape[1] / picture.shape[0]
        corner = np.array([person.x, person.y]) - along * (breadth / 2)
        _draw_wall(image, view, Wall(corner, along, breadth, picture), person.height_m, len(picture) / person.height_m)


def _smaller(photo: Image) -> list[Image]:
    """A picture and its halves, down to 16 rows."""
    sizes = [photo]
    while min(sizes[-1].shape[:2]) >= 16:
        sizes.append(np.asarray(cv2.pyrDown(sizes[-1]), np.uint8))
    return sizes


def _warp(image: Image, texture: Image, back: Array, area: tuple[int, int, int, int], border: int) -> None:
    """Draw a texture into x0, y0, x1, y1 of the image; `back` leads from continuous image to texture pixels."""
    x0, y0, x1, y1 = area
    into = np.array([[1, 0, x0 + 0.5], [0, 1, y0 + 0.5], [0, 0, 1]])
    out = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    cv2.warpPerspective(
        texture, out @ back @ into, (x1 - x0, y1 - y0), dst=image[y0:y1, x0:x1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border,
    )  # fmt: skip


def _draw_wall(image: Image, view: View, wall: Wall, height: float, ppm: float = PPM) -> None:
    """Draw an upright texture of `ppm` pixels per metre."""
    corner, along = np.array([*wall.corner, 0.0]), np.array([*wall.along, 0.0])
    up = np.array([0.0, 0.0, height])
    corners = np.array([corner, corner + along * wall.length, corner + along * wall.length + up, corner + up])
    outline = clipped(view.pinhole, view.camera(corners))
    if outline is None:
        return
    shape = outline / 16 + 0.5
    x0, y0 = np.maximum(np.floor(shape.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(shape.max(axis=0)).astype(int) + 1, [view.pinhole.width, view.pinhole.height])
    if x1 <= x0 or y1 <= y0:
        return
    # From (column, row, 1) of the texture, row 0 at the ceiling, to the image.
    plane = view.rotation @ np.column_stack([along / ppm, [0, 0, -1 / ppm], corner + up - view.position])
    back = cv2.invert(view.pinhole.matrix @ plane)[1]
    edges = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]])
    if (back[2] @ edges.T > 0).all() or (back[2] @ edges.T < 0).all():
        _warp(image, wall.texture, back, (x0, y0, x1, y1), cv2.BORDER_TRANSPARENT)
        return
    # Part of the area sees the plane behind the lens, mirrored: draw aside and take what is within the outline.
    aside = image.copy()
    _warp(aside, wall.texture, back, (x0, y0, x1, y1), cv2.BORDER_REPLICATE)
    mask = np.zeros(image.shape[:2], np.uint8)
    fill(mask, outline, 255, smooth=False)
    image[y0:y1, x0:x1] = np.where(mask[y0:y1, x0:x1, None] > 0, aside[y0:y1, x0:x1], image[y0:y1, x0:x1])


def _person_outlines(view: View, person: PersonState) -> Iterator[Outline]:
    """Convex outlines that together cover a person; none if it is not before the lens."""
    for outline, _ in _person_strokes(view, person, np.zeros(2), np.ones(3), layers=(0,)):
        yield outline


def _person_strokes(
    view: View, person: PersonState, key: Array, light: Array, layers: tuple[int, ...] | None = None
) -> Iterator[tuple[Outline, Colour]]:
    """(outline, colour) of a person's strokes, from far to near, as lit; none if it is not before the lens."""
    dressed = figure.look(person.look)
    joints = figure.skeleton(person, dressed)
    aside = (dressed.shifts * person.height_m)[:, None, None] * np.array([key[0], key[1], 0.3])
    middles, radii, shown = view.capsules(joints[dressed.joints] + aside, dressed.radii * person.height_m)
    if not shown.any():
        return
    place = joints - view.position
    away = dict(zip(figure.JOINTS, np.einsum("ji,ji->j", place, place).tolist(), strict=True))
    towards = view.position[:2] - (person.x, person.y)
    distance = float(np.hypot(towards[0], towards[1]))
    faces = np.cos(person.yaw) * towards[0] + np.sin(person.yaw) * towards[1] > 0.1 * distance
    if layers is None:  # far away the finer shades are less than a pixel wide
        layers = (0, 1, 2, 3) if view.pinhole.focal * person.height_m > _FINE * distance else (0, 2)
    shapes = to_fixed(capsule_outlines(middles[:, 0], middles[:, 1], radii[:, 0], radii[:, 1]))
    # Legs first, whatever their depth: clothes hang over them.
    for _, strokes in sorted(dressed.parts, key=lambda part: (part[0] not in figure.LEGS, -away[part[0]])):
        for stroke in strokes:
            if stroke.layer not in layers or (stroke.front and not faces):
                continue
            if len(stroke.capsules) == 1:
                if not shown[stroke.capsules[0]]:
                    continue
                shape = shapes[stroke.capsules[0]]
            else:
                if not all(shown[index] for index in stroke.capsules):
                    continue
                shape = cv2.convexHull(shapes[list(stroke.capsules)].reshape(-1, 2)).reshape(-1, 2)
            red, green, blue = stroke.colour
            yield shape, (min(255.0, red * light[0]), min(255.0, green * light[1]), min(255.0, blue * light[2]))
