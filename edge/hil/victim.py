"""A runtime to be killed: drives the motors through their process, as a loop does, until something is done to it.

    python -m edge.hil.victim ROBOT.json LEFT RIGHT [ARGUMENT FOR A MOTORD OF ITS OWN...]

Prints the motors' process's id once it drives. Without arguments of a motord it takes the one that the robot has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from robot.clock import WallClock
from robot.config import RobotConfig
from robot.motor_port import MotorsLost
from robot.motord.child import ChildPort
from robot.motord.config import of_robot
from robot.open import open_motors
from robot.types import Wheels


def main() -> None:
    """Drive for ten seconds at most; ends by itself when the motors' process is gone."""
    config = RobotConfig.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wheels, arguments = Wheels(float(sys.argv[2]), float(sys.argv[3])), tuple(sys.argv[4:])
    port = ChildPort(of_robot(config), arguments) if arguments else open_motors(config)
    clock, hold_s = WallClock(), config.drive.command_timeout_s
    try:
        begin = clock.now()
        for step in range(500):
            clock.sleep_until(begin + step * 0.02)
            port.apply(wheels, clock.now() + hold_s)
            if step == 0:
                print(port.report().pid, flush=True)
    except MotorsLost:
        print("lost", flush=True)
    finally:
        port.close()


if __name__ == "__main__":
    main()
