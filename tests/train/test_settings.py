"""Settings from text: each kind, each bound, and the nearest name for a typo."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from edge.errors import UsageError
from train.settings import describe, override, parse_pairs, setting, split


@dataclass(frozen=True)
class Some:
    rate: float = setting(0.1, "how fast", low=0.0, high=1.0)
    count: int = setting(3, "how many", low=1)
    bold: bool = setting(False, "whether")
    widths: tuple[int, ...] = setting((4, 2), "how wide")
    level: str = setting("easy", "how hard", among=("easy", "hard"))


@dataclass(frozen=True)
class Other:
    colour: str = setting("red", "which")


def test_each_kind_is_read_from_text_and_from_json() -> None:
    text = {"rate": "1e-3", "count": "7", "bold": "true", "widths": "8,8,4", "level": "hard"}
    wanted = Some(1e-3, 7, True, (8, 8, 4), "hard")
    assert override(Some(), text) == wanted
    assert override(Some(), dataclasses.asdict(wanted)) == wanted
    assert override(Some(), {"widths": "[16]"}).widths == (16,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", "1.01"), ("rate", "-0.1"), ("rate", "nan"), ("rate", "inf"), ("rate", ""), ("count", "0"),
        ("count", "1.5"), ("bold", "perhaps"), ("widths", ""), ("widths", "4,-1"), ("widths", "4,2.5"),
        ("level", "odd"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_what_was_expected(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"setting {key} is .*expected"):
        override(Some(), {key: value})


def test_keys_go_to_the_settings_that_know_them() -> None:
    assert split({"rate": "0.5", "colour": "blue"}, Some(), Other()) == [{"rate": "0.5"}, {"colour": "blue"}]
    with pytest.raises(UsageError, match="unknown setting 'color'; did you mean 'colour'"):
        split({"color": "blue"}, Some(), Other())
    with pytest.raises(UsageError, match="known: bold"):
        split({"zzz": "1"}, Some())


def test_pairs_and_description() -> None:
    assert parse_pairs(["a=1", "b = x=y "]) == {"a": "1", "b": "x=y"}
    with pytest.raises(UsageError, match="no key=value"):
        parse_pairs(["a"])
    assert "widths  how wide [4,2]" in describe(Some())
