"""Cache of compiled kernels on disk, safe when several processes compile at once.

Numba keeps one index of a function's compiled forms beside numbered files. Two processes that compile
different forms of one function at the same time read the same index and take the same number, and from then
on one form is answered with the other's machine code (numba issue 4807). Here every form has a file of its
own, named by a hash of all that it depends on and published by one rename: there is nothing to race for. Nor
is a form compiled by two processes at once (`claims`).

Numba also looks only at the source file of the function itself to see whether compiled code is stale. Here
every kernel module counts that it builds on: those it calls, and those that emit its instructions.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

from daskals.kernels.toolkit.claims import CLAIMS, Claim
from daskals.kernels.toolkit.target import current_target

_PACKAGE = ".".join(__name__.split(".")[:2])
_FOLDER = Path(__file__).parents[1]
_IMPORT = re.compile(rf"^\s*from {re.escape(_PACKAGE)}\.([\w.]+) import ([\w ,]*)", re.MULTILINE)


@lru_cache
def _imported(path: Path) -> tuple[Path, ...]:
    """Return the kernel modules that a module imports."""
    # not by ast: kernels compile in several threads at once, and CPython 3.11's parser counts its recursion
    # depth for all of them together
    found = []
    for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        place = _FOLDER.joinpath(*module.split("."))
        submodules = [place / name.split()[0] for name in names.split(",") if name.strip()]
        found += [file.with_suffix(".py") for file in (place, *submodules)]
    return tuple(file for file in found if file.is_file())


@lru_cache
def sources_stamp(path: Path) -> str:
    """Return a hash of a kernel module's source and of all kernel modules that it builds on."""
    found = {path}
    waiting = [path]
    while waiting:
        new = set(_imported(waiting.pop())) - found
        found |= new
        waiting += new
    digest = hashlib.sha256()
    for source in sorted(found):
        # tests have kernels of their own, outside the folder
        digest.update(os.path.relpath(source, _FOLDER).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def mark_of(what: str) -> Path:
    """Return a file that may say that what is named was compiled, from these sources and for this CPU.

    It lies beside compiled kernels. Nothing but a change of any kernel, the CPU or the versions moves it.
    """
    digest = hashlib.sha256(f"{what} {current_target().name} {numba.__version__} {sys.version}".encode())
    for source in sorted(_FOLDER.rglob("*.py")):
        digest.update(source.read_bytes())
    return Path(KernelCache(mark_of, "serial").cache_path) / f"{digest.hexdigest()[:32]}.done"


def _describe(value: object) -> str:
    """Describe what a kernel closes over: numbers by value, other kernels by name, which no two share."""
    if isinstance(value, Dispatcher):
        return str(value.py_func.__qualname__)
    return repr(value)


def describe_closure(function: Callable[..., Any]) -> str:
    """Describe all that a kernel closes over, the same in every process; empty if it is no closure."""
    cells = function.__closure__ or ()
    return ", ".join(_describe(cell.cell_contents) for cell in cells)


class _FilePerForm(IndexDataCacheFile):  # type: ignore[misc]
    """Stores each compiled form in its own file, together with the key it was stored under."""

    def described(self, key: object) -> str:
        """Return what no two forms of any sources and version share, in hexadecimal digits."""
        return hashlib.sha256(f"{self._version} {self._source_stamp} {key!r}".encode()).hexdigest()[:32]

    def _name(self, key: object) -> str:
        return f"{self._index_name.removesuffix('.nbi')}.{self.described(key)}.nbc"

    def flush(self) -> None:
        """Forget nothing: a form's file holds for as long as its name can be asked for."""

    def save(self, key: object, data: object) -> None:
        """Write a form's file, whole, by one rename."""
        self._save_data(self._name(key), (repr(key), data))

    def load(self, key: object) -> object | None:
        """Return a form, or None where there is no usable file of it."""
        try:
            stored, data = self._load_data(self._name(key))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            return None
        return data if stored == repr(key) else None


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, kept in a file per compiled form.

    `form` tells it apart from other kernels of the same source: how it is compiled, what it closes over.
    """

    def __init__(self, py_func: Callable[..., Any], form: str) -> None:
        super().__init__(py_func)
        self._form = form
        self._cache_file = _FilePerForm(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=sources_stamp(Path(py_func.__code__.co_filename)),
        )
        self._claims: dict[Any, Claim] = {}

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return a compiled form; where there is none, claim it, or wait for whoever has.

        Raises TakenError where another process compiles it and this one does not wait.
        """
        found = super().load_overload(sig, target_context)
        if found is not None or not self._enabled:
            return found
        name = self._cache_file.described(self._index_key(sig, target_context.codegen()))
        claim = CLAIMS.take(Path(self._cache_path), name)
        if claim is None:
            return None
        self._claims[sig] = claim
        return super().load_overload(sig, target_context)

    def release(self, sig: Any) -> None:
        """Give back what was claimed of a form, if it was."""
        claim = self._claims.pop(sig, None)
        if claim is not None:
            CLAIMS.release(claim)

    def _index_key(self, sig: Any, codegen: Any) -> tuple[str, ...]:
        return (self._form, str(sig), current_target().name, *map(str, codegen.magic_tuple()))
