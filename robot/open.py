"""The one place where a body is made: simulated, of this machine's pins, or of virtual pins in a simulated room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from robot.clock import VirtualClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.sim.room import Room
from robot.types import Body, Clock

Backend = Literal["sim", "pi", "pins"]


def open_body(
    config: RobotConfig,
    backend: Backend,
    clock: Clock,
    room: Room | None = None,
    seed: int = 0,
    camera: bool = True,
    faults: Sequence[Any] = (),
) -> Body:
    """Open a robot's body.

    Args:
        backend: "sim" for the simulated robot, "pi" for this machine's, "pins" for the Pi's drivers on virtual
            pins in a simulated room (needs a virtual clock).
        room: where a simulated body is; "sim" and "pins" need one.
        seed: of everything random about a simulated body.
        camera: whether frames are wanted; False leaves the camera closed, or does not render.
        faults: what goes wrong in a simulated body (`robot.sim.faults`).

    Raises:
        RobotError: the body cannot be opened, or the arguments do not fit the backend.
    """
    if backend == "pi":
        if room is not None or faults:
            raise RobotError("a real robot takes neither a room nor faults; leave them out, or use the simulated one")
        from robot.pi.body import PiBody

        return PiBody(config, clock, camera=camera)
    if room is None:
        raise RobotError(f"the {backend!r} body needs a room to be in; make one with robot.sim.rooms.make_room")
    if backend == "sim":
        from robot.sim.body import SimBody

        return SimBody(config, room, clock, seed=seed, camera=camera, faults=faults)
    if backend == "pins":
        if faults or not isinstance(clock, VirtualClock):
            raise RobotError("virtual pins need a virtual clock and take no faults; use backend 'sim' for those")
        from robot.pi.rig import VirtualRig

        return VirtualRig(config, room, clock, seed=seed, camera=camera)
    raise RobotError(f"there is no backend {backend!r}; give 'sim', 'pi' or 'pins'")
