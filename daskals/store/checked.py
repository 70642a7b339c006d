"""What was read from JSON, checked against the types it must have: one error by name, never a KeyError."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from daskals.errors import DaskalsError

T = TypeVar("T")


def checked(
    kind: type[T], values: object, where: str, error: type[DaskalsError], *, expected: str, remedy: str
) -> T:
    """Return values as a dataclass or another type, strictly: no text for a number, no number for a text.

    Parameters
    ----------
    kind
        What they must be; values that it has no name for are left out.
    values
        As JSON gives them.
    where, error, expected, remedy
        How the error says it where they are not.

    Raises
    ------
    DaskalsError
        Of the class `error`, naming the first value that is missing or wrong.
    """
    try:
        # through JSON, where strictness still lets a list stand for a tuple and an object for a dataclass
        found: T = _adapter(kind).validate_json(json.dumps(values), strict=True)  # type: ignore[arg-type]
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "it"
        raise error(
            f"{name} is damaged ({first['msg']})", where=where, expected=expected, remedy=remedy
        ) from None
    return found


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
