"""The fastest kernels for the simulated world that this machine has."""

from __future__ import annotations

import importlib.util

from robot.sim.layout import NUMPY, Kernels


def fastest() -> Kernels:
    """Numba's where it is installed (the workstation extra brings it), else NumPy's."""
    if importlib.util.find_spec("numba") is None:
        return NUMPY
    from train.compiled import COMPILED

    return COMPILED
