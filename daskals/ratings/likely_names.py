"""Which columns may hold users, items and ratings by words in their names: for advice, never taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_PEOPLE = (
    "user", "customer", "member", "visitor", "person", "reviewer", "profile", "account", "client", "buyer",
    "player", "student", "listener", "viewer", "reader", "patron", "critic", "taster", "author", "uid",
    "username", "profilename", "reviewers", "session",
)  # fmt: skip
_THINGS = (
    "movie", "film", "item", "product", "book", "game", "beer", "wine", "song", "track", "artist", "album",
    "anime", "manga", "recipe", "hotel", "restaurant", "venue", "place", "business", "stock", "content",
    "article", "video", "course", "app", "joke", "show", "trackname", "artistname", "campaign",
    "bgg", "link", "url", "title", "name", "id",
)  # fmt: skip
_GRADES = ("overall", "rating", "score", "stars", "star", "grade", "points", "recommend")

_OTHERS = (
    "session", "order", "review", "comment", "transaction", "category", "brewery", "city", "country",
    "region", "age", "gender", "agent", "handle", "count", "counts", "num", "number", "avg", "average",
    "mean", "date", "time", "year", "text", "image", "type", "description",
)  # fmt: skip
"""Words that say that a column is of something else, or of something about it."""


def likely_columns(found: Sequence[str], known: Mapping[str, str | None]) -> dict[str, str]:
    """Return role → column as far as words in their names tell, beside those that are known.

    Authors are people where there are ratings.

    Parameters
    ----------
    found
        Names of the columns.
    known
        Role → column that is known to hold it, None where none is.
    """
    chosen = {role: name for role, name in known.items() if name is not None}
    for role, words in (("user", _PEOPLE), ("rating", _GRADES), ("item", _THINGS)):
        if role in chosen:
            continue
        left = [name for name in found if name.strip() and name not in chosen.values()]
        ranked = [(rank, name) for name in left if (rank := _rank(name, words)) is not None]
        if ranked:
            chosen[role] = min(ranked, key=lambda pair: pair[0])[1]
    if "rating" not in chosen and "author" in chosen.get("user", "").lower():
        return {}  # a catalogue of books
    return {role: chosen[role] for role in ("user", "item", "rating") if role in chosen}


def is_id_of(name: str, role: str) -> bool:
    """Tell whether a name says plainly that a column has ids of a role, `user` or `item`."""
    rank = _rank(name, _PEOPLE if role == "user" else _THINGS)
    return rank is not None and rank[:2] == (0, 0)


def _rank(name: str, words: Sequence[str]) -> tuple[int, int, int] | None:
    """Return how well a name fits, the lower the better; None where none of the words is in it."""
    said = [word.lower() for word in _WORDS.findall(name)]
    places = [words.index(word) for word in said if word in words]
    if not places:
        return None
    others = sum(word in _OTHERS for word in said)
    is_id = words[min(places)] != "id" and name.lower().endswith(("id", "code", "asin", "isbn"))
    return others, 0 if is_id else 1, min(places)
