"""The layout of a ratings store: names, format version, and what its attributes say.

STORE/                          a Zarr v3 group
  users/{indptr,indices,values} CSR of all ratings, columns ascending in each row
  users/{timestamps,positions}  one value a rating, in the same order
  users/weights                 what each rating counts (only if they do not all count once)
  users/predefined_test         1 where the source's own split tests (only if it has one)
  items/{...}                   the CSC of the same matrix, in the same form
  ids/{users,items}             original ids: an array of int64, or a group {offsets,bytes} of texts
  genres/{indptr,indices}       genres of each item; their names are an attribute of the group
  splits/<key>/{users,items}    part of each rating, one byte, in both orders; made on demand
  tables/catalogue              Parquet as bytes: one row an item: titles, years, genres, links
  tables/tags                   Parquet as bytes: the source's tags
  versions/<number>/            later versions, each a store of its own; see daskals.store.versions
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Self, TypeAlias

import numpy as np
from pydantic import Field

from daskals.errors import NewerFormatError, StoreError
from daskals.store.checked import checked
from daskals.types import Float32, Side

FORMAT = "daskals-ratings"
FORMAT_VERSION = 3
"""Version 3 has texts and tables in arrays that every Zarr reader opens; before it, Zarr's strings, and
Parquet files beside the arrays."""

TABLES_IN_ARRAYS = 3
"""Version from which tables are arrays of bytes."""

SPLIT_FORMAT = "daskals-split"

CHUNK_RATINGS = 1 << 20
"""Ratings a chunk holds: 1 MB of codes, 4 MB of indices, 8 MB of timestamps."""

CATALOGUE_FILE = "catalogue.parquet"
TAGS_FILE = "tags.parquet"
"""Tables of stores before version 3, and of models."""

CATALOGUE, TAGS = "tables/catalogue", "tables/tags"
"""Their arrays since."""

CHECKSUM = "checksum"
"""Attribute of a group: digits that tell its other attributes from any others."""

_REMEDY = "Restore it from a copy, or make it anew"

Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 48)]
Rows: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 31)]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


def file_of(table: str) -> str:
    """Return the file of a table's array: its one chunk, not compressed, is the Parquet file."""
    return f"{table}/c/0"


def group_of(side: Side) -> str:
    """Return the name of a side's group."""
    return f"{side}s"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says about itself in the attributes of its group.

    Attributes
    ----------
    n_users, n_items
        Rows of the two sides, rated or not.
    n_rated_items, n_ratings
        Items with at least one rating; ratings stored.
    n_input
        Rows of the input, including those dropped; `positions` count them.
    duplicates, dropped
        Rows of the input that repeated a (user, item) pair; rows dropped as invalid, by reason.
    sources
        The source files, with their hashes.
    scale
        The distinct ratings ascending, or empty where `values` are float32.
    has_timestamps, has_predefined_test, has_catalogue, has_tags, has_weights
        Which optional parts the store has.
    content_hash
        SHA-256 of the logical content: the same ratings, ids, genres, catalogue and tags give the same
        hash wherever, whenever and however compressed they are stored.
    lineage
        How a later version came from the one before (see `daskals.store.append`); empty for a first one.
    tables
        SHA-256 of the files of tables, by name; empty in stores of before there was one.
    """

    n_users: Rows
    n_items: Rows
    n_rated_items: Rows
    n_ratings: Count
    n_input: Count
    duplicates: Count
    dropped: dict[str, int]
    sources: list[dict[str, Any]]
    scale: Annotated[list[Finite], Field(max_length=256)]
    has_timestamps: bool
    has_predefined_test: bool
    has_catalogue: bool
    has_tags: bool
    content_hash: Sha256
    lineage: dict[str, Any] = field(default_factory=dict)
    has_weights: bool = False
    tables: dict[str, Sha256] = field(default_factory=dict)

    def to_attributes(self) -> dict[str, Any]:
        """Return the attributes of the store's group, ready for JSON."""
        told = asdict(self)
        if not self.has_weights:
            del told["has_weights"]
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **told}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], where: str) -> Self:
        """Check format and version; raise StoreError where they do not fit."""
        check_version(attributes, FORMAT, where, FORMAT_VERSION)
        names = {own.name for own in fields(cls)}
        missing = sorted(names - attributes.keys() - {"lineage", "has_weights", "tables"})
        if missing:
            raise StoreError(
                f"its attributes lack {', '.join(missing)}",
                where=where,
                expected=f"those of format version {FORMAT_VERSION}",
                remedy="Make the store anew from its source",
            )
        return checked(cls, attributes, where, StoreError, expected="attributes of a store", remedy=_REMEDY)

    @property
    def scale_array(self) -> Float32:
        """The scale as float32, shape (codes,)."""
        return np.array(self.scale, dtype=np.float32)


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with their checksum beside them."""
    return {**attributes, CHECKSUM: _checksum(attributes)}


def is_as_written(attributes: Mapping[str, Any]) -> bool:
    """Tell whether attributes are those of their checksum; older ones have none."""
    return CHECKSUM not in attributes or attributes[CHECKSUM] == _checksum(attributes)


def check_sealed(attributes: Mapping[str, Any], where: str) -> None:
    """Raise StoreError where attributes are not as they were written."""
    if not is_as_written(attributes):
        raise StoreError(
            "its attributes are not as they were written", where=where, expected="those of their checksum",
            remedy=_REMEDY,
        )  # fmt: skip


def _checksum(attributes: Mapping[str, Any]) -> str:
    # through JSON, as they go to the disk and come back
    told = json.loads(json.dumps({name: one for name, one in attributes.items() if name != CHECKSUM}))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def check_version(attributes: Mapping[str, Any], expected: str, where: str, newest: int = 1) -> None:
    """Raise StoreError unless attributes are as written, of a format, in a version up to the newest."""
    found = attributes.get("format")
    if found != expected:
        raise StoreError(
            "a Zarr group of another kind" if found is None else f"a group of format {found!r}",
            where=where,
            expected=f"format {expected!r}",
            remedy="Name a store made by daskals ingest",
        )
    version = attributes.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= newest:
        newer = isinstance(version, int) and version > newest
        raise (NewerFormatError if newer else StoreError)(
            f"format version {version!r}",
            where=where,
            expected=f"a version up to {newest}",
            remedy="Update daskals, or make the store anew from its source",
        )
    check_sealed(attributes, where)
