"""Array aliases and the small values that cross the borders between rooms."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Side: TypeAlias = Literal["user", "item", "time"]
"""Whose rows a thing is about. Nothing is written twice for users and for items.

Days, weeks or months are the rows of a third side, of chains that are asked for one alone.
"""

SIDES: tuple[Side, Side] = ("user", "item")
"""The sides that all models and all stores have."""

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]
UInt8: TypeAlias = NDArray[np.uint8]
UInt16: TypeAlias = NDArray[np.uint16]
UInt64: TypeAlias = NDArray[np.uint64]

FactorRows: TypeAlias = NDArray[np.float32]
"""Factors and biases of one side, shape (rows, stride), C order, 64-byte aligned when made here.

A row holds its `rank` factors, then the constant 1, then its bias, then zeros up to `stride`, a
multiple of 16: one read of a row brings all that the other side's equations need.
"""

TRAIN, VALIDATION, TEST, FOLD_IN = 0, 1, 2, 3
"""Codes of the parts of a split, as stored: one byte a rating.

FOLD_IN are ratings of users held out of training, from which they are folded in.
"""


NARROW_ROWS = (1 << 16) - 1
"""Rows of a third side up to which a rating names its in 16 bits; their last number is none."""


class RatingsBlock(NamedTuple):
    """Ratings of a contiguous range of rows of one side, in compressed-row form.

    Attributes
    ----------
    start, indptr
        Index of the block's first row on its side; int64, shape (rows + 1,), starting at 0.
    indices
        int32, shape (ratings,): row of the other side, ascending within a row.
    values
        uint8 codes into `scale`, or float32 ratings where `scale` is empty; shape (ratings,).
    scale
        float32, the distinct ratings in ascending order (at most 256), or empty.
    weights
        float32, shape (ratings,), above 0: how often each rating counts; None where each counts once.
    thirds
        int32 or uint16, shape (ratings,): row of the side that is neither the rows' nor `indices`'; None
        where there are two sides.
    """

    start: int
    indptr: Int64
    indices: Int32
    values: UInt8 | Float32
    scale: Float32
    weights: Float32 | None = None
    thirds: Int32 | UInt16 | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows, rated or not."""
        return len(self.indptr) - 1

    @property
    def owners(self) -> Int64:
        """Row of its side that each rating is of, int64, shape (ratings,)."""
        return np.repeat(np.arange(self.start, self.start + self.n_rows), np.diff(self.indptr))

    @property
    def ratings(self) -> Float32:
        """The ratings themselves, float32, shape (ratings,); the block's own array where it has no scale."""
        values = self.scale[self.values] if len(self.scale) else self.values
        return values.astype(np.float32, copy=False)

    @property
    def row_weights(self) -> Float64:
        """What a row's ratings weigh together, float64, shape (rows,): their number without weights."""
        if self.weights is None:
            return np.diff(self.indptr).astype(np.float64)
        rows = self.owners - self.start
        return np.bincount(rows, self.weights.astype(np.float64), self.n_rows).astype(np.float64)


class Curve(NamedTuple):
    """A rising function that training sees ratings through, and that predictions come back by.

    Attributes
    ----------
    name
        "log1p", log(1 + rating), or "rank", the share of the training ratings below, half of its equals
        with them.
    ratings, places
        Of ranks: some ratings, ascending, and theirs; between them it is straight, beyond them flat.
    """

    name: str
    ratings: tuple[float, ...] = ()
    places: tuple[float, ...] = ()

    def of(self, ratings: Float32 | Float64) -> Float64:
        """Return ratings, of any shape, as training sees them."""
        exact = np.asarray(ratings, np.float64)
        seen = np.log1p(exact) if self.name == "log1p" else np.interp(exact, self.ratings, self.places)
        return np.asarray(seen, np.float64)

    def back(self, seen: Float32 | Float64) -> Float64:
        """Return what training sees, of any shape, as ratings."""
        exact = np.asarray(seen, np.float64)
        if self.name == "log1p":
            return np.asarray(np.expm1(np.minimum(exact, _HIGHEST_LOG)), np.float64)
        return np.asarray(np.interp(exact, self.places, self.ratings), np.float64)

    def deviation_back(self, seen: Float32, deviations: Float32) -> Float32:
        """Return deviations about what is seen in ratings: half of what lies between both sides of it.

        All have shape (pairs,).
        """
        low, high = self.back(seen - deviations), self.back(seen + deviations)
        return np.asarray(0.5 * (high - low), np.float32)


_HIGHEST_LOG = 88.0
"""Whose rating float32 still holds."""


class Standard(NamedTuple):
    """What ratings are measured from and in: y = (r - centre) / deviation, r what `curve` makes of a rating.

    Factors of y times √deviation, and its biases times deviation, are those of r. Ratings that are all the
    same (`is_constant`) have no deviation, and are measured in 1.
    """

    centre: float
    deviation: float
    is_constant: bool = False
    curve: Curve | None = None


AS_RATED = Standard(0.0, 1.0)
"""Ratings as they are."""


class Ridge(NamedTuple):
    """Regularisation of one side relative to the data weight λ (paper 1, Eq. 2).

    A row with n ratings is held with `factors`·max(n,1)^exponent on its factors and
    `bias`·max(n,1)^exponent on its bias. Exponent 0 is the papers', 1 is ALS-WR.
    """

    factors: float
    bias: float
    exponent: float = 0.0


class BlockStats(NamedTuple):
    """What a solved block contributes to the objective.

    `sse`: sum of squared training errors over the block's ratings after the solve; `penalty`: Σ over rows of
    max(n,1)^ν·(factors·‖x − m‖² + bias·(b − m_b)²), m the prior mean: the objective is λ/2 (sse + penalties
    of both sides).
    """

    sse: float
    penalty: float
