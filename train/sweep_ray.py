"""A sweep's trials on Ray: Tune places them on the cluster's machines; their progress and results come to one actor."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Read when Ray is imported. Nothing is told to its makers; Ctrl-C and what is kept are ours.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

import ray
from ray import tune

from edge.errors import UsageError, sentence
from train.sweep import Sweep, Trial, carry_out

EVERY_S = 1.0
"""Progress is told so often."""


class Board:
    """What the trials tell, wherever they run: the steps of each, and the results of those that are over."""

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        self._over: list[dict[str, Any]] = []

    def tell(self, index: int, steps: int) -> None:
        self._steps[index] = steps

    def finish(self, result: dict[str, Any]) -> None:
        self._over.append(result)

    def look(self, known: int) -> tuple[dict[int, int], list[dict[str, Any]]]:
        """The steps done of each trial, and the results after the first `known`."""
        return self._steps, self._over[known:]


@contextlib.contextmanager
def connected(address: str | None, parallel: int | None) -> Iterator[None]:
    """Ray, at `address` or (None) on this machine alone with `parallel` trials at once (None: one for each core).

    Raises:
        UsageError: there is no Ray at that address, or it does not start here.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is None:
            ray.init("local", num_cpus=parallel, include_dashboard=False, object_store_memory=200 * 2**20, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises a bare one where a node is slow to start
        told = sentence(error)[:160]
        raise UsageError(
            f"Ray does not start on this machine ({told}); try again when it is less busy"
            if address is None
            else f"no Ray answers at --address {address!r} ({told}); start one with `ray start --head`, or leave it out"
        ) from None
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Tune prints; standard output is for results
            yield
    finally:
        ray.shutdown()


def run(
    sweep: Sweep,
    folder: Path,
    trials: list[Trial],
    told: Callable[[dict[int, int]], None],
    finished: Callable[[dict[str, Any]], None],
) -> list[str]:
    """Carry out `trials`; returns a sentence for each that broke off.

    Args:
        folder: the sweep's, absolute.
        told: is called with the steps done of each trial.
        finished: is called with each result as it comes, in one thread.
    """
    board = ray.remote(num_cpus=0)(Board).remote()
    over = threading.Event()
    known = 0

    def look() -> None:
        nonlocal known
        steps, results = ray.get(board.look.remote(known))
        for result in results:
            finished(result)
            known += 1
        told(steps)

    def watch() -> None:
        while not over.wait(EVERY_S):
            look()

    trainable = tune.with_parameters(
        _trial, board=board, sweep=sweep, folder=str(folder), trials={trial.index: trial for trial in trials}
    )
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        with tempfile.TemporaryDirectory(prefix="edgebot-sweep-") as place:  # what Tune keeps is kept by us already
            grid = tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1}),
                param_space={"index": tune.grid_search([trial.index for trial in trials])},
                tune_config=tune.TuneConfig(metric="return", mode="max"),
                run_config=tune.RunConfig(
                    storage_path=place, verbose=0, failure_config=tune.FailureConfig(max_failures=1)
                ),
            ).fit()
            return [" ".join(str(error).split())[-300:] for error in grid.errors]
    finally:
        over.set()
        watching.join()
        look()


def _trial(config: dict[str, Any], board: Any, sweep: Sweep, folder: str, trials: dict[int, Trial]) -> None:
    """On a worker: one trial, as a function that Tune runs."""
    index, last = config["index"], 0.0

    def told(row: dict[str, float]) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            board.tell.remote(index, int(row["steps"]))
            tune.report({"steps": int(row["steps"]), "return": row.get("return", float("-inf"))})

    result = carry_out(sweep, folder, trials[index], told)
    ray.get(board.finish.remote(result | {"node": ray.get_runtime_context().get_node_id()}))
    found = result.get("evaluation", {}).get("return_mean", float("-inf"))
    tune.report({"steps": sweep.steps, "return": found})
