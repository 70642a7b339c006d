"""Names of a file's columns, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyarrow import parquet

from daskals.errors import DataError
from daskals.ratings.columns import REQUIRED
from daskals.ratings.foreign import refuse_foreign
from daskals.ratings.headed import is_headed
from daskals.ratings.json_records import field_names, is_json
from daskals.ratings.packing import STREAM_ERRORS, is_parquet
from daskals.ratings.sniff import table_head


def names_of(path: Path) -> Sequence[str]:
    """Return the names of a file's columns, none where it is no data; of a text without names its first row.

    Ratings under headings have the three that ratings need.
    """
    try:
        refuse_foreign(path)
        if is_parquet(path):
            return list(parquet.read_schema(str(path)).names)
        if is_json(path):
            return field_names(path)
        return REQUIRED if is_headed(path) else table_head(path)[1].names
    except (DataError, *STREAM_ERRORS):
        return ()
