"""The whole way of an observation, compared with the batched one that policies are trained on.

One way: World with one robot -> levels and edges on mock pins -> the Pi's drivers and samplers -> Senses ->
the runtime's loop and learned policy -> observation, over a drive of 24 s through a room of obstacles.
The other: World with eight robots, the same duties, `sense_light` and `sense_range` of all at once, one
`LightObserver` for all.

What is stated and held to (docs/observation-path.md tells the figures):

* At the moment at which the samples were taken, both observations are equal within LDR or CONVERTER.
* That moment is at most one period of the sensor and one tick before the decision.
* In the median over a drive that age changes no feature by more than DELAY_COST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edge import observation
from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.manifest import LightObservation, Manifest, Tensor, TwistActions
from edge.observation import LightObserver
from edge.policies import learned
from robot import config
from robot.clock import VirtualClock
from robot.pi.rig import VirtualRig
from robot.sim import world as robot_world
from robot.sim.rooms import make_room
from robot.sim.world import World
from robot.types import Senses

TICK_S, PERIOD_S, SECONDS = 0.02, 0.2, 24.0
SEED, MINE, ROBOTS = 11, 5, 8
TWISTS = ((0.3, 0.0), (0.2, 1.2), (0.2, -1.2), (0.0, 1.8), (0.0, -1.8))

LDR = 2e-5  # of a float32 observation: rounding of times and positions, times the observation's gains
CONVERTER = 0.02  # half of a converter's 1024 steps, where it is dark on the logarithmic scale
DELAY_COST = 0.02  # median over a drive, of each feature, of what the samples' age changes


class Script:
    """Stands where the network is: notes what it is shown and answers by a drawn list of actions."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self._actions = np.random.default_rng(7).choice(len(TWISTS), 400, p=[0.4, 0.2, 0.2, 0.1, 0.1])
        self._input = np.zeros((1, observation.SIZE), np.float32)
        self._action = np.zeros(1, np.int32)

    def input_view(self, index: int = 0) -> Any:
        return lambda: self._input

    def output_view(self, index: int = 0) -> Any:
        return lambda: self._action

    def invoke(self) -> None:
        self._action[0] = self._actions[len(self.seen)]
        self.seen.append(self._input[0].copy())

    def twist(self, decision: int) -> tuple[float, float]:
        return TWISTS[self._actions[decision]]


MANIFEST = Manifest(
    kind="policy",
    name="script",
    inputs=(Tensor(name="observation", shape=(1, observation.SIZE), dtype="float32"),),
    outputs=(
        Tensor(name="logits", shape=(1, len(TWISTS)), dtype="float32"),
        Tensor(name="action", shape=(1,), dtype="int32"),
    ),
    observation=LightObservation(
        name=observation.NAME, version=observation.VERSION, size=observation.SIZE, period_s=PERIOD_S
    ),
    actions=TwistActions(twists=TWISTS),
)


@dataclass
class Drive:
    """What a drive left: at each decision the observation and the senses it came from, at each tick the duties."""

    script: Script
    senses: list[Senses]
    duties: np.ndarray  # (ticks, 2)
    pose: np.ndarray  # (3,) at the end
    path_m: float


def drive(robot: config.RobotConfig, room: Any, monkeypatch: pytest.MonkeyPatch) -> Drive:
    """The robot's way: real drivers on virtual pins, the runtime's loop, guard and learned policy."""
    script = Script()
    monkeypatch.setattr(learned, "open_model", lambda *args: (script, MANIFEST))
    clock = VirtualClock(TICK_S)
    senses: list[Senses] = []
    duties: list[tuple[float, float]] = []
    way = 0.0
    with VirtualRig(robot, room, clock, seed=SEED, camera=False) as rig:
        before = rig.world.pose[:2, 0].copy()

        def note(tick: Tick) -> None:
            nonlocal way, before
            if len(script.seen) > len(senses):
                senses.append(tick.senses)
            way += float(np.hypot(*(rig.world.pose[:2, 0] - before)))
            before = rig.world.pose[:2, 0].copy()
            duties.append(rig.duty())

        summary = Loop(rig, learned.LearnedPolicy("script.tflite", robot), Guard(robot), clock).run(
            SECONDS, on_tick=note
        )
        assert summary.ended == "duration", summary
        pose = rig.world.pose[:, 0].copy()
    return Drive(script, senses, np.array(duties), pose, way)


def replay(robot: config.RobotConfig, room: Any, one: Drive) -> tuple[np.ndarray, np.ndarray, World]:
    """The batched way: light (ticks, 2, N) and range (ticks, N) of N robots under the same duties."""
    others = [make_room("light", "easy", 50 + i) for i in range(ROBOTS)]
    others[MINE] = room
    ids = [20 + i for i in range(ROBOTS)]
    ids[MINE] = 0
    world = World(robot, others, SEED, robot_ids=ids, tick_s=TICK_S)
    light, range_m = [world.sense_light()], [world.sense_range()]
    left, right = np.full(ROBOTS, 0.3, np.float32), np.full(ROBOTS, 0.35, np.float32)
    for duty_left, duty_right in one.duties:
        left[MINE], right[MINE] = duty_left, duty_right
        world.set_duty(left, right)
        world.step()
        light.append(world.sense_light())
        range_m.append(world.sense_range())
    return np.array(light), np.array(range_m), world


def observe(one: Drive, light: np.ndarray, range_m: np.ndarray, at: list[tuple[int, int]]) -> np.ndarray:
    """(decisions, SIZE) batched observations of my robot from the samples at ticks `at` (light's, range's)."""
    observer = LightObserver(ROBOTS, PERIOD_S)
    command = np.zeros((2, ROBOTS), np.float32)
    seen = []
    for decision, (light_tick, range_tick) in enumerate(at):
        seen.append(observer.observe(light[light_tick], range_m[range_tick], command)[:, MINE].copy())
        command[:, MINE] = one.script.twist(decision)
    return np.array(seen)


def example(kind: str) -> config.RobotConfig:
    """The example robot at rates that share no period with the decisions, so that a sample has every age."""
    robot = config.load()
    light: dict[str, Any] = {"rate_hz": 23.0}
    if kind == "mcp3008":
        light |= {"kind": kind, "left": 0, "right": 1}
    return robot.model_copy(
        update={
            "light": robot.light.model_copy(update=light),
            "range": robot.range.model_copy(update={"rate_hz": 13.0}),
        }
    )


def ticks(stamp: float) -> int:
    return round(stamp / TICK_S)


@pytest.mark.parametrize(
    "kind, tolerance, level, seed", [("ldr", LDR, "hard", 1_000_020), ("mcp3008", CONVERTER, "easy", 1_000_018)]
)
def test_the_whole_way_equals_the_batched_way(monkeypatch, kind, tolerance, level, seed):
    monkeypatch.setattr(robot_world, "DROPOUT", 0.1)  # echoes are missing ten times as often
    robot = example(kind)
    room = make_room("light", level, seed)
    one = drive(robot, room, monkeypatch)
    light_n, range_n, world = replay(robot, room, one)

    # It was a drive, seen by the policy all along: with echoes and without, near things and far ones.
    shown = np.array(one.script.seen)
    assert len(shown) == len(one.senses) >= SECONDS / PERIOD_S - 1
    assert one.path_m > 1.2
    valid = shown[:, observation.FIELDS.index("range_valid")]
    assert 0.02 < np.mean(valid == 0) < 0.3
    assert np.ptp(shown[:, 0]) > 0.1 and np.ptp(shown[:, observation.FIELDS.index("range_near")]) > 0.5
    assert world.pose[:, MINE] == pytest.approx(one.pose, abs=1e-4)

    # The delay: what a decision sees is one period of the sensor old at most, and a tick.
    decided = [s.stamp for s in one.senses]
    light_age = np.array([s.stamp - s.light_left.stamp for s in one.senses])
    range_age = np.array([s.stamp - s.range.stamp for s in one.senses])
    assert np.diff(decided) == pytest.approx(PERIOD_S, abs=1e-6)
    assert light_age.min() >= 0 and light_age.max() <= 1 / robot.light.rate_hz + TICK_S
    assert range_age.min() >= 0 and range_age.max() <= 1 / robot.range.rate_hz + TICK_S

    # Equal at the moment of the samples.
    at = [(ticks(s.light_left.stamp), ticks(s.range.stamp)) for s in one.senses]
    batched = observe(one, light_n, range_n, at)
    difference = np.abs(batched - shown)
    assert difference.max() <= tolerance

    # What the delay costs, against samples of the decision's own moment; and the comparison is not blind to it.
    fresh = observe(one, light_n, range_n, [(ticks(t), ticks(t)) for t in decided])
    cost = np.median(np.abs(fresh - shown), axis=0)
    assert cost.max() <= DELAY_COST
    assert np.abs(fresh - shown).max() > 10 * tolerance
