"""Raw ratings as a reader hands them over: converted, numbered, faults listed but not yet settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from daskals.ratings.ids import NumberedIds
from daskals.types import Float32, Int64

Invalid: TypeAlias = Literal["error", "drop"]
"""What happens to a row that cannot be used."""


@dataclass(frozen=True)
class Fault:
    """Rows that cannot be used for one reason.

    Attributes
    ----------
    reason
        What is wrong, as the report counts it.
    column
        Column of the input it is wrong in; empty where the whole row is.
    expected
        What would have been right.
    rows
        The rows, ascending.
    found
        What the first of them holds.
    """

    reason: str
    column: str
    expected: str
    rows: Int64
    found: str


@dataclass(frozen=True)
class Origin:
    """Files (or the frame) the rows came from, in order, with the number of data rows of each."""

    parts: tuple[tuple[str, int], ...]

    def place(self, position: int) -> str:
        """Name the file and the data row, counted from 1, of an input position."""
        ends = np.cumsum([n_rows for _, n_rows in self.parts])
        part = int(np.searchsorted(ends, position, side="right"))
        name, n_rows = self.parts[part]
        return f"{name}, row {position - int(ends[part]) + n_rows + 1:,}"

    @property
    def name(self) -> str:
        """Names of all parts, shortened where there are many."""
        names = [name for name, _ in self.parts]
        return ", ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} more"


@dataclass(frozen=True)
class RawRatings:
    """Columns of ratings in input order; rows named by a fault hold no usable value there.

    Attributes
    ----------
    users, items
        Numbered ids, -1 where missing.
    values
        Ratings, NaN where missing; shape (n_rows,).
    timestamps
        Seconds since 1970, or None; shape (n_rows,).
    origin
        Where the rows came from.
    faults
        What is wrong with which rows.
    malformed
        Input positions of lines that could not be split into columns and are no rows here, or None.
    weights
        What each rating counts, NaN where missing; shape (n_rows,); None where each counts once.
    adds_up
        Whether the values are counts of observations: rows of a pair then add up.
    """

    users: NumberedIds
    items: NumberedIds
    values: Float32
    timestamps: Int64 | None
    origin: Origin
    faults: tuple[Fault, ...] = ()
    malformed: Fault | None = None
    weights: Float32 | None = None
    adds_up: bool = False

    @property
    def n_input(self) -> int:
        """Data rows of the input, malformed lines included."""
        return len(self.values) + (0 if self.malformed is None else len(self.malformed.rows))

    def positions(self) -> Int64:
        """Return the input position of every row, int64, shape (n_rows,), ascending."""
        everything = np.arange(self.n_input, dtype=np.int64)
        return everything if self.malformed is None else np.delete(everything, self.malformed.rows)
