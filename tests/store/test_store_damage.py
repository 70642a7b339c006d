"""What is missing, truncated or flipped is an error that names it, never zeros."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from daskals.errors import StoreError
from daskals.ratings.split import SplitSpec
from daskals.store import arrays
from daskals.store.reader import RatingsStore, open_store
from daskals.store.splits import ensure_split, load_block
from daskals.store.writer import write_store
from daskals.types import TRAIN
from tests.cases.damages import DAMAGES
from tests.cases.store_cases import make_table

SPEC = SplitSpec("random", 0.3)


def read_everything(path: Path) -> None:
    """Read every array of a store."""
    store = open_store(path)
    for side in ("user", "item"):
        store.read(side, 0, store.n_rows(side), ("timestamps", "positions"))
        load_block(store.path, side, 0, store.n_rows(side), SPEC.key(), TRAIN)
    assert store.user_ids
    assert store.item_ids
    store.genres()
    store.catalogue()
    store.tags()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    """A store whose arrays have many chunks."""
    path = tmp_path_factory.mktemp("pristine") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "CHUNK_RATINGS", 8)
        ensure_split(write_store(make_table(), path), SPEC)
    read_everything(path)
    return path


@pytest.fixture
def damaged(pristine, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "store"))


COLUMNS = ("indptr", "indices", "values", "timestamps", "positions")
CHUNKS = [f"{side}/{name}/c/0" for side in ("users", "items") for name in COLUMNS]
CHUNKS += ["users/indices/c/3", "items/values/c/2", "ids/users/c/1"]
CHUNKS += ["ids/items/offsets/c/0", "ids/items/bytes/c/1"]
CHUNKS += ["genres/indptr/c/0", "genres/indices/c/0"]


@pytest.mark.parametrize("how", DAMAGES)
def test_every_damaged_chunk_is_named(damaged, how) -> None:
    for key in CHUNKS:
        content = (damaged / key).read_bytes()
        DAMAGES[how](damaged / key)
        state = "missing; expected all chunks" if how == "removed" else r"damaged \("
        with pytest.raises(StoreError, match=rf"store: chunk {key} is {state}") as caught:
            read_everything(damaged)
        assert "Restore it from a copy, or make the store anew from its source" in str(caught.value)
        (damaged / key).write_bytes(content)
    read_everything(damaged)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_chunk_of_a_split_is_named(damaged, how) -> None:
    DAMAGES[how](damaged / "splits" / SPEC.key() / "items" / "c" / "1")
    with pytest.raises(StoreError, match=rf"splits/{SPEC.key()}: chunk items/c/1 is"):
        read_everything(damaged)
    with pytest.raises(StoreError, match=r"chunk items/c/1 is"):
        ensure_split(open_store(damaged), SPEC).train_counts("item")


def test_rows_whose_chunks_are_whole_can_still_be_read(damaged) -> None:
    store = open_store(damaged)
    rows = next(row for row, end in enumerate(store.indptr("user")[1:]) if end > 8)
    (damaged / "users" / "indices" / "c" / "3").unlink()
    assert len(store.read("user", 0, rows).block.indices) > 0


@pytest.mark.parametrize(
    "name", ["users/indices", "items/indptr", "ids/users", "ids/items/bytes", "genres/indptr", "genres"]
)
@pytest.mark.parametrize("how", ["removed", "truncated", "emptied"])
def test_damaged_metadata_are_named(damaged, name, how) -> None:
    DAMAGES[how](damaged / name / "zarr.json")
    with pytest.raises(StoreError, match=rf"store: the metadata {name}/zarr.json cannot be read") as caught:
        read_everything(damaged)
    assert "expected the metadata of a Zarr v3 node" in str(caught.value)


@pytest.mark.parametrize("how", ["truncated", "emptied"])
def test_a_damaged_group_is_named(damaged, how) -> None:
    DAMAGES[how](damaged / "zarr.json")
    with pytest.raises(StoreError, match=r"store: the metadata \./zarr.json cannot be read"):
        open_store(damaged)


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        content["attributes"][name] = value
    content["attributes"].pop("checksum")  # as its writer, who lied, would have made it anew
    path.write_text(json.dumps(content), encoding="utf-8")


def test_an_array_of_another_length_is_refused(damaged) -> None:
    edit(damaged / "zarr.json", n_ratings=31)
    with pytest.raises(StoreError, match=r"users/indices has shape \(30,\); expected \(31,\)"):
        open_store(damaged).read_column("user", "indices", 0, 9)
    with pytest.raises(StoreError, match=r"users/indptr runs from 0 to 30; expected .* rise from 0 to 31"):
        open_store(damaged).read("user", 0, 9)


@pytest.mark.parametrize("version", [4, 0, "1", None])
def test_another_version_is_refused(damaged, version) -> None:
    edit(damaged / "zarr.json", format_version=version)
    message = rf"store: format version {version!r}; expected a version up to 3\. Update daskals"
    with pytest.raises(StoreError, match=message):
        open_store(damaged)


def test_a_split_of_another_version_is_refused(damaged) -> None:
    edit(damaged / "splits" / SPEC.key() / "zarr.json", format_version=3)
    with pytest.raises(StoreError, match=rf"{SPEC.key()}: format version 3; expected a version up"):
        ensure_split(open_store(damaged), SPEC)


def test_another_format_is_refused(damaged) -> None:
    edit(damaged / "zarr.json", format="daskals-model")
    with pytest.raises(StoreError, match=r"a group of format 'daskals-model'; expected format 'daskals-rat"):
        open_store(damaged)
    with pytest.raises(StoreError, match=r"users: a Zarr group of another kind; expected format"):
        open_store(damaged / "users")


def test_incomplete_attributes_are_refused(damaged) -> None:
    content = json.loads((damaged / "zarr.json").read_text(encoding="utf-8"))
    for name in ("scale", "n_users", "checksum"):
        del content["attributes"][name]
    (damaged / "zarr.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(StoreError, match=r"its attributes lack n_users, scale; expected those of format"):
        open_store(damaged)


@pytest.mark.parametrize("name", ["catalogue", "tags"])
@pytest.mark.parametrize("how", ["removed", "truncated", "emptied", "flipped in the middle"])
def test_damaged_tables_are_named(damaged, name, how) -> None:
    file = damaged / "tables" / name / "c" / "0"
    content = file.read_bytes()
    if how == "flipped in the middle":  # one of a data page: they come first in the file
        file.write_bytes(content[:30] + bytes([content[30] ^ 4]) + content[31:])
    else:
        DAMAGES[how](file)
    with pytest.raises(StoreError, match=rf"store: tables/{name}/c/0 is missing or damaged \("):
        getattr(open_store(damaged), name)()


def test_what_is_no_store_is_described(tmp_path) -> None:
    with pytest.raises(StoreError, match=r"absent: does not exist; expected the folder of a ratings store"):
        open_store(tmp_path / "absent")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"file: is a file; expected the folder of a ratings store"):
        open_store(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"folder: is not a store: it holds nothing; expected"):
        open_store(tmp_path / "folder")
    for number in range(12):
        (tmp_path / "folder" / f"{number:02}.csv").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"it holds 00.csv, 01.csv, .*09.csv, …; .*daskals ingest SOURCE"):
        RatingsStore(tmp_path / "folder")
