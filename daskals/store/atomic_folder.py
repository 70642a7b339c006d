"""Atomic folders appear whole or not at all: a temporary name beside, fsync, one rename.

A reader never sees half a directory, and a failure or an interruption leaves no trace. What a killed
process left behind is removed by the next one that writes to the same place on the same host.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from daskals.config.arguments import check_word
from daskals.errors import ANOTHER_NAME, OutputError

Existing: TypeAlias = Literal["refuse", "replace", "keep"]
"""What becomes of a directory that is already there: an error, the new one in its place, or it stays."""

_SYNC_THREADS = 8
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def staged_directory(target: Path, *, existing: Existing) -> Iterator[Path]:
    """Yield an empty directory beside `target` to fill, and name it `target` when the block ends well.

    `existing` says what to do when `target` is there and not empty; the caller decides beforehand whether
    what is there may be replaced. Raises OutputError if `target` cannot be written, or is there and
    `existing` is "refuse"; ConfigError if `existing` is no such word.
    """
    check_word(existing, "existing", get_args(Existing))
    temporary = target.parent / f".{target.name}.{_owner()}.{uuid.uuid4().hex[:8]}.partial"
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary.mkdir()
        yield temporary
        sync_tree(temporary)
        _move_into_place(temporary, target, existing)
    except OSError as error:
        _clean_up(temporary, made)
        raise _unwritable(target, error) from error
    except BaseException:
        _clean_up(temporary, made)
        raise


def sync_tree(root: Path) -> None:
    """Flush every file and folder under `root` to the disk."""
    with ThreadPoolExecutor(max_workers=_SYNC_THREADS, thread_name_prefix="sync") as pool:
        # together they share the disk's turns; one after the other each would wait for its own
        for _ in pool.map(sync_path, [root, *root.rglob("*")]):
            pass


def sync_path(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(first: Path, second: Path) -> None:
    """Swap two names in one step; raise OSError where the system or file system cannot."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (os.fsencode(first), os.fsencode(second))
    if function(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(second))


def _move_into_place(temporary: Path, target: Path, existing: Existing) -> None:
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        if existing == "refuse":
            raise OutputError(
                "already exists",
                where=str(target),
                expected="a name that is free",
                remedy="Choose another name, or replace it with --existing=replace",
            ) from None
        if existing == "replace":
            _swap(temporary, target)
        shutil.rmtree(temporary)
    sync_path(target.parent)


def _swap(temporary: Path, target: Path) -> None:
    """Give `temporary` the name `target` and the other way round."""
    try:
        exchange(temporary, target)
    except OSError:
        aside = temporary.with_suffix(".old")
        target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        aside.rename(temporary)


def _clean_up(temporary: Path, made: list[Path]) -> None:
    """Remove the unfinished directory and the parents made for it, as far as nothing else uses them.

    Tasks that still write into it would fill what is being emptied: under another name they do not find it.
    """
    doomed = temporary.with_suffix(".old")
    with suppress(OSError):
        temporary.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    for folder in made:
        try:
            folder.rmdir()
        except OSError:
            return


def _owner() -> str:
    return f"{socket.gethostname()}.{os.getpid()}"


def _remove_abandoned(target: Path) -> None:
    """Remove what dead processes of this host left while they wrote `target`."""
    prefix = f".{target.name}.{socket.gethostname()}."
    for path in target.parent.iterdir():
        if path.name.startswith(prefix) and path.suffix in {".partial", ".old"}:
            pid = path.name[len(prefix) :].split(".")[0]
            if pid.isdecimal() and not _alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unwritable(target: Path, error: OSError) -> OutputError:
    return OutputError.unwritable("folder", target, error, remedy=ANOTHER_NAME)
