"""Standard normals of a chain's rows, the same bits on every CPU: Philox counters, Box and Muller's pairs.

The random bits are Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as
1, 2, 3"), whose four words are a function of a counter and a key. The key is that of (seed, stream); the
counter is the row (two words), the column divided by 4, and the sweep. A number thus depends on (seed,
stream, sweep, row, column) alone. Words 0 and 1 make columns 4g and 4g + 1, words 2 and 3 the next two.

A pair of words makes a pair of normals, R cos φ and R sin φ with R² = −2 log u (Box and Muller 1958). The
first word gives u, 31 bits of it, never 0 or 1; the second gives two signs, and the angle within a quarter
turn. There φ = π/4 + ψ, so the numbers are √(−log u)·(cos ψ ∓ sin ψ). The series of the logarithm, the sine
and the cosine are those of Moshier's Cephes library in single precision. Numbers are right to 3e-7 of R and
reach out to 6.66.

Only integer operations and + - * sqrt decide, rounded as written. `toolkit.chain_normals_lanes` does the
same operations in the same order on rows side by side.
"""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64

ROUNDS = 10
GROUP = 4
"""Columns that one counter makes."""
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def _singles(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(number) for number in numbers)


UNIT = np.float32(2.0**-31)
"""u = (k + 1/2)·UNIT, k the first word less its last bit."""
HALF_UNIT = np.float32(2.0**-32)
EIGHTH_TURN = np.float32(np.pi / 4 * 2.0**-31)
"""ψ of a unit of the second word, taken as signed once its signs are shifted out."""
SQRT_HALF_BITS = 0x3F3504F3
SQRT_HALF = np.int32(SQRT_HALF_BITS).view(np.float32)
EXPONENT_AT = 23
SIGN = -(2**31)
ONE = np.float32(1.0)
HALF = np.float32(0.5)
LN2 = np.float32(0.6931471805599453)
LOG_SERIES = _singles(
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
"""log(1 + f) = f − f²/2 + f³·series(f) for √½ ≤ 1 + f < √2, highest power first."""
SINE_SERIES = _singles(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
"""sin ψ = ψ + ψ³·series(ψ²) for |ψ| ≤ π/4."""
COSINE_SERIES = _singles(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
"""cos ψ = 1 − ψ²/2 + ψ⁴·series(ψ²) for |ψ| ≤ π/4."""

_WORD = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = (np.uint64(m) for m in MULTIPLIERS)
_KEY_STEP_0, _KEY_STEP_1 = (np.uint64(step) for step in KEY_STEPS)
_TO_ANGLE = np.uint64(34)
_SIGN_1, _SIGN_2 = np.uint64(1 << 31), np.uint64(1 << 30)

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@exact_jit
def whole_groups(columns: int) -> int:
    """Return a number of columns rounded up to whole groups."""
    return (columns + GROUP - 1) // GROUP * GROUP


@exact_jit
def philox(counter: Words, key: np.uint64) -> Words:
    """Return the four words of a counter's four words of 32 bits under a key, its low word first."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & _WORD, key >> _WORD_BITS
    for _ in range(ROUNDS):
        first, second = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1 = (second >> _WORD_BITS) ^ c1 ^ k0, second & _WORD
        c2, c3 = (first >> _WORD_BITS) ^ c3 ^ k1, first & _WORD
        k0, k1 = (k0 + _KEY_STEP_0) & _WORD, (k1 + _KEY_STEP_1) & _WORD
    return c0, c1, c2, c3


@exact_jit
def _series(coefficients: tuple[np.float32, ...], x: np.float32) -> np.float32:
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


@exact_jit
def _root_of_log(word: np.uint64) -> np.float32:
    """Return √(−log u) of the uniform number u that a word makes."""
    k = np.int64(word >> np.uint64(1))
    u = np.float32(k) * UNIT + HALF_UNIT
    bits = np.int64(np.float32(u).view(np.int32))
    exponent = (bits - SQRT_HALF_BITS) >> EXPONENT_AT
    fraction = np.int32(bits - (exponent << EXPONENT_AT)).view(np.float32)
    # u itself is too coarse near 1: there u − 1 is formed from the bits that are left to 1
    f = np.float32(k + SIGN) * UNIT + HALF_UNIT if u >= SQRT_HALF else fraction - ONE
    square = f * f
    log = (f - HALF * square) + square * f * _series(LOG_SERIES, f)
    root: np.float32 = np.sqrt(-(log + np.float32(exponent) * LN2))
    return root


@exact_jit
def normal_pair(first: np.uint64, second: np.uint64) -> tuple[np.float32, np.float32]:
    """Return the two normals of two words of 32 bits."""
    signed = np.uint64(second << _TO_ANGLE).view(np.int64) >> 32
    psi = np.float32(signed) * EIGHTH_TURN
    square = psi * psi
    sine = psi + psi * square * _series(SINE_SERIES, square)
    cosine = (ONE - HALF * square) + square * square * _series(COSINE_SERIES, square)
    root = _root_of_log(first)
    left, right = root * (cosine - sine), root * (cosine + sine)
    return (-left if second & _SIGN_1 else left), (-right if second & _SIGN_2 else right)


@exact_jit
def fill_row(key: np.uint64, row: int, sweep: int, out: Float64) -> None:
    """Draw a row's standard normals, shape (columns,); of `sweep` the last 32 bits count."""
    low, high = np.uint64(row) & _WORD, np.uint64(row) >> _WORD_BITS
    for start in range(0, len(out), GROUP):
        counter = (low, high, np.uint64(start // GROUP), np.uint64(sweep) & _WORD)
        words = philox(counter, key)
        four = normal_pair(words[0], words[1]) + normal_pair(words[2], words[3])
        for k in range(start, min(start + GROUP, len(out))):
            out[k] = four[k - start]
