"""The question that is asked most, read without FastAPI's machinery, which takes longer than a list's scores.

Nothing is judged here: whatever is not plainly a right question, FastAPI reads again and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from daskals.serving.web.questions import RecommendQuestion

RECOMMEND = "/v1/recommend"

_NAMES = {"user", "n", "order"}
_LENGTH = re.compile("[1-9][0-9]{0,8}", re.ASCII)
_JSON = (b"content-type", b"application/json")


def read_directly(scope: MutableMapping[str, Any], body: bytes) -> RecommendQuestion | None:
    """Read what is asked for.

    Parameters
    ----------
    scope
        The request, as ASGI tells it.
    body
        Its whole body.

    Returns
    -------
    RecommendQuestion | None
        What FastAPI would make of the request; None where that is for it to say.
    """
    if scope["path"] != RECOMMEND:
        return None
    try:
        if scope["method"] == "POST":
            return RecommendQuestion.model_validate_json(body) if _JSON in scope["headers"] else None
        return _of_address(scope["query_string"]) if scope["method"] == "GET" else None
    except ValidationError:
        return None


def _of_address(query: bytes) -> RecommendQuestion | None:
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = dict(given)
    if len(named) != len(given) or not {"user"} <= named.keys() <= _NAMES:
        return None
    length = named.get("n", "10")
    if not _LENGTH.fullmatch(length):
        return None
    return RecommendQuestion.model_validate({**named, "n": int(length)})
