"""Sparse matrices in Zarr groups, as AnnData lays them out, read as ratings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import zarr

from daskals.config import ReadConfig
from daskals.errors import DataError
from daskals.ingest import ingest, resolve_store
from daskals.ratings.frames import from_frame
from daskals.ratings.source import read_ratings
from daskals.ratings.table import RatingsTable
from daskals.store.sparse_group import read_sparse_group

MATRIX = scipy.sparse.csr_array(np.array([[0, 4, 0, 3.5], [0, 0, 0, 0], [0, 0.5, 5, 0]]))
USERS, ITEMS = ["ann", "bob", "cem"], ["10", "20", "30", "40"]
RATED = {("ann", 20, 4.0), ("ann", 40, 3.5), ("cem", 20, 0.5), ("cem", 30, 5.0)}


def write(
    path: Path, matrix=MATRIX, *, zarr_format=2, inside="X", names=(USERS, ITEMS), gaps=False, label=True
) -> Path:
    """Write a matrix in AnnData's layout."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group = root.require_group(inside) if inside else root
    if label:
        group.attrs["encoding-type"] = f"{matrix.format}_matrix"
    group.attrs["shape"] = list(matrix.shape)
    for part in ("data", "indices", "indptr"):
        values = getattr(matrix, part)
        group.create_array(part, data=values, chunks=(3,), config={"write_empty_chunks": True})
    for table, own in zip(("obs", "var"), names, strict=False):
        rows = root.require_group(table)
        rows.attrs["_index"] = "name"
        values = np.array(own, dtype=object if zarr_format == 2 else np.dtypes.StringDType())
        if gaps:
            rows = rows.require_group("name")
            rows.create_array("mask", data=np.zeros(len(own), bool))
        target = rows.create_array("values" if gaps else "name", shape=values.shape, dtype="string")
        target[:] = values
    return path


def rated(table: RatingsTable) -> set[tuple[object, object, float]]:
    return {
        (table.user_ids[user].as_py(), table.item_ids[item].as_py(), value)
        for user, item, value in zip(
            table.users.tolist(), table.items.tolist(), table.values.tolist(), strict=True
        )
    }


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_sparse_group(tmp_path: Path, form: str, zarr_format: int) -> None:
    """By its layout: the folder has no name that says so; text ids that are all integers are integers."""
    matrix = MATRIX.asformat(form)
    path = write(tmp_path / "plain", matrix, zarr_format=zarr_format, gaps=zarr_format == 3)
    assert rated(read_sparse_group(path)) == RATED
    unlabelled = write(tmp_path / "unlabelled", matrix, zarr_format=zarr_format, label=False)
    assert rated(read_sparse_group(unlabelled)) == RATED


@pytest.mark.parametrize("inside", ["X", ""])
def test_without_names__it_counts_from_zero(tmp_path: Path, inside: str) -> None:
    table = read_sparse_group(write(tmp_path / "g", zarr_format=3, inside=inside, names=()))
    assert rated(table) == {(0, 1, 4.0), (0, 3, 3.5), (2, 1, 0.5), (2, 2, 5.0)}


def test_it_is_ratings_like_any_other(tmp_path: Path) -> None:
    """The same store as of a table, also where the group's own head is a `zarr.json`, as a store's is."""
    path = write(tmp_path / "group", zarr_format=3)
    entries = MATRIX.tocoo()
    rows, columns = (places.tolist() for places in entries.coords)
    ids = {"user": [USERS[row] for row in rows], "item": [int(ITEMS[column]) for column in columns]}
    table = from_frame(pd.DataFrame({**ids, "rating": entries.data}))
    store = ingest(path, tmp_path / "store")
    assert rated(table) == RATED
    assert (store.n_ratings, store.user_ids.to_pylist()) == (4, table.user_ids.to_pylist())
    assert resolve_store(path, ReadConfig()).content_hash == store.content_hash
    (source,) = read_sparse_group(path).sources
    assert (source["name"], source["rows"]) == ("group", 4)
    assert source["bytes"] == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def damaged(path: Path, what: str) -> None:
    """Make something of a written group impossible."""
    group = zarr.open_group(path, mode="a")
    if what == "pointers":
        group["X/indptr"][1] = 9
    elif what == "indices":
        group["X/indices"][0] = 4
    elif what == "names":
        group["obs/name"][1] = "ann"
    elif what == "shape":
        group["X"].attrs["shape"] = [3, 4, 1]
    elif what == "no shape":
        del group["X"].attrs["shape"]
    elif what == "chunk":
        next((path / "X" / "data").glob("[0-9]*")).unlink()
    elif what == "claim":
        (path / "X/data/.zarray").write_text(
            (path / "X/data/.zarray")
            .read_text()
            .replace('"shape": [\n    4', '"shape": [\n    4000000000000')
        )
    elif what == "complex":
        del group["X/data"]
        group.create_array("X/data", data=np.ones(4, complex))
    elif what == "dense":
        shutil.rmtree(path / "X")
        group.create_array("X", data=MATRIX.toarray())
    else:
        del group["X/indptr"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pointers", "pointers that do not rise from 0 to 4"),
        ("indices", "indices outside of 0 to 3"),
        ("names", "obs calls several rows 'ann'"),
        ("shape", "a matrix of 3 dimensions"),
        ("no shape", "shape"),
        ("chunk", "1 of 2 chunks of X/data are missing"),
        ("claim", "chunks of X/data are missing"),
        ("complex", "its values are of type complex128"),
        ("dense", "X is a dense array of 2 dimensions"),
        ("no pointers", "indptr"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, what: str, message: str) -> None:
    path = write(tmp_path / "g")
    damaged(path, what)
    with pytest.raises(
        DataError, match=rf"g: cannot be read \(.*{message}.*expected a Zarr group with a sparse"
    ):
        read_sparse_group(path)


def test_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataError, match=r"an HDF5 file.*Convert it: anndata\.read_h5ad\(FILE\)\.write_zarr"):
        read_ratings(tmp_path / "cells.h5ad")
