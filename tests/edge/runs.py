"""Short recorded runs for tests: made by the product itself, in simulated time."""

from __future__ import annotations

from pathlib import Path

from edge.loop import Tick
from edge.policies import make
from edge.session import Settings, open_session
from edge.types import Policy
from robot.config import RobotConfig, load
from robot.sim.faults import Fault
from robot.sim.rooms import make_room

CONFIG = load()
LEARNED = Path(__file__).with_name("data") / "light_policy.tflite"


def record(
    path: Path,
    policy: str | Path | Policy,
    duration_s: float = 4.0,
    *,
    task: str = "light",
    seed: int = 7,
    faults: tuple[Fault, ...] = (),
    camera: bool = False,
    config: RobotConfig = CONFIG,
    **settings: object,
) -> list[Tick]:
    """Record a run; returns its iterations as the loop told them."""
    ticks: list[Tick] = []
    chosen = make(policy, config) if isinstance(policy, str | Path) else policy
    room = make_room(task, "easy", seed)
    chosen_settings = Settings(
        room=room, seed=seed, task="", record=path, faults=faults, camera=camera, **settings  # type: ignore[arg-type]
    )
    with open_session(config, chosen, chosen_settings) as session:
        session.run(duration_s, ticks.append)
    assert not session.recording_error, session.recording_error
    return ticks
