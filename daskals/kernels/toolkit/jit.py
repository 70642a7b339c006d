"""Compilation of kernels: one place for the CPU, the flags, the release of the GIL and the disk cache.

Full `fastmath` is never used: it lets the compiler assume that no NaN exists, and the checks that keep
NaN out of a model would be removed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from daskals.kernels.toolkit.target import select_target

select_target()  # numba reads the CPU it compiles for when it is imported

import numba  # noqa: E402

from daskals.kernels.toolkit.cache import KernelCache, describe_closure  # noqa: E402

P = ParamSpec("P")
R = TypeVar("R")

PLAIN = bool(numba.config.DISABLE_JIT)
"""Vector instructions have no form without the JIT: then plain kernels run, as Python."""

FAST = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a serial kernel that may reorder sums but keeps NaN and infinity."""
    return _compiled(function, "serial", fastmath=FAST)


def exact_jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a serial kernel whose every operation rounds as written, the same on every CPU."""
    return _compiled(function, "serial")


def parallel_jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel like `exact_jit`, its `prange` loops shared out over Numba's threads."""
    return _compiled(function, "parallel", parallel=True)


def _compiled(function: Callable[P, R], form: str, **options: Any) -> Callable[P, R]:
    # Numba tells functions of one name apart by a number that starts anew in every process. Code that two
    # processes have cached can thus share a symbol, and is linked to the wrong body: so no two share a name.
    form += describe_closure(function)
    if form != "serial":
        function.__qualname__ += f"_{hashlib.sha256(form.encode()).hexdigest()[:12]}"
    dispatcher = numba.njit(nogil=True, **options)(function)
    if not PLAIN:
        dispatcher._cache = KernelCache(function, form)
    return dispatcher  # type: ignore[no-any-return]
