"""Forgotten people: a version of a store without them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.ids import common_type, lookup
from daskals.store.merge import common_encoding
from daskals.store.next_version import Content, write_version
from daskals.store.reader import RatingsStore
from daskals.store.versions import next_number, open_latest
from daskals.types import SIDES, Int64, Side


def forget_users(path: str | Path, user_ids: pa.Array) -> RatingsStore:
    """Make and return a version of a store without some people; their rows are closed up.

    Nothing of these people is in it; the versions before hold them until they are collected, and so do models
    trained on those. Raises DataError if the store knows none of them, or fewer than two others.
    """
    root = Path(path).resolve()
    number = next_number(root)
    base = open_latest(root)
    rows = np.unique(lookup(user_ids, base.user_ids))
    rows = rows[rows >= 0]
    if not len(rows) or len(rows) > base.n_users - 2:
        raise DataError(
            f"{len(rows):,} of {base.n_users:,} users to forget",
            where=str(root),
            expected="at least one user that the store knows, and two others",
            remedy="Check the ids",
        )
    content = _without(base, rows)
    lineage = {
        "number": number,
        "parent": None,  # the hash of ratings that are to be forgotten is no one's business
        "as_of": base.lineage.get("as_of"),
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "forgotten": len(rows),
    }
    return write_version(root, number, replace(content, manifest=replace(content.manifest, lineage=lineage)))


def _without(base: RatingsStore, forgotten: Int64) -> Content:
    """Return a store's content without some users' rows."""
    stays = np.ones(base.n_users, dtype=np.bool_)
    stays[forgotten] = False
    new_rows = np.cumsum(stays) - 1
    kept = {
        "user": np.repeat(stays, np.diff(base.indptr("user"))),
        "item": stays[base.read_column("item", "indices", 0, base.n_ratings)],
    }
    indptr = {side: np.concatenate([[0], np.cumsum(kept[side])])[base.indptr(side)] for side in SIDES}
    indptr["user"] = indptr["user"][np.append(np.flatnonzero(stays), base.n_users)]
    user_ids = base.user_ids.filter(pa.array(stays))
    codes = base.read_column("user", "values", 0, base.n_ratings)[kept["user"]]
    present = np.bincount(codes, minlength=len(base.scale)) if len(base.scale) else np.zeros(0, np.int64)
    encoding = common_encoding(base.scale, present, np.empty(0, np.float32), np.empty(0, np.float32))

    def column(side: Side, name: str) -> NDArray[Any]:
        found = base.read_column(side, name, 0, base.n_ratings)[kept[side]]
        if name == "values":
            return encoding.apply(found)
        if name == "indices" and side == "item":
            found = new_rows[found].astype(np.int32)
        return np.asarray(found)

    tags = base.tags()
    if tags is not None:
        names, own = common_type(tags["user_id"].combine_chunks(), base.user_ids.take(pa.array(forgotten)))
        tags = tags.filter(pc.invert(pc.is_in(names, value_set=own)))
    manifest = replace(
        base.manifest,
        n_users=len(user_ids),
        n_rated_items=int(np.count_nonzero(np.diff(indptr["item"]))),
        n_ratings=int(kept["user"].sum()),
    )
    names = ["indices", "values", "positions"]
    names += ["timestamps"] if base.has_timestamps else []
    names += ["weights"] if base.has_weights else []
    names += ["predefined_test"] if base.has_predefined_test else []
    return Content(
        (user_ids, base.item_ids),
        base.catalogue(),
        tags,
        encoding.scale,
        indptr,
        column,
        tuple(names),
        manifest,
    )
