"""How kernels are compiled: one place for cache, flags and the release of the GIL.

Full `fastmath` is never used: it lets the compiler assume that no NaN exists, and the checks that keep
NaN out of a model would be removed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

FAST = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a serial kernel that may reorder sums but keeps NaN and infinity."""
    return numba.njit(nogil=True, cache=True, fastmath=FAST)(function)  # type: ignore[no-any-return]


def exact_jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a serial kernel whose every operation rounds as written, the same on every CPU."""
    return numba.njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
