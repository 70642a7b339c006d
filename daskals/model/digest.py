"""Digest of a model's factors: what two runs that came to the same bits have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.toolkit.layout import unpack_rows
from daskals.model.samples import Samples
from daskals.model.times import TimeRows
from daskals.types import FactorRows


def digest_of(sides: Sequence[FactorRows], rank: int, samples: Samples | None, times: TimeRows | None) -> str:
    """Return the SHA-256 of a model's factors, float32, in hexadecimal digits.

    Parameters
    ----------
    sides
        Rows of users and of items, shape (rows, stride): factors and biases of each in turn, in row order.
    rank
        Number of factors.
    samples
        They follow, where there are some, those of a third side last.
    times
        What dates add follows without samples.
    """
    digest = hashlib.sha256()
    for array in _arrays(sides, rank, samples, times):
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()


def _arrays(
    sides: Sequence[FactorRows], rank: int, samples: Samples | None, times: TimeRows | None
) -> Iterator[NDArray[Any]]:
    for rows in sides:
        yield from unpack_rows(rows, rank)
    if samples is not None:
        yield from (samples.users, samples.items)
        if samples.times is not None:
            yield samples.times
    elif times is not None:
        yield times.factors
        if times.user_factors is not None and times.biases is not None:
            yield from (times.user_factors, times.biases)
