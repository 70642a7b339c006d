"""One owner at a time: a lock file with host, process and expiry, kept fresh while its owner lives.

A dead process of the same host is found out at once. Of another host nothing is known but the expiry, so
that the clocks of machines that share a folder must agree to within it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from daskals.errors import OutputError

EXPIRY_SECONDS = 120.0
RENEWAL_SECONDS = 20.0

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DEAD = "ZX"
"""States of a process that has ended and that nobody has looked after."""
_CLOCK_STEP_SECONDS = 5.0


class FolderLock:
    """The lock of a folder, a context manager on a file whose folder must exist.

    On entry it raises OutputError, naming the folder, if another process owns it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="renew-lock", daemon=True)

    def __enter__(self) -> Self:
        with _alone(self.path.parent):
            refuse_if_owned(self.path)
            self._write()
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewal.join()
        with suppress(OSError):
            if self._is_mine():
                self.path.unlink()

    def check(self) -> None:
        """Raise OutputError if another process took the folder over while this one slept past the expiry."""
        if not self._is_mine():
            owner = read_owner(self.path)
            taken = "removed" if owner is None else f"taken over by process {owner['pid']} on {owner['host']}"
            raise OutputError(
                f"its lock was {taken}",
                where=str(self.path.parent),
                expected="the lock that this process keeps fresh",
                remedy="See whether another training uses the folder",
            )

    def _is_mine(self) -> bool:
        owner = read_owner(self.path)
        return owner is not None and owner["token"] == self._token

    def _renew(self) -> None:
        while not self._stop.wait(RENEWAL_SECONDS):
            with suppress(OSError):
                if self._is_mine():
                    self._write()

    def _write(self) -> None:
        owner = describe_owner(self._token, EXPIRY_SECONDS)
        temporary = self.path.with_name(f".{self.path.name}.{self._token}")
        temporary.write_text(json.dumps(owner) + "\n", encoding="utf-8")
        temporary.replace(self.path)


def refuse_if_owned(path: Path) -> None:
    """Raise OutputError if a lock file names a process that is there, or may be on another host."""
    owner = read_owner(path)
    if owner is not None and is_held(owner):
        raise OutputError(
            f"is in use by process {owner['pid']} on {owner['host']}",
            where=str(path.parent),
            expected="one training at a time",
            remedy="Wait for it, or name another folder; a lock that is left over expires "
            f"{EXPIRY_SECONDS:.0f} s after its owner's end",
        )


def describe_owner(token: str, expiry_seconds: float) -> dict[str, Any]:
    """Say, for a lock file, that this process holds something and until when without renewal."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": process_start(os.getpid()),
        "expires": time.time() + expiry_seconds,
        "token": token,
    }


def parse_owner(text: str | bytes) -> dict[str, Any] | None:
    """Return what the text of a lock file says, or None where it cannot be understood."""
    try:
        owner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    names = {"host", "pid", "process_started", "expires", "token"}
    if not isinstance(owner, dict) or not names <= owner.keys():
        return None
    is_plain = type(owner["pid"]) is int and isinstance(owner["expires"], int | float)
    return owner if is_plain else None


def read_owner(path: Path) -> dict[str, Any] | None:
    """Return what a lock file says, or None where there is none that can be understood."""
    try:
        return parse_owner(path.read_bytes())
    except OSError:
        return None


def is_held(owner: dict[str, Any]) -> bool:
    """Tell whether an owner, as a lock file describes it, is there, or may be on another host."""
    if owner["host"] == socket.gethostname():
        return is_running(owner["pid"], owner["process_started"])
    return bool(time.time() < owner["expires"])


def is_running(pid: int, started: object) -> bool:
    """Tell whether a process of this host is there, and is the one that started as `process_start` said.

    Its number may have been given to another process since.
    """
    if isinstance(started, float):  # a moment, as files of older versions have it: as good as the clock
        with suppress(psutil.Error):
            return bool(abs(psutil.Process(pid).create_time() - started) < _CLOCK_STEP_SECONDS)
        return False
    return started is not None and process_start(pid) == started


def process_start(pid: int) -> str | None:
    """Return what tells a process of this host from others of the same number; None where there is none.

    That is the boot and the clock ticks since, which the kernel counts: a moment of the day, which is
    computed from the wall clock, is another one as soon as somebody sets that.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        # the name in brackets may hold anything, brackets and spaces as well
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return _started_elsewhere(pid)
    state, ticks = fields[0], fields[19]
    return None if state in _DEAD else f"{boot}:{ticks}"


def _started_elsewhere(pid: int) -> str | None:
    """Return the same where there is no /proc, or no such process in it."""
    if _BOOT.exists():
        return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes of this host from looking at the lock at the same time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot: the rename still leaves one owner
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
