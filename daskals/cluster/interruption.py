"""Ctrl-C and SIGTERM: the first is noted and ends a run at its next step, a second one ends it at once.

Python raises KeyboardInterrupt wherever the program happens to be. Where that is a finaliser the exception is
dropped, and a run that knew of nothing else would go on for ever.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130
"""Exit code of what was interrupted."""


class _Noted:
    """Whether a signal came, and how many parts of the program end by themselves when one does."""

    def __init__(self) -> None:
        self.came = False
        self.deferring = 0
        self.lock = threading.Lock()


_noted = _Noted()


@contextmanager
def handling_signals() -> Iterator[None]:
    """Note signals while the block runs; outside of the main thread, which has no handlers, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _noted.came = False
    # a batch system stops a job with SIGTERM: it cleans up as Ctrl-C does
    before = {number: signal.signal(number, _note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _noted.came = False


@contextmanager
def deferring() -> Iterator[None]:
    """Let signals be noted and no more while the block runs: it looks at `is_noted` at every step.

    Raises KeyboardInterrupt where one was noted, before the block or in it.
    """
    check()
    with _noted.lock:
        _noted.deferring += 1
    try:
        yield
    finally:
        with _noted.lock:
            _noted.deferring -= 1
    check()


def is_noted() -> bool:
    """Tell whether a signal came."""
    return _noted.came


def is_deferred() -> bool:
    """Tell whether somebody ends by themselves at the next step."""
    return _noted.deferring > 0


def check() -> None:
    """Raise KeyboardInterrupt where a signal came: between steps, where nothing swallows it."""
    if _noted.came:
        raise KeyboardInterrupt


def end_at_once() -> NoReturn:
    """End this process without another step; what it held is found to be nobody's by whoever comes next."""
    os.write(2, b"interrupted again: ended at once\n")
    os._exit(INTERRUPTED)


def _note(*_: object) -> None:
    if _noted.came:
        end_at_once()
    _noted.came = True
    if not is_deferred():
        raise KeyboardInterrupt
    # a handler may run in the middle of a write to a stream: past Python's buffers
    os.write(2, b"interrupted: ending after this step; once more ends it at once\n")
