"""Persons as the camera draws them: a skeleton with limbs of shaded capsules, dressed from a seed.

Proportions follow the usual ones of figure drawing and anthropometry (Winter, "Biomechanics and Motor
Control of Human Movement", table of segment lengths as fractions of body height).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robot.sim import textures
from robot.sim.room import PersonState
from robot.sim.solids import Colour

Array = NDArray[np.float64]

_NAMES = (
    "hip_l hip_r knee_l knee_r ankle_l ankle_r toe_l toe_r shoulder_l shoulder_r elbow_l elbow_r wrist_l wrist_r "
    "hand_l hand_r neck chin crown hair_back hair_low eye_l eye_r mouth collar belly waist_l waist_r hem_l hem_r "
    "pack_high pack_low fringe_l fringe_r"
)
JOINTS = tuple(_NAMES.split())
LEGS = frozenset({"toe_l", "toe_r", "knee_l", "knee_r"})
"""Parts, by the joint that orders them, over which the others hang."""
_INDEX = {name: number for number, name in enumerate(JOINTS)}

_TONES = ((0.7, 1.0, 0.0), (0.82, 0.86, 0.12), (0.92, 0.68, 0.26), (1.0, 0.45, 0.42))
"""Layers of a limb: brightness, share of the radius, shift towards the light in radii."""


@dataclass(frozen=True)
class Stroke:
    """One outline of one colour: the convex hull of some capsules.

    `front` ones show only from the front; `layer` counts a limb's shades, those of layer 0 cover all of it.
    """

    capsules: tuple[int, ...]
    colour: Colour
    front: bool = False
    layer: int = 0


@dataclass(frozen=True)
class Look:
    """How a person is built and dressed, for a height of 1 m; capsules refer to joints."""

    joints: NDArray[np.int64]  # (C, 2)
    radii: Array  # (C, 2)
    shifts: Array  # (C,) how far towards the light, m
    parts: tuple[tuple[str, tuple[Stroke, ...]], ...]  # the joint whose depth orders the part, its strokes
    shoulder: float
    hip: float
    arms: tuple[str, str]
    stance: float
    lean: float


class _Dresser:
    """Collects capsules and strokes."""

    def __init__(self) -> None:
        self.joints: list[tuple[int, int]] = []
        self.radii: list[tuple[float, float]] = []
        self.shifts: list[float] = []
        self.parts: list[tuple[str, tuple[Stroke, ...]]] = []

    def capsule(self, ends: tuple[str, str], radii: tuple[float, float], shift: float = 0.0) -> int:
        self.joints.append((_INDEX[ends[0]], _INDEX[ends[1]]))
        self.radii.append(radii)
        self.shifts.append(shift)
        return len(self.joints) - 1

    def shaded(self, colour: Colour, *limbs: tuple[str, str, float, float], front: bool = False) -> list[Stroke]:
        """Strokes from dark to light for the hull of limbs (joint, joint, radius, radius)."""
        strokes = []
        for layer, (tone, share, shift) in enumerate(_TONES):
            capsules = tuple(
                self.capsule((a, b), (ra * share, rb * share), shift * min(ra, rb)) for a, b, ra, rb in limbs
            )
            strokes.append(Stroke(capsules, textures.shade(colour, tone), front, layer))
        return strokes

    def flat(self, colour: Colour, *limbs: tuple[str, str, float, float], front: bool = False) -> Stroke:
        return Stroke(tuple(self.capsule((a, b), (ra, rb)) for a, b, ra, rb in limbs), colour, front)

    def part(self, joint: str, *strokes: Stroke | list[Stroke]) -> None:
        flat: list[Stroke] = []
        for stroke in strokes:
            flat += stroke if isinstance(stroke, list) else [stroke]
        self.parts.append((joint, tuple(flat)))


def _limb(lower: list[Stroke], upper: list[Stroke], same: bool) -> list[Stroke]:
    """Two halves of a limb; of the `same` cloth they are painted tone by tone, so that no rim shows at the joint."""
    return [stroke for tone in zip(lower, upper, strict=True) for stroke in tone] if same else lower + upper


_SKINS = ((255, 219, 190), (241, 194, 160), (224, 172, 125), (198, 134, 90), (141, 85, 52), (92, 58, 40))
_HAIRS = ((35, 25, 20), (70, 45, 25), (120, 80, 40), (200, 165, 95), (150, 145, 140), (130, 60, 30), (20, 20, 25))


@lru_cache(maxsize=512)
def look(seed: int) -> Look:
    """Dress a person; the same seed gives the same person."""
    rng = np.random.default_rng([seed, 77])
    build = float(rng.uniform(0.82, 1.25))
    dresser = _Dresser()
    skin = textures.shade(_SKINS[rng.integers(len(_SKINS))], rng.uniform(0.9, 1.05))
    top, bottom = textures.any_colour(rng), textures.any_colour(rng)
    if rng.random() < 0.45:  # most people wear dark or blue trousers
        bottom = textures.colour(rng, (0.55, 0.68), (0.05, 0.6), (0.12, 0.5))
    shoe = textures.any_colour(rng) if rng.random() < 0.4 else textures.colour(rng, (0, 1), (0, 0.3), (0.05, 0.35))
    lower = str(rng.choice(["trousers", "shorts", "skirt"], p=[0.7, 0.15, 0.15]))
    sleeves = str(rng.choice(["short", "long"], p=[0.4, 0.6]))
    _legs(dresser, build, lower, bottom, skin, shoe)
    _torso(rng, dresser, build, top)
    _arms(dresser, build, sleeves, top, skin)
    _head(rng, dresser, skin)
    if rng.random() < 0.12:
        pack = textures.any_colour(rng)
        dresser.part("pack_high", dresser.shaded(pack, ("pack_high", "pack_low", 0.07, 0.08)))
    poses = ["down", "hips", "folded", "phone", "pockets"]
    pose = str(rng.choice(poses, p=[0.5, 0.12, 0.13, 0.12, 0.13]))
    other = pose if pose in ("folded", "hips") or rng.random() < 0.6 else "down"
    return Look(
        joints=np.array(dresser.joints),
        radii=np.array(dresser.radii),
        shifts=np.array(dresser.shifts),
        parts=tuple(dresser.parts),
        shoulder=float(rng.uniform(0.092, 0.108)) * (0.6 + 0.4 * build),
        hip=0.048 * (0.6 + 0.4 * build),
        arms=(pose, other),
        stance=float(rng.uniform(0.0, 0.05)),
        lean=float(rng.uniform(-0.03, 0.04)),
    )


def _legs(dresser: _Dresser, build: float, lower: str, cloth: Colour, skin: Colour, shoe: Colour) -> None:
    for side in "lr":
        hip, knee, ankle, toe = (f"{name}_{side}" for name in ("hip", "knee", "ankle", "toe"))
        loose = 1.12 if lower == "trousers" else 1.0
        thigh, shin = (skin, skin) if lower == "skirt" else (cloth, skin if lower == "shorts" else cloth)
        wide = 1.15 if lower == "shorts" else 1.0
        dresser.part(toe, dresser.shaded(shoe, (ankle, toe, 0.026, 0.02)))
        shins = dresser.shaded(shin, (knee, ankle, 0.034 * build * loose, 0.024 * loose))
        thighs = dresser.shaded(thigh, (hip, knee, 0.05 * build, 0.037 * build * loose * wide))
        dresser.part(knee, _limb(shins, thighs, same=shin == thigh))
    if lower == "skirt":
        dresser.part(
            "belly",
            dresser.shaded(cloth, ("hip_l", "hip_r", 0.05 * build, 0.05 * build), ("hem_l", "hem_r", 0.05, 0.05)),
        )


def _torso(rng: Generator, dresser: _Dresser, build: float, top: Colour) -> None:
    chest, waist = 0.045 * build, 0.052 * build * rng.uniform(0.9, 1.15)
    limbs = (
        ("shoulder_l", "shoulder_r", chest * 0.75, chest * 0.75),
        ("waist_l", "waist_r", waist, waist),
        ("hip_l", "hip_r", 0.052 * build, 0.052 * build),
    )
    strokes = dresser.shaded(top, *limbs)
    style = rng.random()
    if style < 0.2:  # a jacket, open over a shirt
        shirt = textures.any_colour(rng)
        strokes.append(dresser.flat(shirt, ("collar", "belly", 0.022, 0.03), front=True))
    elif style < 0.35:  # a band across
        band = textures.any_colour(rng)
        strokes.append(dresser.flat(band, ("waist_l", "waist_r", waist * 0.75, waist * 0.75)))
    elif style < 0.5:  # a print on the chest
        strokes.append(dresser.flat(textures.any_colour(rng), ("collar", "collar", 0.028, 0.028), front=True))
    dresser.part("belly", *strokes)


def _arms(dresser: _Dresser, build: float, sleeves: str, top: Colour, skin: Colour) -> None:
    cloth = textures.shade(top, 0.93)
    for side in "lr":
        shoulder, elbow, wrist, hand = (f"{name}_{side}" for name in ("shoulder", "elbow", "wrist", "hand"))
        fore = cloth if sleeves == "long" else skin  # the upper arm wears the top either way
        hands = dresser.shaded(skin, (wrist, hand, 0.018, 0.022))
        fores = dresser.shaded(fore, (elbow, wrist, 0.026 * build, 0.019))
        uppers = dresser.shaded(cloth, (shoulder, elbow, 0.033 * build, 0.027 * build))
        dresser.part(elbow, hands, _limb(fores, uppers, same=sleeves == "long"))


def _head(rng: Generator, dresser: _Dresser, skin: Colour) -> None:
    dresser.part("neck", dresser.shaded(textures.shade(skin, 0.9), ("neck", "chin", 0.03, 0.028)))
    hair = textures.shade(_HAIRS[rng.integers(len(_HAIRS))], rng.uniform(0.8, 1.2))
    style = str(rng.choice(["short", "long", "bald", "hat"], p=[0.5, 0.27, 0.11, 0.12]))
    cloth = textures.any_colour(rng)
    if style == "long":
        dresser.part("hair_low", dresser.shaded(hair, ("hair_back", "hair_low", 0.055, 0.045)))
    if style != "bald":
        colour = cloth if style == "hat" else hair
        dresser.part("hair_back", dresser.shaded(colour, ("hair_back", "crown", 0.055, 0.051)))
    face = dresser.shaded(skin, ("chin", "crown", 0.038, 0.047))
    dark = (45.0, 35.0, 30.0)
    face += [dresser.flat(dark, (eye, eye, 0.0065, 0.0065), front=True) for eye in ("eye_l", "eye_r")]
    face.append(dresser.flat(textures.shade(skin, 0.62), ("mouth", "mouth", 0.009, 0.009), front=True))
    if style != "bald":
        brim = textures.shade(cloth if style == "hat" else hair, 0.9)
        face.append(dresser.flat(brim, ("fringe_l", "fringe_r", 0.022, 0.022)))
    dresser.part("crown", face)


def skeleton(person: PersonState, dressed: Look) -> Array:
    """Joints (J, 3) in the world, m; `person.phase` swings the limbs, 0 stands."""
    points: dict[str, tuple[float, float, float]] = {}  # ahead, left, up for a height of 1
    swing = 0.0 if person.phase == 0.0 else 0.42
    lean = dressed.lean + (0.03 if swing else 0.0)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        _leg(
            points,
            side,
            sign,
            dressed,
            sign * swing * np.sin(person.phase),
            swing * max(0.0, sign * np.cos(person.phase)),
        )
        points[f"waist_{side}"] = (lean * 0.4, sign * dressed.hip * 1.05, 0.62)
        points[f"hem_{side}"] = (0.0, sign * dressed.hip * 1.5, 0.36)
        points[f"shoulder_{side}"] = (lean, sign * dressed.shoulder, 0.8)
        style = "down" if swing else dressed.arms[sign < 0]
        _arm(points, side, sign, style, -sign * swing * 0.9 * np.sin(person.phase))
        points[f"eye_{side}"] = (lean + 0.048, sign * 0.019, 0.938)
    points |= {
        "neck": (lean, 0, 0.82), "chin": (lean + 0.008, 0, 0.9), "crown": (lean, 0, 0.946),
        "hair_back": (lean - 0.018, 0, 0.938), "hair_low": (lean - 0.035, 0, 0.84), "mouth": (lean + 0.046, 0, 0.895),
        "collar": (lean + 0.045, 0, 0.74), "belly": (0.05, 0, 0.56),
        "fringe_l": (lean + 0.012, 0.022, 0.975), "fringe_r": (lean + 0.012, -0.022, 0.975),
        "pack_high": (lean - 0.1, 0, 0.76), "pack_low": (lean - 0.1, 0, 0.62),
    }  # fmt: skip
    local = np.array([points[name] for name in JOINTS]) * person.height_m
    local[:, 2] -= min(local[_INDEX["ankle_l"], 2], local[_INDEX["ankle_r"], 2]) - 0.03 * person.height_m
    sin, cos = np.sin(person.yaw), np.cos(person.yaw)
    x = person.x + local[:, 0] * cos - local[:, 1] * sin
    y = person.y + local[:, 0] * sin + local[:, 1] * cos
    return np.column_stack([x, y, local[:, 2]])


def _leg(
    points: dict[str, tuple[float, float, float]], side: str, sign: float, dressed: Look, angle: float, bend: float
) -> None:
    points[f"hip_{side}"] = (0.0, sign * dressed.hip, 0.52)
    aside = sign * (dressed.hip + 0.5 * dressed.stance)
    knee = (0.245 * np.sin(angle), aside, 0.52 - 0.245 * np.cos(angle))
    lower = angle - 1.3 * bend
    aside = sign * (dressed.hip + dressed.stance)
    ankle = (knee[0] + 0.246 * np.sin(lower), aside, knee[2] - 0.246 * np.cos(lower))
    points[f"knee_{side}"], points[f"ankle_{side}"] = knee, ankle
    points[f"toe_{side}"] = (ankle[0] + 0.085, aside * 1.15, ankle[2] - 0.008)


def _arm(points: dict[str, tuple[float, float, float]], side: str, sign: float, style: str, angle: float) -> None:
    shoulder = points[f"shoulder_{side}"]
    sideways = sign * (abs(shoulder[1]) + 0.022)
    elbow = (shoulder[0] + 0.17 * np.sin(angle), sideways, 0.8 - 0.17 * np.cos(angle))
    fore = angle + 0.25
    wrist = (elbow[0] + 0.15 * np.sin(fore), sideways, elbow[2] - 0.15 * np.cos(fore))
    if style == "hips":
        elbow, wrist = (shoulder[0] - 0.04, sideways + sign * 0.075, 0.655), (0.03, sideways * 0.85, 0.565)
    elif style == "folded":
        elbow, wrist = (shoulder[0] + 0.02, sideways, 0.65), (shoulder[0] + 0.085, -sideways * 0.5, 0.68)
    elif style == "phone":
        elbow, wrist = (shoulder[0] + 0.05, sideways, 0.64), (shoulder[0] + 0.16, sideways * 0.35, 0.74)
    elif style == "pockets":
        elbow, wrist = (shoulder[0] - 0.03, sideways + sign * 0.03, 0.64), (0.03, sideways * 0.8, 0.5)
    points[f"elbow_{side}"], points[f"wrist_{side}"] = elbow, wrist
    ahead = tuple(w + 0.32 * (w - e) for w, e in zip(wrist, elbow, strict=True))
    points[f"hand_{side}"] = (ahead[0], ahead[1], ahead[2])
