"""What lists are for, and so what of late counts in them.

Lists are judged, and half-lives chosen, by what they are for. Where ratings left out of training are any, as
at random, old ratings tell as much of them as new ones do. Where they came after the others, or there are
none and whoever asks for a list does so after all of them, what is of late counts more.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from daskals.config.lists import ListConfig
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import part_seconds
from daskals.types import TRAIN, Int64

POPULARITY_HALF_LIFE, OWN_HALF_LIFE = 0.03, 0.25
"""Shares of all ratings after which one counts half, in popularity and in its own person's lists.

Chosen on the lists of the first half of a month of nights; see docker/README.md.
"""

HeldOutKind: TypeAlias = Literal["any", "last", "latest"]
"""What the weights of an order are chosen on: ratings at random, everybody's latest, or the latest of all."""

_KINDS: dict[str, HeldOutKind] = {"none": "latest", "time": "latest", "recent": "latest", "last": "last"}
"""By what a split leaves out."""


class ListTimes(NamedTuple):
    """What of late counts in lists.

    Attributes
    ----------
    seconds
        When each training rating was made, int64, shape (ratings,), by user; None where it is no matter.
    kind
        What held-out ratings are, as lists are to find them.
    popularity_half_life, own_half_life
        As `ListConfig` has them, the latter to begin with.
    """

    seconds: Int64 | None = None
    kind: HeldOutKind = "any"
    popularity_half_life: float = 0.0
    own_half_life: float = 0.0


NO_TIMES = ListTimes()
"""What there is where ratings have no times, or these are no matter."""


def list_times(store: RatingsStore, split: Split, method: str, config: ListConfig) -> ListTimes:
    """Settle what of late counts in lists.

    Parameters
    ----------
    store, split
        All ratings, and which of them train.
    method
        The split's.
    config
        What is asked for.
    """
    named = config.popularity_half_life, config.own_half_life
    kind = _KINDS.get(method, "any")
    if not store.has_timestamps or (kind == "any" and not any(named)):
        return NO_TIMES
    seconds = part_seconds(store, split, "user", (0, store.n_users), TRAIN)
    if len(seconds) == 0 or seconds.min() == seconds.max():
        return NO_TIMES
    usual = (POPULARITY_HALF_LIFE, OWN_HALF_LIFE) if kind == "latest" else (0.0, 0.0)
    popular, own = (by if one is None else one for one, by in zip(named, usual, strict=True))
    return ListTimes(seconds, "latest" if popular else kind, popular, own)
