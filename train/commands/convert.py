"""`edgebot convert`: conversion, with the judges of training behind it."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

from convert.commands.convert import main as convert
from train.judges import judges


def main(argv: list[str]) -> int:
    """Run the verb."""
    return int(convert(argv, judges=judges()))
