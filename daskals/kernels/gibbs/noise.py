"""Random numbers of a Gibbs chain: those of rows, and those of the few other draws of a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.chain_normals import fill_row
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import key_of, normal_at, row_key, software_log, uniform_at
from daskals.types import FactorRows, Float64

_GAMMA_TRIES = 64


class Noise(NamedTuple):
    """Where the random numbers of a draw of rows come from.

    `seed`, `stream`: of the chain and of the side; `sweep`: which draw of the chain, from 0.
    """

    seed: int
    stream: int
    sweep: int


class RowNoise(NamedTuple):
    """The random numbers of a block's rows, as kernels take them.

    `key`: that of the seed and the stream; `sweep`: which draw of the chain, negative for no noise; `start`:
    the block's first row on its side.
    """

    key: np.uint64
    sweep: int
    start: int


def row_noise(noise: Noise | None, start: int) -> RowNoise:
    """Return the random numbers of a block for a kernel; without noise the sweep is −1."""
    if noise is None:
        return RowNoise(np.uint64(0), -1, start)
    return RowNoise(key_of(noise.seed, noise.stream), noise.sweep, start)


def normal_rows(noise: Noise, start: int, rows: FactorRows, rank: int) -> Float64:
    """Draw standard normals for as many rows from `start` as `rows` has, float64, shape (rows, rank + 1)."""
    out = np.empty((len(rows), rank + 1))
    with np.errstate(over="ignore"):
        _fill_rows(key_of(noise.seed, noise.stream), start, noise.sweep, out)
    return out


@exact_jit
def _fill_rows(key: np.uint64, start: int, sweep: int, out: Float64) -> None:
    for row in range(len(out)):
        fill_row(key, start + row, sweep, out[row])


@exact_jit
def _gamma(key: np.uint64, column: int, shape: float) -> float:
    # Marsaglia and Tsang 2000, with x and u of try t at columns 2t and 2t + 1
    d: float = shape - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    for attempt in range(_GAMMA_TRIES):
        x = normal_at(key, column + 2 * attempt)
        u = uniform_at(key, column + 2 * attempt + 1)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            if software_log(u) < 0.5 * x * x + d - d * v + d * software_log(v):
                return float(d * v)
    return d


class Draws:
    """Random numbers of one step of a chain, taken one after the other; each row is a sequence of its own."""

    def __init__(self, seed: int, stream: int, row: int) -> None:
        with np.errstate(over="ignore"):
            self._key = np.uint64(row_key(key_of(seed, stream), row))
        self._column = 0

    def normals(self, *shape: int) -> Float64:
        """Draw standard normals in the given shape."""
        n = int(np.prod(shape))
        out = np.empty(n)
        with np.errstate(over="ignore"):
            _fill(self._key, self._column, out)
        self._column += n
        return out.reshape(shape)

    def gamma(self, shape: float) -> float:
        """Draw from the gamma distribution of a positive shape and scale 1."""
        with np.errstate(over="ignore"):
            boost = 1.0
            if shape < 1.0:
                # a draw of shape + 1 times U^(1/shape) has the shape below 1
                boost = float(uniform_at(self._key, self._column)) ** (1.0 / shape)
                self._column += 1
            value = float(_gamma(self._key, self._column, max(shape, shape + (boost != 1.0))))
        self._column += 2 * _GAMMA_TRIES
        return float(value * boost)


@exact_jit
def _fill(key: np.uint64, column: int, out: Float64) -> None:
    for k in range(len(out)):
        out[k] = normal_at(key, column + k)
