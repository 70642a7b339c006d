"""A store opens elsewhere: by zarr alone, through object stores, by TensorStore, zarrs and zarrita."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import obstore
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorstore
import zarr
import zarrs  # noqa: F401 - zarrs 0.2 makes itself known as it is imported

from daskals.ingest import ingest
from daskals.store.arrays import open_for_writing, write_array
from daskals.store.ids import ids_to_numpy
from daskals.store.layout import FORMAT_VERSION
from daskals.store.reader import RatingsStore, open_store

USERS = ["ann", "Björn", "0007", "日本", "x" * 300]


@pytest.fixture(scope="module", params=["texts", "integers", "no genres"])
def store(request, tmp_path_factory) -> RatingsStore:
    """Stores of small ratings: ids that are texts, ids that are integers, and one without genres and tags."""
    folder = tmp_path_factory.mktemp("elsewhere")
    users = USERS if request.param == "texts" else [3, 1, 2**40, 5, 4]
    items = ["a", "b", "c"] if request.param == "texts" else [10, 20, 30]
    pairs = [
        (user, item, 1 + (k * 7) % 5) for k, (user, item) in enumerate((u, i) for u in users for i in items)
    ]
    pd.DataFrame(pairs, columns=["userId", "movieId", "rating"]).to_csv(folder / "ratings.csv", index=False)
    if request.param != "no genres":
        titles = {
            "movieId": items,
            "title": [f"T {i}" for i in items],
            "genres": ["Drama", "", "Comedy|Drama"],
        }
        pd.DataFrame(titles).to_csv(folder / "movies.csv", index=False)
    return ingest(folder, folder / "store")


def arrays_of(store: RatingsStore) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a store by their metadata, read as files."""
    found = {}
    for path in sorted(Path(store.path).rglob("zarr.json")):
        node = json.loads(path.read_text(encoding="utf-8"))
        if node["node_type"] == "array":
            found[str(path.parent.relative_to(store.path))] = tuple(node["shape"])
    return found


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def by_zarr(store: RatingsStore) -> dict[str, str]:
    group = zarr.open_group(store.path, mode="r")
    return {name: digest(group[name][...]) for name in arrays_of(store)}


def test_every_array_holds_numbers_and_something(store):
    arrays = arrays_of(store)
    assert {"users/indptr", "items/values"} < set(arrays)
    assert all(np.prod(shape) > 0 for shape in arrays.values())
    group = zarr.open_group(store.path, mode="r")
    assert all(group[name].dtype.kind in "iuf" for name in arrays)
    assert group.attrs["format_version"] == FORMAT_VERSION


def test_ids_are_read_by_their_offsets(store):
    ids = zarr.open_group(store.path, mode="r")["ids"]
    if ids.attrs["users"] == "int64":
        assert ids["users"][:].tolist() == store.user_ids.to_pylist()
        return
    offsets, content = ids["users/offsets"][:], ids["users/bytes"][:].tobytes()
    texts = [content[a:b].decode() for a, b in itertools.pairwise(offsets)]
    assert texts == store.user_ids.to_pylist() == USERS


def test_tables_are_arrays_and_files(store):
    if store.catalogue() is None:
        return
    content = zarr.open_group(store.path, mode="r")["tables/catalogue"][:].tobytes()
    assert pq.read_table(io.BytesIO(content)).equals(store.catalogue())
    assert pq.read_table(Path(store.path) / "tables" / "catalogue" / "c" / "0").equals(store.catalogue())


def test_zarr_lists_the_group_in_silence(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(store.path, mode="r")
        members = {name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)}
    assert members == set(arrays_of(store))


def test_obstore_lists_the_group(store):
    place = zarr.storage.ObjectStore(obstore.store.LocalStore(store.path), read_only=True)
    group = zarr.open_group(place, mode="r")
    members = {name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)}
    assert members == set(arrays_of(store))


def test_tensorstore_reads_every_array(store):
    wanted = by_zarr(store)
    for name in arrays_of(store):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store.path}/{name}/"}}
        array = tensorstore.open(spec, read=True).result()
        assert digest(array.read().result()) == wanted[name], name


def test_zarrs_reads_every_array(store):
    wanted = by_zarr(store)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}):
        group = zarr.open_group(store.path, mode="r")
        for name in arrays_of(store):
            assert digest(group[name][...]) == wanted[name], name


def test_zarrita_reads_every_array_of_more_than_a_byte(store):
    """Of single bytes it wants to be told their order, which there is none of.

    It is installed by hand: it brings a crc32c of which numcodecs warns.
    """
    zarrita = pytest.importorskip("zarrita")
    wanted = by_zarr(store)
    group = zarr.open_group(store.path, mode="r")
    wide = [name for name in arrays_of(store) if group[name].dtype.itemsize > 1]
    assert {"users/indptr", "users/indices", "items/indices"} <= set(wide)
    for name in wide:
        array = zarrita.Array.open(zarrita.LocalStore(store.path) / name)
        assert digest(array[:]) == wanted[name], name


def as_before(store: RatingsStore, folder: Path) -> Path:
    """Write a copy as version 1 had it: Zarr's own strings, tables as files, an array without elements."""
    place = Path(shutil.copytree(store.path, folder))
    for name, ids in (("users", store.user_ids), ("items", store.item_ids)):
        if ids.type == pa.string():
            shutil.rmtree(place / "ids" / name)
            write_array(open_for_writing(place), f"ids/{name}", ids_to_numpy(ids))
    for name in ("catalogue", "tags"):
        if (place / "tables" / name).is_dir():
            (place / "tables" / name / "c" / "0").rename(place / f"{name}.parquet")
    shutil.rmtree(place / "tables")
    if not (place / "genres" / "indices").is_dir():
        write_array(open_for_writing(place), "genres/indices", np.empty(0, np.int32))
    unsealed = {"checksum": None, "tables": None}
    for node, changes in (
        ("", {"format_version": 1, **unsealed}),
        ("ids", {"users": None, "items": None, **unsealed}),
    ):
        file = place / node / "zarr.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        content["attributes"] = {
            k: v for k, v in {**content["attributes"], **changes}.items() if v is not None
        }
        file.write_text(json.dumps(content), encoding="utf-8")
    return place


def test_a_store_of_the_version_before_is_read_the_same(store, tmp_path):
    before = open_store(as_before(store, tmp_path / "before"))
    assert before.content_hash == store.content_hash
    assert before.user_ids.equals(store.user_ids)
    assert before.item_ids.equals(store.item_ids)
    assert (before.catalogue() is None) == (store.catalogue() is None)
    assert before.catalogue() is None or before.catalogue().equals(store.catalogue())
    assert before.genres().names == store.genres().names
    np.testing.assert_array_equal(before.genres().indices, store.genres().indices)
