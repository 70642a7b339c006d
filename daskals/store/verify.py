"""A store read whole and compared with what it says of itself: what no checksum of a chunk can tell."""

from __future__ import annotations

import numpy as np

from daskals.errors import StoreError
from daskals.store.content import hash_array, hash_column, hash_parts, hash_table
from daskals.store.genres import encode_genres
from daskals.store.layout import group_of
from daskals.store.reader import RatingsStore
from daskals.types import SIDES, Int64, Side

_REMEDY = "Restore it from a copy, or make the store anew from its source"


def verify_store(store: RatingsStore) -> None:
    """Read all of a store; it takes about 60 bytes of memory a rating.

    Raises StoreError where its content is not that of its hash, its two orders are not of the same ratings,
    or its genres not those of its catalogue.
    """
    found = _content_hash(store)
    if found != store.content_hash:
        raise StoreError(
            f"its content has the hash {found[:12]}",
            where=store.path,
            expected=f"{store.content_hash[:12]}, as it says of itself",
            remedy=_REMEDY,
        )
    _compare_orders(store)
    told, made = store.genres(), encode_genres(store.catalogue(), store.n_items)
    same = told.names == made.names and np.array_equal(told.indptr, made.indptr)
    if not same or not np.array_equal(told.indices, made.indices):
        raise StoreError(
            "its genres are not those of its catalogue", where=store.path, expected="the same", remedy=_REMEDY
        )


def _columns(store: RatingsStore) -> list[str]:
    optional = {
        "timestamps": store.has_timestamps,
        "weights": store.has_weights,
        "predefined_test": store.has_predefined_test,
    }
    return ["indices", "values", "positions", *(name for name, is_there in optional.items() if is_there)]


def _content_hash(store: RatingsStore) -> str:
    digests = {"users/indptr": hash_array(store.indptr("user"))}
    for name in _columns(store):
        digests[f"users/{name}"] = hash_array(store.read_column("user", name, 0, store.n_ratings))
    digests |= {"catalogue": hash_table(store.catalogue()), "tags": hash_table(store.tags())}
    for side, ids in zip(SIDES, (store.user_ids, store.item_ids), strict=True):
        digests[f"ids/{group_of(side)}"] = hash_column(ids)
    scale = store.manifest.scale
    return hash_parts({**digests, "scale": scale, "n_input": store.n_input})


def _rows(store: RatingsStore, side: Side) -> Int64:
    return np.repeat(np.arange(store.n_rows(side)), np.diff(store.indptr(side)))


def _compare_orders(store: RatingsStore) -> None:
    """Compare ratings of both sides by their place in the input."""
    places = {side: store.read_column(side, "positions", 0, store.n_ratings) for side in SIDES}
    order = {side: np.argsort(places[side], kind="stable") for side in SIDES}
    for name in _columns(store):
        by_user = store.read_column("user", name, 0, store.n_ratings)
        by_item = store.read_column("item", name, 0, store.n_ratings)
        if name == "indices":
            same = np.array_equal(by_user[order["user"]], _rows(store, "item")[order["item"]])
            same = same and np.array_equal(_rows(store, "user")[order["user"]], by_item[order["item"]])
        else:
            same = np.array_equal(by_user[order["user"]], by_item[order["item"]])
        if not same:
            raise StoreError(
                f"users/{name} and items/{name} are not of the same ratings",
                where=store.path,
                expected="one matrix in two orders",
                remedy=_REMEDY,
            )
