"""Column names of an input: which hold the user, the item, the rating and its time.

Observations without ratings (clicks, plays) have no rating column. It is then left out of the names given,
and each row counts once, or as a weight column says. Ratings may have weights too, where one is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daskals.errors import ConfigError, DataError
from daskals.ratings.likely_times import can_be_times
from daskals.ratings.missing_columns import remedy_of

REQUIRED = ("user", "item", "rating")
ROLES = (*REQUIRED, "timestamp", "weight")

KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "userId", "user", "user_id", "userid", "reviewerID", "customer_id", "member_id", "account_id", "uid",
        "visitor_id", "username", "user_name", "profile_name", "household_key", "msno",
    ),
    "item": (
        "movieId", "item", "itemId", "item_id", "itemid", "movie_id", "movieid", "book_id", "isbn",
        "parent_asin", "asin", "business_id", "game_id", "track_id", "song_id", "artist_id", "product_id",
        "anime_id", "recipe_id", "joke_id", "iid", "article_id", "app_id", "video_id", "news_id",
        "content_id", "venue_id", "poi_id", "place_id", "beer_id", "wine_id", "course_id", "show_id", "sku",
        "gmap_id", "listing_id", "offering_id", "stock_code", "document_id", "doc_id",
    ),
    "rating": (
        "user_rating", "my_rating", "my_score", "user_score", "rating", "score", "stars", "overall",
        "book_rating", "star_rating", "review_score", "review_rating", "rating_val", "rating_value",
    ),
    "timestamp": ("timestamp", "ts", "tstamp", "unixReviewTime", "rating_timestamp"),
    "weight": (),
}  # fmt: skip
"""Names that are understood without being told, in order of preference, in whatever case, with `_`, `-`,
blanks or nothing between their words, and with a type behind a colon, as in RecBole's `user_id:token`. The
ratings that say whose they are go before those that may be the item's own."""

N_NAMED = 6
"""Known names that a message tells."""

PLAIN_NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "customer", "visitor", "session", "patron", "listener", "viewer", "reader", "reviewer", "member",
        "subscriber", "person", "account", "session_id", "patron_id", "listener_id", "viewer_id",
        "reader_id", "subscriber_id", "person_id",
    ),
    "item": (
        "movie", "film", "book", "game", "track", "song", "artist", "album", "product", "anime", "recipe",
        "joke", "article", "app", "video", "episode", "podcast", "show", "course", "restaurant", "hotel",
        "beer", "wine", "film_id", "album_id", "episode_id", "podcast_id", "restaurant_id", "hotel_id",
        "work",
    ),
}  # fmt: skip
"""Plain words for people and things, spelled like `KNOWN_NAMES`: taken where none of those is there and one
word alone is. An artist and a track, a customer and a session are two: whoever asks says which is meant."""

LIKELY_KINDS = (
    "event", "event_type", "event_name", "action", "action_type", "behavior", "behavior_type", "behaviour",
    "behaviour_type", "interaction", "interaction_type", "feedback_type", "activity",
)  # fmt: skip
"""Names of a column that may say what somebody did, as view or buy: told, never taken."""

LIKELY_TIMES = (
    "time", "date", "datetime", "date_time", "unix_time", "unix_timestamp", "epoch", "timestamps",
    "timestamp_s", "timestamp_ms", "timestamp_us", "timestamp_ns", "rated_at", "rated_on", "rating_date",
    "rating_time", "date_rated", "review_date", "review_time", "reviewed_at", "created_at", "event_time",
    "watched_at", "watched_date", "time_rated", "listened_at", "played_at", "clicked_at", "viewed_at",
    "purchased_at", "purchase_date", "ordered_at", "order_date", "date_added", "date_updated",
    "event_timestamp", "transaction_date", "purchase_time", "event_date", "utc_timestamp", "utc_time",
    "time_ms", "review_timestamp", "invoice_date", "check_in_time", "visit_date", "rating_time_stamp",
)  # fmt: skip
"""Names of a column that holds the ratings' times where all of it are times; else it is something else."""

LIKELY_FLAGS = (
    "clicked", "click", "is_click", "is_clicked", "label", "liked", "is_liked", "purchased", "bought",
    "converted", "conversion", "is_conversion", "converted_purchase", "read", "watched", "response",
    "is_like", "is_recommended", "recommended", "thumbs_up", "is_purchased", "is_read", "is_watched",
    "target",
)  # fmt: skip
"""Names of a column that may say whether what was shown was clicked: told, never taken unasked."""

LIKELY_COUNTS = (
    "weight", "count", "counts", "plays", "play_count", "n_plays", "listen_count", "listens", "clicks",
    "click_count", "views", "view_count", "quantity", "frequency", "interactions", "seconds_listened",
    "listened_seconds", "seconds_watched", "watch_seconds", "watch_time", "play_duration", "dwell_time",
    "ms_played", "seconds", "minutes", "duration", "loans", "purchases", "visits", "n", "times",
)  # fmt: skip
"""Names of a column that may say how often somebody did what a row records: told, never taken unasked."""

_TYPE = re.compile(r":(token|float)(_seq)?$")


class MissingColumnError(DataError):
    """A column that the ratings need is not among those of the input."""


class ColumnNames(NamedTuple):
    """Names of the columns as the input has them, None where there is none.

    Without a `rating` the rows are observations, which count once each or as their `weight` says; beside a
    `rating`, the `weight` is what that counts in training. `perhaps_times`: the `timestamp` has one of
    `LIKELY_TIMES`, and is one only where all its values are times.
    """

    user: str
    item: str
    rating: str | None
    timestamp: str | None
    weight: str | None = None
    perhaps_times: bool = False

    def without_times(self) -> ColumnNames:
        """Return the same without a time."""
        return self._replace(timestamp=None, perhaps_times=False)

    def by_role(self) -> dict[str, str]:
        """Return role → name for the columns that exist."""
        names = (self.user, self.item, self.rating, self.timestamp, self.weight)
        return {role: name for role, name in zip(ROLES, names, strict=True) if name is not None}


def check_columns(columns: Mapping[str, str]) -> None:
    """Check that a mapping names user and item, and a rating or what stands for it, each its own column.

    Raises
    ------
    ConfigError
        Where one is missing, unknown, or shared.
    """
    unknown = [role for role in columns if role not in ROLES]
    if unknown:
        raise _column_error(f"'{unknown[0]}' is nothing a column can be")
    missing = [role for role in REQUIRED if role not in columns]
    if missing and missing != ["rating"]:
        raise _column_error(f"no column named for {' and '.join(missing)}")
    if len(set(columns.values())) < len(columns):
        raise _column_error("one column named for two things")


def usual_names(role: str) -> str:
    """Return some of the names that are known of a role, each in one spelling, for messages."""
    spelled = {_plain(name): name for name in reversed(KNOWN_NAMES[role])}
    names = list(dict.fromkeys(spelled[_plain(name)] for name in KNOWN_NAMES[role]))
    return f"called {', '.join(names[:N_NAMED])}{' or the like' if len(names) > N_NAMED else ''}"


def find_column(found: Sequence[str], role: str) -> str | None:
    """Return the column that is known to hold a role, as the input spells it; None where there is none.

    A name in its usual spelling goes before one that only reads the same, as `USER ID` for `user_id`; both go
    before a plain word, which must be the only one of its kind.
    """
    known = find_known(found, role)
    if known is not None:
        return known
    words = {_plain(word) for word in PLAIN_NAMES.get(role, ())}
    plain = [str(name) for name in found if _plain(str(name)) in words]
    return plain[0] if len(plain) == 1 else None


def find_known(found: Sequence[str], role: str) -> str | None:
    """Return the column of a role by its known names alone, as a row may hold `book`, not `book_id`."""
    return first_known(found, KNOWN_NAMES.get(role, (role,)))


def find_likely_times(found: Sequence[str]) -> str | None:
    """Return the column that holds the times if all of it are times; None where there is none."""
    return first_known(found, LIKELY_TIMES)


def first_known(found: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the first of some known names that the columns have, as the input spells it; None: none."""
    exact = next((name for name in known if name in found), None)
    if exact is not None:
        return exact
    spelled = {_plain(name): name for name in reversed([str(name) for name in found])}
    return next((spelled[_plain(name)] for name in known if _plain(name) in spelled), None)


def _plain(name: str) -> str:
    return "".join(c for c in _TYPE.sub("", name).casefold() if c not in "_- .")


def choose_columns(
    found: Sequence[str],
    wanted: Mapping[str, str] | None,
    *,
    where: str,
    rows: Sequence[Sequence[str]] = (),
    clicks: bool = False,
) -> ColumnNames:
    """Choose the columns of an input.

    Parameters
    ----------
    found
        Names of the columns, in the order of the input.
    wanted
        Role → name as the user gave it, or None for the known names.
    where
        File or frame, for the error.
    rows
        The first rows as texts where they are known, for the remedy.
    clicks
        Whether rows without a rating are observations, though none is named; not where a column may tell
        which of them were clicked.

    Raises
    ------
    MissingColumnError
        Where a column is missing; the columns found are listed.
    DataError
        Where its name stands twice.
    """
    chosen: dict[str, str | None] = {}
    unrated = clicks and wanted is None and first_known(found, LIKELY_FLAGS) is None
    likely = find_likely_times(found) if wanted is None and find_column(found, "timestamp") is None else None
    for role in ROLES:
        if wanted is not None:
            name = wanted.get(role)
            expected = f"the column '{name}' for the {role}"
        else:
            name = likely if likely and role == "timestamp" else find_column(found, role)
            expected = f"a column for the {role}, {usual_names(role)}"
        absent = name not in found
        needed = role in REQUIRED and wanted is None and not (unrated and role == "rating")
        if absent and (name is not None or needed):
            raise MissingColumnError(
                f"the column for the {role} is missing; columns found: {_listed(found)}",
                where=where,
                expected=expected,
                remedy=remedy_of(
                    found,
                    role if wanted is None else "named",
                    chosen,
                    counts=first_known(found, LIKELY_COUNTS),
                    times=_times(found, rows),
                    flags=first_known(found, LIKELY_FLAGS),
                    rows=rows,
                    known={one: find_column(found, one) for one in REQUIRED},
                    clicks=clicks,
                ),
            )
        if list(found).count(name or "") > 1:
            raise DataError(
                f"the column '{name}' stands there twice; columns found: {_listed(found)}",
                where=where,
                expected="one column of that name",
                remedy="Rename or remove one of them",
            )
        chosen[role] = name
    user, item = str(chosen["user"]), str(chosen["item"])
    more = (chosen["rating"], chosen["timestamp"], chosen["weight"])
    return ColumnNames(user, item, *more, perhaps_times=likely is not None)


def _times(found: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Return the column that may be named as times: none whose first values are seen not to be read so."""
    name = find_column(found, "timestamp") or find_likely_times(found)
    values = [] if name is None else [row[list(found).index(name)] for row in rows]
    return name if can_be_times(values) else None


def _listed(found: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in found[:20])
    return f"{shown} and {len(found) - 20} more" if len(found) > 20 else shown or "none"


def _column_error(found: str) -> ConfigError:
    return ConfigError(
        found,
        where="--columns",
        expected="user, item and rating, perhaps timestamp and weight, a column each",
        remedy="Name them as the header has them, as in --columns=user=userId,item=movieId,rating=rating",
    )
