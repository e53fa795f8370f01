"""The detector that comes with the package: good in rooms it never saw, small, and with its papers."""

from __future__ import annotations

import pytest

from edge import manifest as manifests
from edge.perception.detector import SHIPPED, Detector
from train.detector.baseline import tune
from train.detector.judge import judge, unseen_scenes
from train.detector.scenes import Scene, scenes

FIRST = 1_700_000  # other rooms than those of the conversion's judge and of the benchmark


@pytest.fixture(scope="module")
def pictures() -> list[Scene]:
    return list(unseen_scenes(rooms=45, frames=4, first=FIRST))


@pytest.mark.slow
def test_it_finds_persons_in_rooms_that_it_never_saw(pictures: list[Scene]) -> None:
    detector = Detector(score=0.005)
    verdict = judge(lambda image: detector.boxes(image)[:2], pictures)
    assert verdict.things > 80
    assert verdict.ap >= 0.96
    assert verdict.precision >= 0.9


@pytest.mark.slow
def test_colours_alone_do_not(pictures: list[Scene]) -> None:
    threshold, tuned = tune([scene for seed in range(12) for scene in scenes(seed, 3)], tries=60)
    assert tuned > 0.02  # the search did find something
    assert judge(threshold.find, pictures).ap < 0.3


def test_it_is_small_and_tells_where_it_comes_from() -> None:
    assert SHIPPED.stat().st_size <= 500_000
    _, manifest = manifests.read(SHIPPED)
    assert (manifest.kind, manifest.labels) == ("detector", ("person",))
    assert manifest.inputs[0].dtype == "int8" and manifest.outputs[0].dtype == "int8"
    assert {"seed", "steps", "versions"} <= set(manifest.provenance)
    (figure,) = (figure for figure in manifest.parity["figures"] if "AP" in figure["name"])
    assert figure["after"] >= 0.97


def test_its_card_tells_how_it_was_made_and_measured() -> None:
    card = SHIPPED.with_suffix(".md").read_text(encoding="utf-8")
    _, manifest = manifests.read(SHIPPED)
    assert "edgebot train detector --seed 0" in card and "benchmarks/detector_rendered.py" in card
    assert manifest.sha256 in card  # the card is this file's, not an older one's
