"""Ratings in any form become a store: given, cached while files do not change, or gone with the block."""

from __future__ import annotations

import importlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

from daskals.config import ReadConfig
from daskals.errors import DataError, DatasetError, OutputError
from daskals.ingest import ingest, open_ratings, resolve_store

FRAME = pd.DataFrame({"user": ["a", "a", "b"], "item": [5, 7, 5], "rating": [3.0, 4.0, 2.5]})


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating\n1,1,4.0\n2,2,3.0\n1,2,2.0\n")
    return path


@pytest.mark.parametrize(
    "source",
    [FRAME, pa.Table.from_pandas(FRAME), scipy.sparse.coo_array(([3.0, 4.0, 2.5], ([0, 0, 1], [0, 1, 0])))],
)
def test_frames_and_matrices_live_in_a_temporary_store(source: object) -> None:
    with open_ratings(source, ReadConfig()) as store:
        assert (store.n_users, store.n_items, store.n_ratings) == (2, 2, 3)
        folder = Path(store.path)
        assert folder.exists()
    assert not folder.exists()


def test_files_are_read_once_while_they_do_not_change(ratings: Path) -> None:
    first = resolve_store(ratings)
    assert resolve_store(ratings).path == first.path
    assert resolve_store(ratings, ReadConfig(duplicates="first")).path != first.path
    ratings.write_text(ratings.read_text() + "2,1,5.0\n")
    second = resolve_store(ratings)
    assert (first.n_ratings, second.n_ratings) == (3, 4)


def test_a_catalogue_beside_a_file_counts_as_part_of_it(ratings: Path) -> None:
    assert resolve_store(ratings).catalogue() is None
    ratings.with_name("movies.csv").write_text(
        "movieId,title,genres\n1,One (1991),Drama\n2,Two (1992),Comedy\n"
    )
    assert resolve_store(ratings).catalogue()["title"].to_pylist() == ["One (1991)", "Two (1992)"]


def test_an_open_store_and_a_store_folder_are_taken_as_they_are(ratings: Path, tmp_path: Path) -> None:
    made = ingest(ratings, tmp_path / "store")
    with open_ratings(made, ReadConfig()) as store:
        assert store is made
    assert resolve_store(tmp_path / "store").path == made.path


def test_ingest_refuses_or_replaces(ratings: Path, tmp_path: Path) -> None:
    ingest(ratings, tmp_path / "store")
    with pytest.raises(OutputError, match="already exists"):
        ingest(ratings, tmp_path / "store")
    ingest(ratings, tmp_path / "store", overwrite="replace")


def test_names(ratings: Path, tmp_path: Path) -> None:
    assert resolve_store("synthetic-100k").n_ratings == 100_000
    assert ingest("synthetic-100k", tmp_path / "named").n_ratings == 100_000
    for call in (lambda: resolve_store("synthetic-100m"), lambda: ingest("synthetic-100m", tmp_path / "x")):
        with pytest.raises(DatasetError, match="synthetic-100k"):
            call()


def test_a_lost_race_takes_the_winner_s_store(ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("daskals.ingest")  # daskals.ingest is the function

    winner = resolve_store(ratings)
    original = Path.is_file
    answers = iter([False])  # as if the store were not there yet when looked for first

    def is_file(path: Path) -> bool:
        if path == Path(winner.path) / "zarr.json":
            return next(answers, True)
        return original(path)

    monkeypatch.setattr(module.Path, "is_file", is_file)
    assert resolve_store(ratings).path == winner.path


def test_strange_ratings() -> None:
    with (
        pytest.raises(DataError, match="ratings of type dict; expected a path"),
        open_ratings({}, ReadConfig()),
    ):
        pass
