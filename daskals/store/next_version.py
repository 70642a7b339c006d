"""A later version of a store, written from columns that are sorted already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from daskals.store.arrays import write_array, write_group
from daskals.store.content import hash_array, hash_parts
from daskals.store.layout import Manifest, group_of
from daskals.store.reader import RatingsStore, open_store
from daskals.store.remote import VERSIONS
from daskals.store.versions import new_version_folder
from daskals.store.writer import write_catalogue, write_manifest, writing
from daskals.types import SIDES, Float32, Int64, Side


@dataclass(frozen=True)
class Content:
    """A version to be written: columns by side, made when they are written, and all that stands beside.

    Attributes
    ----------
    ids, catalogue, tags
        Of users and items; as `RatingsTable` has them.
    scale, indptr
        The distinct ratings ascending, or empty; row limits of each side.
    column, names
        Makes one column of a side; the columns.
    manifest
        All but the scale and the hash, which follow from the rest.
    """

    ids: tuple[pa.Array, pa.Array]
    catalogue: pa.Table | None
    tags: pa.Table | None
    scale: Float32
    indptr: Mapping[Side, Int64]
    column: Callable[[Side, str], NDArray[Any]]
    names: tuple[str, ...]
    manifest: Manifest


def write_version(root: Path, number: int, content: Content) -> RatingsStore:
    """Write a version of the store at `root`, whole or not at all, and open it."""
    with new_version_folder(root, number) as folder, writing(folder) as (store, pool):
        listing = pool.submit(write_catalogue, store, content.ids, content.catalogue, content.tags)
        digests = listing.result()

        def write_side(side: Side) -> None:
            group = group_of(side)
            lengths = [len(ids) for ids in content.ids]
            shape = lengths if side == "user" else lengths[::-1]
            scale = [float(rating) for rating in content.scale]
            write_group(store, group, {"shape": shape, "scale": scale})
            for name in ("indptr", *content.names):
                column = content.indptr[side] if name == "indptr" else content.column(side, name)
                write_array(store, f"{group}/{name}", column)
                if side == "user":
                    digests[f"{group}/{name}"] = hash_array(column)

        for written in [pool.submit(write_side, side) for side in SIDES]:
            written.result()
        scale = [float(rating) for rating in content.scale]
        hashed = hash_parts({**digests, "scale": scale, "n_input": content.manifest.n_input})
        manifest = replace(content.manifest, scale=scale, content_hash=hashed)
        pool.submit(write_manifest, store, folder, manifest).result()
    return open_store(root / VERSIONS / f"{number:06d}")
