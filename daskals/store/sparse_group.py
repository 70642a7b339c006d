"""Ratings as a sparse matrix in a Zarr group, as AnnData and SciPy's friends write it: users by items.

GROUP/X/{data,indices,indptr}   CSR or CSC of Zarr 2 or 3; GROUP itself may be that matrix
GROUP/obs, GROUP/var            names of rows and columns, where there are any: the ids
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from daskals.errors import DataError
from daskals.ratings.assemble import assemble
from daskals.ratings.columns import ColumnNames
from daskals.ratings.convert import convert_table
from daskals.ratings.raw import Origin
from daskals.ratings.reading import AS_USUAL, Reading
from daskals.ratings.table import RatingsTable
from daskals.store.arrays import DAMAGE
from daskals.types import Int64

_PARTS = ("data", "indices", "indptr")
_HEADS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_NAMES = ColumnNames("obs", "var", "X", None)
_AXES = {"csr_matrix": 0, "csr": 0, "csc_matrix": 1, "csc": 1}
_CHUNK_BYTES = 1 << 24


class _Matrix(NamedTuple):
    """The stored entries: along `axis` of `shape` by `indptr`, along the other by `indices`."""

    data: NDArray[Any]
    indices: Int64
    indptr: Int64
    axis: int
    shape: tuple[int, int]


def is_sparse_group(path: Path) -> bool:
    """Tell whether a folder is a Zarr group with a matrix `X`, or one itself, by what lies in it."""
    if _is_node(path / "X"):
        return _is_node(path)
    return _is_node(path) and all(_is_node(path / part) for part in _PARTS)


def read_sparse_group(path: Path, reading: Reading = AS_USUAL) -> RatingsTable:
    """Read the stored entries of a matrix as ratings: rows are users, columns items.

    Their ids are the names of `obs` and `var`; where there are none, they count from 0.

    Parameters
    ----------
    path
        The folder of the group.
    reading
        What is done about its entries; it has no columns.

    Raises
    ------
    DataError
        If it cannot be read, is no sparse matrix of real numbers, or its arrays contradict one another.
    """
    try:
        group = zarr.open_group(LocalStore(path, read_only=True), mode="r", use_consolidated=False)
        matrix = _matrix(path, group)
        users, items = (
            _ids(path, group, table, length)
            for table, length in zip(("obs", "var"), matrix.shape, strict=True)
        )
    except (*DAMAGE, MemoryError) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from None
    along = np.repeat(np.arange(matrix.shape[matrix.axis]), np.diff(matrix.indptr))
    rows, columns = (along, matrix.indices) if matrix.axis == 0 else (matrix.indices, along)
    entries = pa.table({"user": _coded(rows, users), "item": _coded(columns, items), "rating": matrix.data})
    raw = convert_table(entries, _NAMES, Origin(((str(path), len(entries)),)))
    table = assemble(raw, reading)
    table.sources.append({**_fingerprint(path), "rows": len(entries)})
    return table


def _is_node(path: Path) -> bool:
    return any((path / head).is_file() for head in _HEADS[:3])


def _matrix(path: Path, group: zarr.Group) -> _Matrix:
    found: Any = group.get("X", group)
    if not isinstance(found, zarr.Group):
        dense = f"{found.path} is a dense array of {found.ndim} dimensions, where 0 may be a rating or none"
        raise _unreadable(path, dense)
    values, indices, indptr = (_whole(path, found[part]) for part in _PARTS)
    if values.dtype.kind not in "biuf":
        raise _unreadable(path, f"its values are of type {values.dtype}")
    shape = tuple(int(size) for size in found.attrs["shape"])  # type: ignore[union-attr, arg-type]
    if len(shape) != 2:
        raise _unreadable(path, f"a matrix of {len(shape)} dimensions")
    matrix = _Matrix(
        values.astype(np.float32 if values.dtype == np.float32 else np.float64),
        indices.astype(np.int64),
        indptr.astype(np.int64),
        _axis(path, found, len(indptr) - 1, shape),
        shape,
    )
    wrong = _contradiction(matrix)
    if wrong:
        raise _unreadable(path, wrong)
    return matrix


def _axis(path: Path, group: zarr.Group, length: int, shape: tuple[int, int]) -> int:
    """Tell along which axis the pointers run: as the group says, or by how many there are."""
    said = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format"))
    if said in _AXES:
        return _AXES[str(said)]
    if shape[0] == shape[1]:
        raise _unreadable(path, f"its encoding-type is {said!r}, neither csr_matrix nor csc_matrix")
    return int(length == shape[1])


def _contradiction(matrix: _Matrix) -> str | None:
    """Say what of a matrix cannot be, if anything."""
    length, other = matrix.shape[matrix.axis], matrix.shape[1 - matrix.axis]
    n_entries = len(matrix.data)
    if len(matrix.indices) != n_entries:
        return f"{n_entries:,} values and {len(matrix.indices):,} indices"
    if len(matrix.indptr) != length + 1:
        return f"{len(matrix.indptr):,} pointers for a side of {length:,}"
    if matrix.indptr[0] != 0 or matrix.indptr[-1] != n_entries or np.any(np.diff(matrix.indptr) < 0):
        return f"pointers that do not rise from 0 to {n_entries:,}"
    if n_entries and not 0 <= matrix.indices.min() <= matrix.indices.max() < other:
        return f"indices outside of 0 to {other - 1:,}"
    return None


def _ids(path: Path, group: zarr.Group, table: str, length: int) -> pa.Array:
    """Return the ids of a side: names, one for each row and none twice, or numbers from 0."""
    if table not in group:
        return pa.array(np.arange(length))
    rows = group[table]
    names = _names(path, rows[str(rows.attrs.get("_index", "_index"))])  # type: ignore[index]
    if len(names) != length:
        raise _unreadable(path, f"{table} names {len(names):,} rows of {length:,}")
    if len(names.unique()) < length:
        repeated = next(one["values"] for one in names.value_counts().to_pylist() if one["counts"] > 1)
        raise _unreadable(path, f"{table} calls several rows {repeated!r}")
    return names


def _names(root: Path, found: Any) -> pa.Array:
    """Return texts or integers, of an array or of AnnData's groups of categories and of texts with gaps."""
    if not isinstance(found, zarr.Group):
        values = _whole(root, found)
        return pa.array(values if values.dtype.kind in "iu" else [str(value) for value in values.tolist()])
    if "codes" in found:
        return _names(root, found["categories"]).take(pa.array(_whole(root, found["codes"])))
    return _names(root, found["values"])


def _whole(root: Path, array: Any) -> NDArray[Any]:
    """Read an array of one dimension, all of whose chunks are there: Zarr takes a lost one for zeros."""
    if not isinstance(array, zarr.Array) or array.ndim != 1:
        raise ValueError(f"{array.path} is no array of one dimension")
    n_chunks = -(-array.shape[0] // (array.shards or array.chunks)[0])
    n_there = sum(file.is_file() and file.name not in _HEADS for file in (root / array.path).rglob("*"))
    if n_there < n_chunks:
        raise ValueError(f"{n_chunks - n_there:,} of {n_chunks:,} chunks of {array.path} are missing")
    return np.asarray(array[:])


def _coded(codes: Int64, ids: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), ids)


def _fingerprint(path: Path) -> dict[str, Any]:
    """Return name, size and SHA-256 of a folder: of its files' names and contents."""
    digest, n_bytes = hashlib.sha256(), 0
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        n_bytes += file.stat().st_size
        with file.open("rb") as stream:
            while content := stream.read(_CHUNK_BYTES):
                digest.update(content)
    return {"name": path.name, "bytes": n_bytes, "sha256": digest.hexdigest()}


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot be read ({why})",
        where=str(path),
        expected="a Zarr group with a sparse matrix X of real numbers, users by items",
        remedy="Write it with anndata: AnnData(scipy.sparse.csr_matrix(MATRIX)).write_zarr(FOLDER)",
    )
