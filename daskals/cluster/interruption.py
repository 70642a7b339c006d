"""Ctrl-C and SIGTERM: the first is noted and ends a run at its next step, a second one ends it at once.

Python raises KeyboardInterrupt wherever the program happens to be. Where that is a finaliser the exception is
dropped, and a run that knew of nothing else would go on for ever.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.05
"""After which a signal that fell into a finaliser comes again, when that is over."""

INTERRUPTED = 130
"""Exit code of what was interrupted."""


class _Noted:
    """Whether a signal came, whether Python dropped what it raised, and how many parts end by themselves."""

    def __init__(self) -> None:
        self.came = False
        self.is_dropped = False
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
    hook, sys.unraisablehook = sys.unraisablehook, _raise_again(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        _noted.came = _noted.is_dropped = False


def _raise_again(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    """Return a hook that has a signal come again whose exception Python dropped; no traceback is shown."""

    def dropped(what: Any) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            hook(what)
        elif not is_deferred():
            _noted.is_dropped = True
            timer = threading.Timer(AGAIN_SECONDS, _send_again)
            timer.daemon = True
            timer.start()

    return dropped


def _send_again() -> None:
    """Send the main thread the signal that was dropped, unless somebody has seen since that it came."""
    if _noted.is_dropped:
        _noted.came = _noted.is_dropped = False
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


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
        _noted.is_dropped = False
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
