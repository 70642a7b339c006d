"""Numbers that lie under checksums that hold are refused by name; `jobs.doctor --verify` finds the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from daskals.errors import StoreError
from daskals.ratings.split import SplitSpec
from daskals.store.layout import sealed
from daskals.store.reader import open_store
from daskals.store.splits import ensure_split, load_block
from daskals.store.verify import verify_store
from daskals.store.writer import write_store
from daskals.types import TRAIN
from jobs.doctor import main
from tests.cases.store_cases import make_table

SPEC = SplitSpec("random", 0.3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lying") / "store"
    ensure_split(write_store(make_table(weights=np.linspace(0.5, 2.0, 30).astype(np.float32)), path), SPEC)
    return path


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def tell(folder: Path, name: str, place: int, value: float) -> None:
    zarr.open_array(folder / name, mode="r+")[place] = value


def read(path: Path) -> None:
    store = open_store(path)
    for side in ("user", "item"):
        stored = store.read(side, 0, store.n_rows(side), ("positions",))
        store.read_column(side, "weights", 0, store.n_ratings)
        load_block(store.path, side, 0, store.n_rows(side), SPEC.key(), TRAIN)
        assert len(stored.block.indices) == store.n_ratings
    store.genres()
    assert len(store.item_ids) == store.n_items


LIES = {
    "indptr above": ("users/indptr", 3, 1 << 40, r"users/indptr runs from 0 to 30, and falls in between"),
    "indptr below": ("items/indptr", 2, -5, r"items/indptr .*falls in between"),
    "indptr's begin": (
        "users/indptr",
        0,
        1,
        r"users/indptr runs from 1 to 30; expected starts of rows that rise",
    ),
    "indptr's end": ("users/indptr", 9, 29, r"users/indptr runs from 0 to 29"),
    "an index past the items": (
        "users/indices",
        4,
        7,
        r"users/indices holds 7; expected numbers from 0 to 6",
    ),
    "an index below": ("users/indices", 4, -1, r"users/indices holds -1; expected"),
    "an index past the users": ("items/indices", 0, 1 << 30, r"items/indices holds 1,073,741,824"),
    "a code past the scale": ("users/values", 9, 200, r"users/values holds 200; expected numbers from 0 to"),
    "a position past the input": ("items/positions", 9, 1 << 50, r"items/positions holds"),
    "no weight": ("users/weights", 9, 0.0, r"users/weights holds 0; expected finite numbers above 0"),
    "a weight that is none": (
        "users/weights",
        9,
        float("nan"),
        r"users/weights holds a number that is not finite",
    ),
    "genres' starts": ("genres/indptr", 2, 1 << 20, r"genres/indptr"),
    "a genre past the names": (
        "genres/indices",
        0,
        3,
        r"genres/indices holds 3; expected numbers from 0 to 2",
    ),
    "a text that ends before the first": ("ids/items/offsets", 7, -3, r"offsets runs from 0 to -3"),
    "a text that begins past the bytes": (
        "ids/items/offsets",
        3,
        1 << 40,
        r"offsets runs .* and falls in between",
    ),
    "a text that begins before the bytes": ("ids/items/offsets", 0, -1, r"offsets runs from -1"),
    "a part past the parts": (
        f"splits/{SPEC.key()}/users",
        3,
        9,
        r"users holds 9; expected numbers from 0 to 3",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_numbers_out_of_their_range_are_named(store: Path, lie: str) -> None:
    read(store)
    name, place, value, found = LIES[lie]
    tell(store, name, place, value)
    with pytest.raises(StoreError, match=found):
        read(store)


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("n_ratings", [3 << 40, 1 << 47])
def test_a_shape_of_terabytes_is_refused_before_memory_is_taken(store: Path, n_ratings: int) -> None:
    head = json.loads((store / "zarr.json").read_text())["attributes"]
    del head["checksum"]
    edit(store / "zarr.json", attributes=sealed({**head, "n_ratings": n_ratings, "n_input": n_ratings}))
    grid = {"name": "regular", "configuration": {"chunk_shape": [n_ratings]}}
    for name, more in (("indices", {}), ("values", {"chunk_grid": grid})):
        edit(store / "users" / name / "zarr.json", shape=[n_ratings], **more)
    opened = open_store(store)
    with pytest.raises(
        StoreError, match=r"users/indices claims [\d,]+ bytes in [\d,]+ chunks, of which 1 are"
    ):
        opened.read_column("user", "indices", 0, n_ratings)
    with pytest.raises(StoreError, match=r"users/values claims [\d,]+ bytes in chunks of"):
        opened.read_column("user", "values", 0, n_ratings)


def test_another_encoding_is_refused(store: Path) -> None:
    path = store / "users" / "indices" / "zarr.json"
    path.write_text(path.read_text().replace('"little"', '"big"'))
    with pytest.raises(StoreError, match=r"users/indices is encoded by bytes, blosc, crc32c, big-endian"):
        read(store)


@pytest.mark.parametrize("name", ["users/indices", "users/indptr", "users/weights"])
@pytest.mark.parametrize("encoding", ["default", "v2"])
def test_chunks_under_another_name_are_missed(store: Path, name: str, encoding: str) -> None:
    path = store / name / "zarr.json"
    keys = {"name": encoding, "configuration": {"separator": "."}}
    edit(path, chunk_key_encoding=keys)
    with pytest.raises(StoreError, match=rf"chunk {name}/(c\.)?0 is missing; expected all chunks"):
        read(store)


def test_another_kind_of_number_is_refused(store: Path) -> None:
    path = store / "users" / "timestamps" / "zarr.json"
    path.write_text(path.read_text().replace('"int64"', '"uint64"'))
    with pytest.raises(StoreError, match=r"users/timestamps is of uint64; expected int64"):
        open_store(store).read("user", 0, 9, ("timestamps",))


@pytest.mark.parametrize("name", ["n_users", "scale", "content_hash", "n_input"])
def test_one_digit_of_an_attribute_is_seen(store: Path, name: str) -> None:
    head = json.loads((store / "zarr.json").read_text())["attributes"]
    value = head[name]
    head[name] = (
        [value[0] + 0.5, *value[1:]] if name == "scale" else "0" * 64 if name[0] == "c" else value + 1
    )
    edit(store / "zarr.json", attributes=head)
    with pytest.raises(
        StoreError, match="its attributes are not as they were written; expected those of their che"
    ):
        open_store(store)


def test_a_table_of_another_name_is_seen(store: Path) -> None:
    path = store / "tables/catalogue/c/0"
    content = path.read_bytes()
    assert content.count(b"title") > 0
    path.write_bytes(content.replace(b"title", b"tjtle"))
    with pytest.raises(
        StoreError, match=r"tables/catalogue/c/0 is missing or damaged \(its checksum does not hold"
    ):
        open_store(store).catalogue()


@pytest.mark.parametrize(
    ("name", "place", "value", "found"),
    [
        ("users/values", 3, 0, "its content has the hash"),
        ("items/values", 3, 0, "users/values and items/values are not of the same ratings"),
        ("items/indices", 3, 1, "users/indices and items/indices are not of the same ratings"),
        ("genres/indices", 0, 2, "its genres are not those of its catalogue"),
    ],
)
def test_lies_within_their_ranges_are_found_by_the_doctor(
    store: Path, name: str, place: int, value: int, found: str
) -> None:
    verify_store(open_store(store))
    before = zarr.open_array(store / name, mode="r")[place]
    tell(store, name, place, value if before != value else value + 1)
    read(store)
    with pytest.raises(StoreError, match=found):
        verify_store(open_store(store))


def test_the_doctor_says_whether_a_store_is_true(store: Path) -> None:
    told = CliRunner().invoke(main, ["--verify", str(store)])
    assert (told.exit_code, told.output) == (0, "30 ratings are as their store says, in both orders\n")
    tell(store, "users/values", 3, 1)
    tell(store, "users/values", 4, 2)
    told = CliRunner().invoke(main, ["--verify", str(store)])
    assert told.exit_code == 1
    assert "its content has the hash" in told.output
