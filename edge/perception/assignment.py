"""Who goes with whom at the least cost: the linear assignment problem, exactly.

Shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path algorithm for dense and
sparse linear assignment problems", 1987), in the form for rectangles of Crouse, "On implementing 2D rectangular
assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems, 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


def solve(cost: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """The assignment of every row to a column of its own with the least sum.

    Args:
        cost: (R, C) finite, R <= C.

    Returns:
        The column of each row (R,), and the potentials of rows (R,) and columns (C,). They prove the answer:
        rows[i] + columns[j] <= cost[i, j] everywhere, with equality on the pairs, and columns[j] <= 0, with equality
        on columns that no row has.
    """
    rows, columns = cost.shape
    of_row, of_column = np.zeros(rows), np.zeros(columns)
    column_of = np.full(rows, -1, np.intp)
    row_of = np.full(columns, -1, np.intp)
    for start in range(rows):
        shortest = np.full(columns, np.inf)
        before = np.full(columns, -1, np.intp)  # the row from which the path comes to each column
        open_ = np.ones(columns, bool)
        row, length, visited = start, 0.0, [start]
        while True:
            reach = length + cost[row] - of_row[row] - of_column
            better = open_ & (reach < shortest)
            shortest[better], before[better] = reach[better], row
            column = int(np.where(open_, shortest, np.inf).argmin())
            length = float(shortest[column])
            open_[column] = False
            row = int(row_of[column])
            if row < 0:
                break
            visited.append(row)
        of_row[start] += length
        for row in visited[1:]:
            of_row[row] += length - shortest[column_of[row]]
        of_column[~open_] -= length - shortest[~open_]
        while True:  # turn the path round
            row = int(before[column])
            row_of[column] = row
            column_of[row], column = column, int(column_of[row])
            if row == start:
                break
    return column_of, of_row, of_column


def assign(cost: Floats, limit: float) -> Pairs:
    """Pairs (rows, columns) that make the sum of `cost - limit` least; a pair that costs `limit` or more is none.

    Args:
        cost: (R, C); infinite where two can never be a pair.
        limit: what it costs to leave a row and a column alone.
    """
    able = cost < limit
    by_row, by_column = able.sum(axis=1), able.sum(axis=0)
    # Most rows have one column to go with, and it nobody else: they need no search.
    plain = able & (by_row == 1)[:, None] & (by_column == 1)
    rows, columns = np.nonzero(plain)
    hard_rows = np.flatnonzero((by_row > 0) & ~plain.any(axis=1))
    if not len(hard_rows):
        return rows, columns
    hard_columns = np.flatnonzero((by_column > 0) & ~plain.any(axis=0))
    grid = np.ix_(hard_rows, hard_columns)
    gain = np.where(able[grid], cost[grid] - limit, 0.0)
    if len(hard_rows) <= len(hard_columns):
        first, second = np.arange(len(hard_rows)), solve(gain)[0]
    else:
        first, second = solve(gain.T)[0], np.arange(len(hard_columns))
    good = gain[first, second] < 0
    return (
        np.concatenate((rows, hard_rows[first[good]])),
        np.concatenate((columns, hard_columns[second[good]])),
    )
