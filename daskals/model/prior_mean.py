"""Prior mean of one row, F·W, part by part: what each rating and each known trait adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from daskals.types import Float64, Int64

IMPLICIT = "implicit"


class Group(NamedTuple):
    """One group of features and its rows of W.

    Attributes
    ----------
    column
        A catalogue column, or `implicit`.
    values
        The column's values as text, in the order of W's rows; None for `implicit`, whose features are the
        rows of the other side.
    weights
        float64, shape (features, rank + 1).
    """

    column: str
    values: list[str] | None
    weights: Float64

    def mean_of(self, values: Sequence[Any]) -> Float64:
        """Return the mean weights of some of the column's values; zero for none. Shape (rank + 1,)."""
        places = {name: place for place, name in enumerate(self.values or ())}
        found = {places[str(value)] for value in values if str(value) in places}
        if not found:
            return np.zeros(self.weights.shape[1])
        # an unknown value has its share too, and no vector
        return np.asarray(self.weights[sorted(found)].sum(axis=0) / len(set(map(str, values))), np.float64)


def read_groups(section: Sequence[Mapping[str, Any]], weights: Float64 | None) -> list[Group]:
    """Cut a side's W, shape (features, rank + 1), into groups as the report's `features` section does."""
    groups, start = [], 0
    for entry in section if weights is not None else ():
        stop = start + int(entry["n_features"])
        assert weights is not None
        groups.append(Group(entry["column"], entry["values"], weights[start:stop]))
        start = stop
    return groups


def rating_parts(groups: Sequence[Group], rated: Int64, catalogue: pa.Table | None, size: int) -> Float64:
    """Return what each rating adds to the prior mean of the row that gave it.

    Parameters
    ----------
    groups
        The side's groups.
    rated
        Rows of the other side, shape (ratings,).
    catalogue
        The items' catalogue where the row is a person's: their catalogue features are the mean of those of
        the items they rated. None where the row is an item's, whose features are its own.
    size
        rank + 1.

    Returns
    -------
    float64
        Shape (ratings, rank + 1).
    """
    parts = np.zeros((len(rated), size))
    for group in groups:
        if group.column == IMPLICIT:
            parts += group.weights[rated] / np.sqrt(max(len(rated), 1))
        elif catalogue is not None:
            values = catalogue[group.column].take(pa.array(rated)).to_pylist()
            for part, value in zip(parts, values, strict=True):
                part += group.mean_of(list(_as_values(value))) / len(rated)
    return parts


def trait_part(groups: Sequence[Group], traits: Mapping[str, Any], size: int) -> Float64:
    """Return what a new item's traits (catalogue column to value or values) add to its prior, (rank + 1,)."""
    total = np.zeros(size)
    for group in groups:
        if group.column in traits:
            total += group.mean_of(list(_as_values(traits[group.column])))
    return total


def _as_values(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        yield from dict.fromkeys(value)
    elif value is not None:
        yield value
