"""Compilation of kernels: one place for the CPU, the flags, the release of the GIL and the disk cache.

Full `fastmath` is never used: it lets the compiler assume that no NaN exists, and the checks that keep
NaN out of a model would be removed with it.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from daskals.kernels.toolkit.target import select_target

select_target()  # numba reads the CPU it compiles for when it is imported

import numba  # noqa: E402
from numba.core.registry import CPUDispatcher  # noqa: E402

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
    # kernels are called by name alone: nobody asks for their addresses as C functions
    options |= {"nogil": True, "no_cfunc_wrapper": True}
    if PLAIN:
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
    kernel = _Kernel(function, targetoptions={**options, "nopython": True})
    kernel._cache = KernelCache(function, form)
    kernel.inside = _inside(function, form, options)
    return kernel


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let no garbage be looked for: a compiler's objects are many, and a tenth of its time went into that."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Compiled(CPUDispatcher):  # type: ignore[misc]
    """A function that is compiled by one process where several need it; see `claims`."""

    def compile(self, sig: Any) -> Any:
        """Return the entry point of a form, from the cache if it is there."""
        with _uncollected():
            try:
                return super().compile(sig)
            finally:
                if isinstance(self._cache, KernelCache):  # not where a test does without
                    self._cache.release(sig)


class _Kernel(_Compiled):
    """A kernel that Python calls; where a kernel calls it, that is compiled without what Python needs.

    Taking a tuple of twelve arrays out of Python's hands takes longer to compile than most loops over them,
    and most kernels are called by kernels alone. `inside` is the same function as those see it.
    """

    inside: Any

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return what a kernel that calls this one is typed by."""
        return self.inside.get_call_template(args, kws)

    def get_overload(self, signature: Any) -> Any:
        """Return what a kernel that calls this one is linked to."""
        return self.inside.get_overload(signature)


def _inside(function: Callable[..., Any], form: str, options: dict[str, Any]) -> Any:
    """Return a kernel as other kernels call it; from Python it cannot be called."""
    twin = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__qualname__ = f"{function.__qualname__}_inside"
    inside = _Compiled(twin, targetoptions={**options, "nopython": True, "no_cpython_wrapper": True})
    inside._cache = KernelCache(twin, f"inside {form}")
    return inside
