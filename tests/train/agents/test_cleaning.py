"""The cleaning robot: dust is what was driven over, and search finds a policy that drives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot import config
from train.agents.cleaning import V_MPS, clean, hill_climb, random_search, some_rooms


def test_who_turns_on_the_spot_cleans_one_square_and_who_drives_cleans_its_way() -> None:
    rooms = some_rooms(1)
    area = rooms[0].size_m[0] * rooms[0].size_m[1] / 0.1**2
    turning, ahead = clean(np.array([[0.0, 3.0], [1.0, 0.0]]), rooms, seed=0, seconds=4.0) * area
    # Ahead for four seconds, a square each decimetre and some more on a slant, unless something is in the way.
    assert turning <= 4 and 4 <= ahead <= 1.5 * 4.0 * V_MPS / 0.1


def test_the_same_seed_cleans_alike_alone_and_beside_others() -> None:
    rooms = some_rooms(2)
    policies = np.array([[0.9, 2.0], [0.6, 1.0]])
    both = clean(policies, rooms, seed=3, seconds=8.0)
    np.testing.assert_array_equal(both, clean(policies, rooms, seed=3, seconds=8.0, config=config.load()))
    assert both[0] != both[1]
    with pytest.raises(ValueError, match="within 0..1"):
        clean(np.array([[1.2, 0.0]]), rooms, seed=0)


@pytest.mark.parametrize("climbs", [False, True])
def test_search_finds_the_top_of_a_hill(climbs: bool) -> None:
    def hill(policies: np.ndarray) -> np.ndarray:
        return 1.0 - np.hypot(policies[:, 0] - 0.8, (policies[:, 1] - 2.0) / math.pi)

    found = hill_climb(hill, 8, 12, seed=0) if climbs else random_search(hill, 96, seed=0)
    assert len(found.policies) == len(found.dust) == 96
    p, r = found.best
    assert abs(p - 0.8) < 0.15 and abs(r - 2.0) < 0.5
    if climbs:
        assert found.dust.max() > 0.98  # where 96 at random come to 0.9 or so


def test_on_the_simulated_body_search_beats_most_policies() -> None:
    rooms = some_rooms(1)

    def judge(policies: np.ndarray) -> np.ndarray:
        return clean(policies, rooms, seed=1, seconds=40.0)

    found = hill_climb(judge, 3, 8, seed=2)
    assert found.dust.max() > 1.2 * np.median(found.dust[:8])
