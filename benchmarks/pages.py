"""What benchmarks share that write a table: rows that were made on another machine stay until they are made anew."""

from __future__ import annotations


def rows(page: str, keys: int = 2) -> dict[tuple[str, ...], str]:
    """The rows of a page's one table by their first cells; none where there is no table."""
    lines = [line for line in page.splitlines() if line.startswith("|")][2:]
    return {tuple(cell.strip() for cell in line.split("|")[1 : keys + 1]): line for line in lines}


def together(before: str, made: str, keys: int = 2) -> str:
    """The table `made`, its rows in the places that they have on the page `before`, with that page's others."""
    return "\n".join([*made.splitlines()[:2], *(rows(before, keys) | rows(made, keys)).values()])
