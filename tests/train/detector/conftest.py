"""What several tests of the detector's training start from."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted Darknet model of persons and dogs."""
    from convert.commands.convert import main as convert
    from tests.convert.small_darknet import write

    folder = tmp_path_factory.mktemp("darknet")
    cfg, weights, names = write(folder)
    made = folder / "small.tflite"
    given = ["darknet", "--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "-o", str(made)]
    assert convert(given) == 0
    return made
