"""Threads and noise of the libraries, set before they load: import this first in a command.

Tiny networks lose more to the hand-over between threads than they gain: one OpenBLAS thread triples the speed
of acting. Sums in one thread also have one order, so runs repeat bit for bit.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def one_thread() -> None:
    """Have TensorFlow run each operation in one thread; does nothing once TensorFlow is at work."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return
