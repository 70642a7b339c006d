"""Arguments of calls from Python: what is no number, list, word or path is told, before anything is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from numbers import Integral, Real

from daskals.errors import ConfigError

MOST_SHOWN = 60
"""Characters of a value that a message shows."""


def shown(value: object) -> str:
    """Write a value on one line, the end of a long one left out."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number, of Python or NumPy; true and false are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Tell whether a value is a real number, of Python or NumPy; true and false are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    """Tell whether a value is things one after the other: no text, mapping, table, matrix or generator."""
    is_one = isinstance(value, str | bytes | Mapping) or getattr(value, "ndim", 1) != 1
    return isinstance(value, Iterable) and isinstance(value, Sized) and not is_one


def check_list(value: object, where: str, expected: str) -> None:
    """Raise ConfigError where a value is no list; see `is_list`."""
    if not is_list(value):
        raise ConfigError(f"found {shown(value)}", where=where, expected=expected)


def check_word(value: object, where: str, words: Sequence[str]) -> None:
    """Raise ConfigError where a value is none of some words."""
    if not isinstance(value, str) or value not in words:
        raise ConfigError(f"found {shown(value)}", where=where, expected=" or ".join(map(repr, words)))


def check_path(value: object, where: str) -> None:
    """Raise ConfigError where a value is neither a text nor a path."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"found {shown(value)}", where=where, expected="a path")


def check_kind(value: object, kind: type | tuple[type, ...], where: str, expected: str) -> None:
    """Raise ConfigError where a value is not of a kind."""
    if not isinstance(value, kind):
        raise ConfigError(f"found {shown(value)}", where=where, expected=expected)
