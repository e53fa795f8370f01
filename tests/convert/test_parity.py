"""The parity report refuses what is not near enough, NaN above all."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.errors import ConvertError
from convert.parity import Parity, compare, found_again

WANT = np.random.default_rng(0).normal(size=(50, 8))


def parity(have: np.ndarray, mode: str = "int8", figures: dict | None = None) -> Parity:
    return Parity(mode, 50, compare(["out"], [WANT], [have]), 100, 50, figures or {})  # type: ignore[arg-type]


def test_errors_are_what_they_say() -> None:
    have = WANT.copy()
    have[3, 2] += 0.5
    (error,) = compare(["out"], [WANT], [have])
    assert error.worst == pytest.approx(0.5)
    assert error.worst_share == pytest.approx(0.5 / np.abs(WANT).max())
    assert error.snr_db == pytest.approx(10 * np.log10((WANT**2).sum() / 0.25))


@pytest.mark.parametrize(("mode", "good", "bad"), [("none", 1e-7, 1e-3), ("float16", 1e-4, 0.1), ("int8", 0.05, 0.5)])
def test_limits(mode: str, good: float, bad: float) -> None:
    noise = np.random.default_rng(1).normal(size=WANT.shape)
    assert parity(WANT + good * noise, mode).refusal() is None
    assert parity(WANT + bad * noise, mode).refusal()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_is_refused(value: float) -> None:
    have = WANT.copy()
    have[0, 0] = value
    with np.errstate(invalid="ignore"):
        assert parity(have).refusal()
    assert parity(WANT, figures={"success": (0.9, float("nan"), 0.02)}).refusal()


def test_a_judge_that_finds_a_loss() -> None:
    assert parity(WANT, figures={"success": (0.9, 0.89, 0.02)}).refusal() is None
    with pytest.raises(ConvertError, match="success falls"):
        parity(WANT, figures={"success": (0.9, 0.8, 0.02)}).require("x")


def test_other_shapes_are_a_fault() -> None:
    with pytest.raises(ConvertError, match="fault of the conversion"):
        compare(["out"], [WANT], [WANT[:, :3]])


def test_found_again() -> None:
    boxes, scores, classes = np.array([[0, 0, 1, 1], [5, 5, 1, 1.0]]), np.array([0.9, 0.6]), np.array([0, 1])
    seen = (boxes, scores, classes)
    assert found_again([seen], [seen]) == (1.0, 1.0)
    assert found_again([seen], [(boxes, np.array([0.9, 0.2]), classes)]) == (0.5, 1.0)
    assert found_again([seen], [(boxes, scores, np.array([0, 0]))]) == (0.5, 1.0)
    assert found_again([(boxes[:0], scores[:0], classes[:0])], [seen]) == (1.0, 1.0)
    again, overlap = found_again([seen], [(boxes + [0.25, 0, 0, 0], scores, classes)])
    assert again == 1.0 and overlap == pytest.approx(0.75 / 1.25)
