"""Lists of items as tables a person can read: original ids, titles, years, genres, a figure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.config.arguments import check_word
from daskals.types import Float32, Int64

Output: TypeAlias = Literal["pandas", "arrow"]
"""What a list comes as."""

Frame: TypeAlias = pd.DataFrame | pa.Table

CATALOGUE_COLUMNS = ("title", "year", "genres", "imdb_id", "tmdb_id")


def item_table(
    rows: Int64,
    name: str,
    figure: Float32,
    *,
    item_ids: pa.Array,
    counts: Int64,
    catalogue: pa.Table | None,
    beside: Mapping[str, Float32] = MappingProxyType({}),
) -> pa.Table:
    """List items: `item`, what the catalogue has of them, the figure, and `n_ratings`.

    Parameters
    ----------
    rows
        Rows of the items, shape (listed,), in the order of the list.
    name, figure
        What orders them, and its values, shape (listed,).
    item_ids, counts, catalogue
        The model's; counts have shape (items,).
    beside
        More figures by name, each of shape (listed,).
    """
    places = pa.array(rows)
    columns = {"item": item_ids.take(places)}
    if catalogue is not None:
        taken = catalogue.take(places)
        columns |= {name: taken[name] for name in CATALOGUE_COLUMNS if name in catalogue.column_names}
    columns[name] = pa.array(np.asarray(figure, np.float32))
    columns |= {more: pa.array(np.asarray(values, np.float32)) for more, values in beside.items()}
    columns["n_ratings"] = pa.array(counts[rows])
    return pa.table(columns)


def as_output(table: pa.Table, output: Output) -> Frame:
    """Turn a table into what was asked for; raise ConfigError where that is nothing a table can be."""
    check_word(output, "output", get_args(Output))
    return table.to_pandas() if output == "pandas" else table
