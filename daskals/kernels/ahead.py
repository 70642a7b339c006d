"""Compilation of a training's slowest kernels by a process of its own, while the first one reads ratings.

Numba compiles one kernel at a time in a process, however many threads ask for one. What a second process
compiles goes to the cache on disk (`toolkit.cache`), and the first one reads it there. Nothing waits for the
second process: a kernel that it has not finished is compiled as if there were none, to the same bits.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba

from daskals.kernels.toolkit.cache import KernelCache, sources_stamp
from daskals.kernels.toolkit.jit import PLAIN
from daskals.kernels.toolkit.target import current_target
from daskals.kernels.warm_up import timed_warm_up


@contextmanager
def compiled_ahead(rank: int) -> Iterator[None]:
    """Let a process compile what least squares with features take at a rank, unless one has; end it after."""
    process = None
    if not PLAIN and not _mark(rank).exists():
        process = subprocess.Popen(  # noqa: S603  our own interpreter, our own module
            [sys.executable, "-m", __name__, str(rank)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def compile_here(rank: int) -> None:
    """Compile in this process, and leave a mark beside the compiled kernels that says so."""
    timed_warm_up(rank, 1, features=True)
    mark = _mark(rank)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark(rank: int) -> Path:
    """Return the file that says that a rank's kernels are compiled, from these sources and for this CPU."""
    sources = sources_stamp(Path(timed_warm_up.__code__.co_filename))
    what = f"{rank} {sources} {current_target().name} {numba.__version__} {sys.version}"
    folder = KernelCache(timed_warm_up, "serial").cache_path
    return Path(folder) / f"ahead.{hashlib.sha256(what.encode()).hexdigest()[:32]}.done"


if __name__ == "__main__":
    compile_here(int(sys.argv[1]))
