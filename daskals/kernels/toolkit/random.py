"""Random numbers as a function of (seed, stream, row, column), the same bits on every CPU.

Nothing here has a state: a number is the SplitMix64 finaliser of a hashed key (Steele, Lea and Flood
2014, "Fast splittable pseudorandom number generators"), so any block of rows can be drawn anywhere, in
any order, twice. Normals go through the inverse distribution function of Wichura (1988, algorithm
AS 241, PPND16) and a logarithm of our own. Only integer operations and + - * / sqrt decide, all rounded
as written: the exp, log and pow of a system's libm differ between CPUs.

The scalar functions serve other kernels: `row_key(stream_key(seed, stream), row)` once a row, then
`random_bits`, `uniform_at` or `normal_at` with that key and a column. Called without the compiler
(`NUMBA_DISABLE_JIT=1`) they wrap around 2⁶⁴ as compiled ones do, but NumPy warns of it: callers put
them under `numpy.errstate(over="ignore")`, as `fill_uniforms` and `fill_normals` do.
"""

from __future__ import annotations

import math

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64

STREAM_INIT_USER = 1
"""Initial user factors."""
STREAM_INIT_ITEM = 2
"""Initial item factors."""
STREAM_GIBBS_USER = 3
"""Draws of user rows in the Bayesian sampler."""
STREAM_GIBBS_ITEM = 4
"""Draws of item rows in the Bayesian sampler."""
STREAM_GIBBS_PRIOR = 5
"""Draws of precisions and prior means in the Bayesian sampler."""
STREAM_GIBBS_USER_FEATURES = 6
"""Perturbation of user rows from which the weights of their features are drawn."""
STREAM_GIBBS_ITEM_FEATURES = 7
"""Perturbation of item rows from which the weights of their features are drawn."""
STREAM_GIBBS_USER_LATENT = 8
"""Latent values of ratings at the ends of their scale, drawn before user rows."""
STREAM_GIBBS_ITEM_LATENT = 9
"""The same before item rows."""
STREAM_GIBBS_TIME = 10
"""Draws of the third side's rows, of days, weeks or months."""
STREAM_GIBBS_TIME_LATENT = 11
"""Latent values of ratings at the ends of their scale, drawn before those rows."""
STREAM_GIBBS_TIME_PRIOR = 12
"""Draws of their precision and prior mean."""
STREAM_MOVES_LEVEL = 32
"""Random orders of a user's sittings in the test of the user's level."""
STREAM_MOVES_TASTE = 33
"""The same in the test of the user's taste."""
FIRST_DATA_STREAM = 64
"""Streams from here on belong to whoever defines a data set of its own, with its own seed."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_SHIFT_1 = np.uint64(30)
_SHIFT_2 = np.uint64(27)
_SHIFT_3 = np.uint64(31)
_TO_52_BITS = np.uint64(12)
_MASK_64 = (1 << 64) - 1

_LN2_HIGH = 6.93147180369123816490e-01  # its low 32 bits are zero, so exponent * _LN2_HIGH is exact
_LN2_LOW = 1.90821492927058770002e-10
_SQRT_HALF = 0.70710678118654752440
_MANTISSA = np.int64((1 << 52) - 1)
_HALF_EXPONENT = np.int64(1022 << 52)


@exact_jit
def mix(value: np.uint64) -> np.uint64:
    """Return the SplitMix64 finaliser of a 64-bit value, a bijection that flips half the bits."""
    value = (value ^ (value >> _SHIFT_1)) * _MULTIPLY_1
    value = (value ^ (value >> _SHIFT_2)) * _MULTIPLY_2
    return value ^ (value >> _SHIFT_3)


@exact_jit
def stream_key(seed: np.uint64, stream: np.uint64) -> np.uint64:
    """Return the key of one stream of one seed."""
    return mix(mix(seed + _GOLDEN) + stream * _GOLDEN)


@exact_jit
def row_key(key: np.uint64, row: int) -> np.uint64:
    """Return the key of one row of a stream; `row` is not negative."""
    return mix(key ^ mix((np.uint64(row) + _ONE) * _GOLDEN))


@exact_jit
def random_bits(key: np.uint64, column: int) -> np.uint64:
    """Return the 64 random bits at a column (not negative) of the row whose key is given."""
    return mix(key + (np.uint64(column) + _ONE) * _GOLDEN)


@exact_jit
def uniform_at(key: np.uint64, column: int) -> float:
    """Return a uniform number at a column of the row, (k + 1/2) / 2⁵²: never 0, never 1."""
    return (np.float64(random_bits(key, column) >> _TO_52_BITS) + 0.5) * 2.0**-52


@exact_jit
def software_log(x: float) -> float:
    """Return the natural logarithm of a positive, finite, normal float64, to 2 units in the last place.

    x = 2ᵉ·m with √½ ≤ m < √2, and log m = 2 artanh((m − 1)/(m + 1)) by its series.
    """
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> 52) - 1022
    fraction = np.int64((bits & _MANTISSA) | _HALF_EXPONENT).view(np.float64)
    if fraction < _SQRT_HALF:
        fraction += fraction
        exponent -= 1
    ratio = (fraction - 1.0) / (fraction + 1.0)
    square = ratio * ratio
    series = 0.0
    for odd in range(23, 1, -2):
        series = (series + 1.0 / odd) * square
    log_fraction = 2.0 * ratio + 2.0 * ratio * series
    return exponent * _LN2_HIGH + (log_fraction + exponent * _LN2_LOW)


@exact_jit
def normal_quantile(p: float) -> float:
    """Return the standard normal quantile of p in (0, 1), to about 1e-15 relative (AS 241, PPND16)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 2.5090809287301226727e3
        top = top * r + 3.3430575583588128105e4
        top = top * r + 6.7265770927008700853e4
        top = top * r + 4.5921953931549871457e4
        top = top * r + 1.3731693765509461125e4
        top = top * r + 1.9715909503065514427e3
        top = top * r + 1.3314166789178437745e2
        top = top * r + 3.3871328727963666080e0
        low = 5.2264952788528545610e3
        low = low * r + 2.8729085735721942674e4
        low = low * r + 3.9307895800092710610e4
        low = low * r + 2.1213794301586595867e4
        low = low * r + 5.3941960214247511077e3
        low = low * r + 6.8718700749205790830e2
        low = low * r + 4.2313330701600911252e1
        return q * top / (low * r + 1.0)
    r = math.sqrt(-software_log(p if q < 0.0 else 1.0 - p))
    z = _middle_tail(r - 1.6) if r <= 5.0 else _far_tail(r - 5.0)
    return -z if q < 0.0 else z


@exact_jit
def _middle_tail(r: float) -> float:
    """Return AS 241's quantile for 0.075 > p ≥ exp(−25), at r = √(−log p) − 1.6."""
    top = 7.74545014278341407640e-4
    top = top * r + 2.27238449892691845833e-2
    top = top * r + 2.41780725177450611770e-1
    top = top * r + 1.27045825245236838258e0
    top = top * r + 3.64784832476320460504e0
    top = top * r + 5.76949722146069140550e0
    top = top * r + 4.63033784615654529590e0
    top = top * r + 1.42343711074968357734e0
    low = 1.05075007164441684324e-9
    low = low * r + 5.47593808499534494600e-4
    low = low * r + 1.51986665636164571966e-2
    low = low * r + 1.48103976427480074590e-1
    low = low * r + 6.89767334985100004550e-1
    low = low * r + 1.67638483018380384940e0
    low = low * r + 2.05319162663775882187e0
    return top / (low * r + 1.0)


@exact_jit
def _far_tail(r: float) -> float:
    """Return AS 241's quantile for p < exp(−25), at r = √(−log p) − 5."""
    top = 2.01033439929228813265e-7
    top = top * r + 2.71155556874348757815e-5
    top = top * r + 1.24266094738807843860e-3
    top = top * r + 2.65321895265761230930e-2
    top = top * r + 2.96560571828504891230e-1
    top = top * r + 1.78482653991729133580e0
    top = top * r + 5.46378491116411436990e0
    top = top * r + 6.65790464350110377720e0
    low = 2.04426310338993978564e-15
    low = low * r + 1.42151175831644588870e-7
    low = low * r + 1.84631831751005468180e-5
    low = low * r + 7.86869131145613259100e-4
    low = low * r + 1.48753612908506148525e-2
    low = low * r + 1.36929880922735805310e-1
    low = low * r + 5.99832206555887937690e-1
    return top / (low * r + 1.0)


@exact_jit
def normal_at(key: np.uint64, column: int) -> float:
    """Return a standard normal number at a column (not negative) of the row whose key is given."""
    return normal_quantile(uniform_at(key, column))


@exact_jit
def _fill_uniforms(key: np.uint64, first_row: int, out: Float64) -> None:
    for i in range(out.shape[0]):
        of_row = row_key(key, first_row + i)
        for j in range(out.shape[1]):
            out[i, j] = uniform_at(of_row, j)


@exact_jit
def _fill_normals(key: np.uint64, first_row: int, out: Float64) -> None:
    for i in range(out.shape[0]):
        of_row = row_key(key, first_row + i)
        for j in range(out.shape[1]):
            out[i, j] = normal_at(of_row, j)


def key_of(seed: int, stream: int) -> np.uint64:
    """Return the key of one stream of one seed, any Python integer (taken modulo 2⁶⁴)."""
    with np.errstate(over="ignore"):
        return np.uint64(stream_key(np.uint64(seed & _MASK_64), np.uint64(stream & _MASK_64)))


def fill_uniforms(seed: int, stream: int, first_row: int, n_rows: int, n_cols: int) -> Float64:
    """Draw rows `first_row` and following of a stream of uniform numbers in (0, 1).

    Parameters
    ----------
    seed, stream
        What to draw from; see the STREAM constants.
    first_row
        Row of the first result, counted over the whole stream, not negative.
    n_rows, n_cols
        Shape of the result.

    Returns
    -------
        float64, shape (n_rows, n_cols); element (i, j) depends on (seed, stream, first_row + i, j) only.
    """
    out = np.empty((n_rows, n_cols))
    with np.errstate(over="ignore"):
        _fill_uniforms(key_of(seed, stream), first_row, out)
    return out


def fill_normals(seed: int, stream: int, first_row: int, n_rows: int, n_cols: int) -> Float64:
    """Draw rows `first_row` and following of a stream of standard normals, shape (n_rows, n_cols).

    The largest magnitude that can occur is 8.2.

    Parameters
    ----------
    seed, stream, first_row, n_rows, n_cols
        As for `fill_uniforms`.
    """
    out = np.empty((n_rows, n_cols))
    with np.errstate(over="ignore"):
        _fill_normals(key_of(seed, stream), first_row, out)
    return out
