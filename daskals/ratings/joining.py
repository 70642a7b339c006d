"""Ids, catalogue and tags joined to those of an earlier version: who is known keeps their row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import DataError
from daskals.ratings.ids import lookup
from daskals.types import Int64, Side


class JoinedIds(NamedTuple):
    """Ids of one side, the known ones first.

    Attributes
    ----------
    ids
        int64 or string, by row.
    rows
        Row of each of the newcomers' ids, int64.
    n_known
        How many were there before.
    """

    ids: pa.Array
    rows: Int64
    n_known: int


def join_ids(known: pa.Array, coming: pa.Array, side: Side) -> JoinedIds:
    """Give ids that come later the rows they have, or new ones in the order they come in.

    Raises
    ------
    DataError
        If the known ids are integers and the others are not: they name other people or things.
    """
    if pa.types.is_integer(known.type) and not pa.types.is_integer(coming.type):
        numbers = pc.match_substring_regex(coming, r"^-?[0-9]+$")
        first = coming.filter(pc.invert(numbers))
        raise DataError(
            f"{side} ids that are no integers, the first of them {first[0].as_py()!r}"
            if len(first)
            else f"{side} ids that are written like {coming[0].as_py()!r}",
            expected=f"{side} ids like those of the store, such as {known[0].as_py()!r}",
            remedy="Check that the ratings come from the same system",
        )
    coming = coming.cast(known.type)
    rows = lookup(coming, known)
    fresh = np.flatnonzero(rows < 0)
    rows[fresh] = len(known) + np.arange(len(fresh))
    return JoinedIds(pa.concat_arrays([known, coming.take(pa.array(fresh))]), rows, len(known))


def join_catalogues(known: pa.Table | None, coming: pa.Table | None, items: JoinedIds) -> pa.Table | None:
    """Return the catalogue of all items by row; what is listed anew counts as listed last.

    Parameters
    ----------
    known, coming
        Catalogues by row of the known and of the newcomers' items, or None.
    items
        Which rows these are.
    """
    if known is None and coming is None:
        return None
    parts = [table for table in (known, coming) if table is not None]
    schema = pa.unify_schemas([part.schema for part in parts])
    source = np.full(len(items.ids), -1, dtype=np.int64)
    n_before = 0
    if known is not None:
        source[: items.n_known] = np.arange(items.n_known)
        n_before = items.n_known
    if coming is not None:
        listed = coming["title"].is_valid().to_numpy() if "title" in coming.column_names else True
        # an item that its file does not list has no title: what was known of it stays
        takes = np.flatnonzero(np.broadcast_to(listed, len(coming)) | (source[items.rows] < 0))
        source[items.rows[takes]] = n_before + takes
    stacked = pa.concat_tables([_with_columns(part, schema) for part in parts])
    index = pc.if_else(pc.less(pa.array(source), 0), None, pa.array(source))
    joined = stacked.take(index).combine_chunks()
    if "genres" in schema.names:
        # an item that is not listed has no genres, which is not the same as unknown ones
        lists = joined["genres"].combine_chunks()
        empty = pa.scalar([], lists.type)
        place = joined.column_names.index("genres")
        joined = joined.set_column(place, "genres", pc.if_else(pc.is_null(lists), empty, lists))
    return joined


def join_tags(known: pa.Table | None, coming: pa.Table | None) -> pa.Table | None:
    """Return all tags, each once."""
    if known is None or coming is None:
        return coming if known is None else known
    for name in set(known.column_names) & set(coming.column_names):
        if known[name].type != coming[name].type:
            known, coming = (
                table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
                for table in (known, coming)
            )
    schema = pa.unify_schemas([known.schema, coming.schema])
    stacked = pa.concat_tables([_with_columns(part, schema) for part in (known, coming)])
    numbered = stacked.append_column("row", pa.array(np.arange(len(stacked))))
    first = numbered.group_by(schema.names).aggregate([("row", "min")])["row_min"]
    return stacked.take(pa.array(np.sort(first.to_numpy()))).combine_chunks()


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
