"""The one place where a body is made: simulated, of this machine's pins, or of virtual pins in a simulated room."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robot.clock import VirtualClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.sim.room import Room
from robot.types import Body, Clock

if TYPE_CHECKING:
    from robot.motord.client import MotordPort

Backend = Literal["sim", "pi", "pins"]


def open_body(
    config: RobotConfig,
    backend: Backend,
    clock: Clock,
    room: Room | None = None,
    seed: int = 0,
    camera: bool = True,
    faults: Sequence[Any] = (),
    motord: str | Path | None = None,
) -> Body:
    """Open a robot's body.

    Args:
        backend: "sim" for the simulated robot, "pi" for this machine's, "pins" for the Pi's drivers on virtual
            pins in a simulated room (needs a virtual clock).
        room: where a simulated body is; "sim" and "pins" need one.
        seed: of everything random about a simulated body.
        camera: whether frames are wanted; False leaves the camera closed, or does not render.
        faults: what goes wrong in a simulated body (`robot.sim.faults`).
        motord: socket of the motors' process to drive through. None: for "pi" the one that EDGEBOT_MOTORD names, else
            the machine's own, else one that is started for this body and ends with it; for "sim" none at all. A
            simulated body takes only one with mock pins, on the wall clock: its wheels turn as those pins say.

    Raises:
        RobotError: the body cannot be opened, or the arguments do not fit the backend.
    """
    if backend == "pi":
        if room is not None or faults:
            raise RobotError("a real robot takes neither a room nor faults; leave them out, or use the simulated one")
        from robot.pi.body import PiBody

        return PiBody(config, clock, camera=camera, motors=lambda: open_motors(config, motord))
    if room is None:
        raise RobotError(f"the {backend!r} body needs a room to be in; make one with robot.sim.rooms.make_room")
    if backend == "sim":
        from robot.sim.body import SimBody

        port = None if motord is None else _mock_motors(motord, clock)
        return SimBody(config, room, clock, seed=seed, camera=camera, faults=faults, motord=port)
    if backend == "pins":
        if faults or motord is not None or not isinstance(clock, VirtualClock):
            raise RobotError("virtual pins need a virtual clock, no faults, no motord; use backend 'sim' for those")
        from robot.pi.rig import VirtualRig

        return VirtualRig(config, room, clock, seed=seed, camera=camera)
    raise RobotError(f"there is no backend {backend!r}; give 'sim', 'pi' or 'pins'")


def open_motors(config: RobotConfig, motord: str | Path | None = None) -> MotordPort:
    """The way to a real robot's motors: a running `edgebot-motord`, or one that is started and ends with this port.

    Raises:
        RobotError: it does not let us in, or does not start; its own sentence.
    """
    from robot.motord.child import ChildPort
    from robot.motord.client import MotordPort
    from robot.motord.config import of_robot
    from robot.motord.protocol import PATH_VARIABLE, SOCKET

    own = of_robot(config)
    path = motord or os.environ.get(PATH_VARIABLE)
    if path is None and SOCKET.exists():
        path = SOCKET
    return ChildPort(own) if not path else MotordPort(path, own.digest)


def _mock_motors(motord: str | Path, clock: Clock) -> MotordPort:
    from robot.motor_report import Flag
    from robot.motord.client import MotordPort

    if isinstance(clock, VirtualClock):
        raise RobotError("the motors' process lives by the wall clock; add --realtime, or leave out --motord")
    port = MotordPort(motord)
    if Flag.MOCK not in port.report().flags:
        port.close()
        raise RobotError(
            f"edgebot-motord at {str(motord)!r} has real pins, which a simulated robot must not move; start another "
            "one with --pins mock"
        )
    return port
