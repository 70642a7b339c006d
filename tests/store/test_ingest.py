"""Ratings in any form become a store: given, cached while files do not change, or gone with the block."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

import daskals.store.notes as notes
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError, DatasetError, OutputError
from daskals.evaluation.prediction_error import evaluate
from daskals.fitting.fit import fit
from daskals.ingest import STORE_GENERATION, ingest, open_ratings, resolve_store

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


def test_another_reader_makes_its_own_store_and_models_find_theirs(
    ratings: Path, monkeypatch: pytest.MonkeyPatch, no_baseline: None
) -> None:
    config = TrainConfig(model="bias", epochs=1, split="none")
    model = fit(ratings, config)
    module = importlib.import_module("daskals.ingest")
    monkeypatch.setattr(module, "STORE_GENERATION", STORE_GENERATION + 1)
    theirs = model.report["data"]["store"]
    assert resolve_store(ratings).path != theirs
    assert evaluate(model, None, config)["train_rmse"] == model.report["train_rmse"]


GIVES = {
    "plain": ("userId,movieId,rating\n1,1,4\n2,2,3\n1,2,2\n", "a5a4c036 [1, 2, 1, 2] without times"),
    "quoted, semicolons": (
        '"User-ID";"ISBN";"Book-Rating"\n"1";"a";"4"\n"2";"b";"3"\n',
        "c46c23f7 [1, 2, 'a', 'b'] without times",
    ),
    "repeated": (
        "user,item,rating,timestamp\n1,1,4,10\n1,1,5,9\n2,2,3,11\n",
        "bd7e4f84 [1, 2, 1, 2] with times",
    ),
    "ISO": (
        "user,item,rating,date\n1,1,4,2020-01-02\n2,2,3,2020-01-03 10:00\n",
        "d438b233 [1, 2, 1, 2] with times",
    ),
    "dots": (
        "user,item,rating,date\n1,1,4,2.1.2020\n2,2,3,3.1.2020 10:00\n",
        "d438b233 [1, 2, 1, 2] with times",
    ),
    "halves": (
        "user,item,rating,date\n1,1,4,1/2/2020 9:00 AM\n2,2,3,1/3/2020 9:00 PM\n",
        "821a07e1 [1, 2, 1, 2] with times",
    ),
    "no dates": (
        "user,item,rating,date\n1,1,4,spring\n2,2,3,2020-01-03\n",
        "b3220304 [1, 2, 1, 2] without times",
    ),
    "slashes": (
        "user,item,rating,date\n1,1,4,2020/1/2\n2,2,3,2020/01/03 10:00\n",
        "d438b233 [1, 2, 1, 2] with times",
    ),
    "days where items are": (
        "".join(f"{k % 3},2020-01-0{k % 4 + 1},7{k % 2},4\n" for k in range(6)),
        "the column for the user is missing; columns found: '0', '2020-01-01', '70', '4'",
    ),
    "rows that are numbered": (
        "".join(f"{k},{k % 3},7{k % 2},4\n" for k in range(6)),
        "the column for the user is missing; columns found: '0', '0', '70', '4'",
    ),
    "several ids": (
        "user,item,rating\n1,N1 N2,4\n2,N3 N4 N5,3\n",
        "most cells hold several ids, such as 'N1 N2'",
    ),
    "Latin-1": ("user,item,rating\n1,é,4\n2,b,3\n", "edd38eb8 [1, 2, 'é', 'b'] without times"),
    "records": (
        '{"user": 1, "item": "a", "rating": 4}\n{"user": 2, "item": "b", "rating": 3}\n',
        "c46c23f7 [1, 2, 'a', 'b'] without times",
    ),
}
"""What files give: how the store's hash begins, its ids, whether it has times; or why there is none."""


def test_a_reader_that_gives_another_store_raises_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this fails, raise `daskals.ingest.STORE_GENERATION`, and write down here what files give now."""
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    found = {}
    for name, (text, _) in GIVES.items():
        path = tmp_path / f"{name}.txt"
        path.write_text(text, encoding="latin-1")
        try:
            store = resolve_store(path)
            ids = [*store.user_ids.to_pylist(), *store.item_ids.to_pylist()]
            times = "with" if store.has_timestamps else "without"
            found[name] = f"{store.content_hash[:8]} {ids} {times} times"
        except DataError as error:
            found[name] = str(error.found)
    assert (found, STORE_GENERATION) == ({name: gives for name, (_, gives) in GIVES.items()}, 6)


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


def test_what_was_said_of_an_input__is_said_again_by_later_processes(
    ratings: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever finds the store in the cache heard nothing of a rating of -1 or of titles beside."""
    folder = ratings.with_name("shop")
    folder.mkdir()
    rows = "".join(f"{row % 7},{row % 5},{(-1, 1, 2, 3, 4, 5)[row % 6]}\n" for row in range(35))
    (folder / "stars.csv").write_text(f"user,item,rating\n{rows}")
    (folder / "items.csv").write_text("item,title\n1,A\n")
    first = resolve_store(folder)
    said = list(caplog.messages)
    assert said[1].endswith(f"Name it with --catalogue {folder / 'items.csv'}.")
    assert said[2].startswith("the rating -1 stands apart")
    resolve_store(folder)
    assert caplog.messages == said, "once a process"
    monkeypatch.setattr(notes, "_told", set())
    resolve_store(folder)
    without_remedy = f"{folder}: ratings without titles, though items.csv may have them"
    assert caplog.messages[3:] == [said[0], without_remedy, said[2]]
    kept = Path(f"{first.path}.notes.json")
    assert [found + remedy for found, _, remedy in json.loads(kept.read_text())] == said
    # an older version kept a text and whether it is a doubt
    kept.write_text(json.dumps([["read so. Name it otherwise.", False]]))
    monkeypatch.setattr(notes, "_told", set())
    resolve_store(folder)
    assert caplog.messages[6:] == ["read so. Name it otherwise."]
    for content in ("[", "1"):
        monkeypatch.setattr(notes, "_told", set())
        kept.write_text(content)
        assert resolve_store(folder).n_ratings == first.n_ratings
    assert len(caplog.messages) == 7


def test_notes_that_cannot_be_kept__cost_no_store(
    ratings: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, text: str) -> None:
        raise OutputError("cannot be written (No space left on device)", where=str(path))

    monkeypatch.setattr(notes, "write_text_whole", full)
    ratings.write_text(ratings.read_text().replace(",", ";"))
    assert resolve_store(ratings).n_ratings == 3
    assert "separated by semicolons" in caplog.messages[0]
