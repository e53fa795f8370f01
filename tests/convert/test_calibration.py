"""Folders of photos for calibration, as people have them; and the benchmark of quantisation on a small detector."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.errors import ConvertError
from convert.images import LARGEST, noise, read_folder
from tests.convert import small_darknet as small
from tests.convert.test_labelled import write_yolo


def test_grey_transparent_odd_and_huge_pictures_are_taken(tmp_path: Path) -> None:
    picture = noise(1, (33, 57))[0]
    cv2.imwrite(str(tmp_path / "grey.png"), picture[..., 0])
    cv2.imwrite(str(tmp_path / "deep.png"), picture.astype(np.uint16) * 256)
    cv2.imwrite(str(tmp_path / "glass.png"), np.dstack([picture, picture[..., :1]]))
    cv2.imwrite(str(tmp_path / "line.png"), picture[:1])
    cv2.imwrite(str(tmp_path / "huge.jpg"), cv2.resize(picture, (3 * LARGEST, 90)))
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.jpg"), picture)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "notes.txt").write_text("no picture")
    pictures, broken = read_folder(tmp_path)
    assert len(pictures) == 9 and [path.name for path in broken] == ["cut.jpg"]
    assert all(one.dtype == np.uint8 and one.shape[2] == 3 for one in pictures)
    assert max(max(one.shape) for one in pictures) == LARGEST


def test_too_few_that_can_be_read(tmp_path: Path) -> None:
    for index in range(20):
        (tmp_path / f"{index}.jpg").write_bytes(b"damaged")
    with pytest.raises(ConvertError, match="holds 0 pictures that can be read, at least 8"):
        read_folder(tmp_path)
    cv2.imwrite(str(tmp_path / "one.jpg"), noise(1, (20, 20))[0])
    with pytest.raises(ConvertError, match="holds 1 pictures"):
        read_folder(tmp_path)
    with pytest.raises(ConvertError, match="is not a folder"):
        read_folder(tmp_path / "one.jpg")


@pytest.fixture
def bench() -> Any:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "quantise.py"
    spec = importlib.util.spec_from_file_location("benchmark_quantise", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_sample_of_the_benchmark(bench: Any, tmp_path: Path) -> None:
    cfg, weights, names = small.write(tmp_path)
    one = bench.Bench(bench.Net("small", cfg, weights, names, "person"), write_yolo(tmp_path / "set"))
    outcomes = [one.run(how, 0, way) for how in ("float", "stock") for way in (0, 1)]
    assert outcomes[0].snr_db == 300 and 5 < outcomes[2].snr_db < 60
    assert all(0 <= value <= 1 for outcome in outcomes for pair in outcome.ap.values() for value in pair)
    told = bench.table({outcome.key: outcome for outcome in outcomes}, ["small"], 1)
    assert "| small | mean | float |" in told and "| small | 0 | stock |" in told


def test_halves_are_halves(bench: Any) -> None:
    for halving in range(4):
        one, other = bench.halves(11, halving)
        assert sorted([*one, *other]) == list(range(11)) and abs(len(one) - len(other)) == 1
