"""The layout of a ratings store: names, format version, and what its attributes say.

STORE/                          a Zarr v3 group
  users/{indptr,indices,values} CSR of all ratings, columns ascending in each row
  users/{timestamps,positions}  one value a rating, in the same order
  users/weights                 what each rating counts (only if they do not all count once)
  users/predefined_test         1 where the source's own split tests (only if it has one)
  items/{...}                   the CSC of the same matrix, in the same form
  ids/{users,items}             original ids, int64 or string
  genres/{indptr,indices}       genres of each item; their names are an attribute of the group
  splits/<key>/{users,items}    part of each rating, one byte, in both orders; made on demand
  catalogue.parquet             one row an item: titles, years, genres, links
  tags.parquet                  the source's tags
  versions/<number>/            later versions, each a store of its own; see daskals.store.versions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np

from daskals.errors import NewerFormatError, StoreError
from daskals.types import Float32, Side

FORMAT = "daskals-ratings"
FORMAT_VERSION = 2
"""Of stores with weights, which an older reader would leave out; those without are of version 1."""

SPLIT_FORMAT = "daskals-split"

CHUNK_RATINGS = 1 << 20
"""Ratings a chunk holds: 1 MB of codes, 4 MB of indices, 8 MB of timestamps."""

CATALOGUE_FILE = "catalogue.parquet"
TAGS_FILE = "tags.parquet"


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
    """

    n_users: int
    n_items: int
    n_rated_items: int
    n_ratings: int
    n_input: int
    duplicates: int
    dropped: dict[str, int]
    sources: list[dict[str, Any]]
    scale: list[float]
    has_timestamps: bool
    has_predefined_test: bool
    has_catalogue: bool
    has_tags: bool
    content_hash: str
    lineage: dict[str, Any] = field(default_factory=dict)
    has_weights: bool = False

    def to_attributes(self) -> dict[str, Any]:
        """Return the attributes of the store's group, ready for JSON."""
        told = asdict(self)
        if not self.has_weights:
            del told["has_weights"]
        return {"format": FORMAT, "format_version": FORMAT_VERSION if self.has_weights else 1, **told}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], where: str) -> Self:
        """Check format and version; raise StoreError where they do not fit."""
        check_version(attributes, FORMAT, where)
        names = {own.name for own in fields(cls)}
        missing = sorted(names - attributes.keys() - {"lineage", "has_weights"})
        if missing:
            raise StoreError(
                f"its attributes lack {', '.join(missing)}",
                where=where,
                expected=f"those of format version {FORMAT_VERSION}",
                remedy="Make the store anew from its source",
            )
        return cls(**{name: attributes[name] for name in names if name in attributes})

    @property
    def scale_array(self) -> Float32:
        """The scale as float32, shape (codes,)."""
        return np.array(self.scale, dtype=np.float32)


def check_version(attributes: Mapping[str, Any], expected: str, where: str) -> None:
    """Raise StoreError unless the attributes are of the expected format in a version known here."""
    found = attributes.get("format")
    if found != expected:
        raise StoreError(
            "a Zarr group of another kind" if found is None else f"a group of format {found!r}",
            where=where,
            expected=f"format {expected!r}",
            remedy="Name a store made by daskals ingest",
        )
    version = attributes.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        raise (NewerFormatError if newer else StoreError)(
            f"format version {version!r}",
            where=where,
            expected=f"a version up to {FORMAT_VERSION}",
            remedy="Update daskals, or make the store anew from its source",
        )
