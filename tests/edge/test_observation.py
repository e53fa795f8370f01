"""The observation: the same for one robot and for many, finite whatever the sonar says, and what its fields mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import observation
from edge.observation import FIELDS, SIZE, LightObserver

PERIOD_S = 0.2


def field(seen: np.ndarray, name: str) -> np.ndarray:
    return seen[FIELDS.index(name)]


def one(light=(0.3, 0.3), range_m=1.0, command=(0.0, 0.0)):
    arrays = (np.array([[a] for a in pair], np.float32) for pair in (light, command))
    light_, command_ = arrays
    return light_, np.array([range_m], np.float32), command_


@pytest.mark.parametrize("n", [2, 37, 4096])
def test_a_robot_sees_the_same_bits_alone_and_among_many(n: int) -> None:
    rng = np.random.default_rng(n)
    many, alone = LightObserver(n, PERIOD_S), LightObserver(1, PERIOD_S)
    me = n // 2
    for step in range(30):
        light = rng.random((2, n), np.float32)
        range_m = rng.uniform(0.02, 4, n).astype(np.float32)
        range_m[rng.random(n) < 0.1] = np.nan
        command = rng.uniform(-2, 2, (2, n)).astype(np.float32)
        if step == 13:
            many.reset(np.array([me]))
            alone.reset()
        seen = many.observe(light, range_m, command)
        single = alone.observe(light[:, [me]], range_m[[me]], command[:, [me]])
        assert seen.dtype == np.float32 and seen.shape == (SIZE, n)
        np.testing.assert_array_equal(seen[:, me], single[:, 0])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1, width=32), st.floats(0, 1, width=32),
            st.one_of(st.just(math.nan), st.just(math.inf), st.floats(0, 1e6, width=32)),
            st.floats(-20, 20, width=32), st.floats(-20, 20, width=32),
        ),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_it_is_always_finite_and_within_one(samples) -> None:
    observer = LightObserver(1, PERIOD_S)
    for left, right, range_m, v, omega in samples:
        seen = observer.observe(*one((left, right), range_m, (v, omega)))
        assert np.isfinite(seen).all() and np.abs(seen).max() <= 1.0


def test_brightness_is_logarithmic_and_contrast_tells_the_side() -> None:
    seen = LightObserver(1, PERIOD_S).observe(*one((1.0, observation.DARK)))
    assert field(seen, "light_left") == pytest.approx(1.0) and field(seen, "light_right") == pytest.approx(0.0)
    assert field(seen, "contrast") > 0.9
    assert field(LightObserver(1, PERIOD_S).observe(*one((0.1, 0.3))), "contrast") < -0.4


def test_a_missing_echo_is_an_obstacle_and_says_that_it_is_missing() -> None:
    seen = LightObserver(1, PERIOD_S).observe(*one(range_m=math.nan)).copy()
    assert (field(seen, "range_near"), field(seen, "range_far"), field(seen, "range_valid")) == (0, 0, 0)
    seen = LightObserver(1, PERIOD_S).observe(*one(range_m=1.5))
    assert field(seen, "range_near") == 1 and field(seen, "range_far") == pytest.approx(0.5)
    assert field(seen, "range_valid") == 1


def test_trends_tell_brighter_from_darker_and_fade() -> None:
    observer = LightObserver(1, PERIOD_S)
    assert field(observer.observe(*one((0.1, 0.1))), "trend_1s") == 0  # nothing to compare with yet
    for _ in range(20):
        observer.observe(*one((0.1, 0.1)))
    brighter = observer.observe(*one((0.2, 0.2))).copy()
    assert field(brighter, "trend_1s") > 0.3 and field(brighter, "trend_7s") > 0.3
    for _ in range(20):
        later = observer.observe(*one((0.2, 0.2)))
    assert 0 < field(later, "trend_1s") < 0.05 < field(later, "trend_7s")


def test_the_memory_of_where_it_was_free_turns_with_the_robot() -> None:
    """Free space straight ahead, then a quarter turn to the left: it lies to the right."""
    observer = LightObserver(1, PERIOD_S)
    for _ in range(30):
        ahead = observer.observe(*one(range_m=3.0)).copy()
    assert field(ahead, "free_x") > 0.5 and abs(field(ahead, "free_y")) < 1e-6
    steps = 5
    for _ in range(steps):
        turned = observer.observe(*one(range_m=0.02, command=(0.0, math.pi / 2 / PERIOD_S / steps)))
    assert field(turned, "free_y") < -0.5 and abs(field(turned, "free_x")) < 0.05


def test_a_reset_forgets_only_the_robots_named() -> None:
    observer = LightObserver(3, PERIOD_S)
    light = np.full((2, 3), 0.2, np.float32)
    for step in range(10):
        observer.observe(light * (1 + 0.1 * step), np.full(3, 2.0, np.float32), np.ones((2, 3), np.float32))
    observer.reset(np.array([1]))
    seen = observer.observe(light * 2, np.full(3, 2.0, np.float32), np.zeros((2, 3), np.float32))
    assert field(seen, "trend_7s")[1] == 0 and field(seen, "trend_7s")[0] == field(seen, "trend_7s")[2] != 0


def test_the_first_observation_of_some_robots_leaves_the_others_be() -> None:
    rng = np.random.default_rng(0)
    twins = LightObserver(4, PERIOD_S), LightObserver(4, PERIOD_S)
    light, range_m = rng.random((2, 4), np.float32), np.ones(4, np.float32)
    none = np.zeros((2, 4), np.float32)
    for twin in twins:
        twin.observe(light, range_m, none)
    at = np.array([2])
    first = twins[0].observe_some(at, light[:, at], range_m[at])
    fresh = LightObserver(1, PERIOD_S)
    np.testing.assert_array_equal(first, fresh.observe(light[:, at], range_m[at], none[:, at]))
    later = [twin.observe(light, range_m, none) for twin in twins]
    np.testing.assert_array_equal(later[0][:, [0, 1, 3]], later[1][:, [0, 1, 3]])
    np.testing.assert_array_equal(later[0][:, 2], fresh.observe(light[:, at], range_m[at], none[:, at])[:, 0])


def test_a_period_must_be_positive() -> None:
    with pytest.raises(ValueError, match="period_s"):
        LightObserver(1, math.nan)
