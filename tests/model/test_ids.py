"""Ids stay what they are: the model's ids decide how a text is read, at every place that names one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.ingest import forget_listed, ingest
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.new_users import parse_typed_ratings
from daskals.model.profile_ratings import read_profile_file
from daskals.ratings.exact_ids import exact_id, exact_ids
from daskals.serving.predictions import predict_file, read_pairs
from daskals.serving.shared_ratings import read_ratings, write_ratings
from jobs import export, predict, recommend, similar

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig.parse({"model": "als", "rank": 2, "epochs": 4, "tau": 0.001, "split": "none"})

NUMBERED = {1: "Toy Story (1995)", 2: "Kill Bill: Vol. 1 (2003)", 7: "300 (2006)", 300: "Alien (1979)"}
TEXTS = {
    "0007": "Toy Story (1995)",
    "0104257": "Few Good Men, A (1992)",
    "451E6083": "Fahrenheit 451 (1966)",
    "NA": "North Avenue (1999)",
    "a_b~c": "Kill Bill: Vol. 1 (2003)",
    "1e5": "300 (2006)",
}
USERS = ("0007", "0104257", "451E6083", "NA", "7")


def write_folder(folder: Path, items: dict, users: tuple) -> Path:
    folder.mkdir()
    with (folder / "movies.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["movieId", "title", "genres"])
        rows.writerows([key, title, "Drama"] for key, title in items.items())
    with (folder / "ratings.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["userId", "movieId", "rating"])
        rows.writerows(
            [user, item, 1 + (3 * u + i) % 5]
            for u, user in enumerate(users)
            for i, item in enumerate(items)
            if (u, i) != (1, 1)
        )
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ids")


@pytest.fixture(scope="module")
def numbered(home) -> Model:
    """A model whose ids are integers."""
    model = fit(write_folder(home / "numbered", NUMBERED, (1, 7, 1000, 2)), CONFIG)
    model.save(home / "numbered-model")
    return model


@pytest.fixture(scope="module")
def texts(home) -> Model:
    """A model whose ids are texts that look like numbers, or like nothing."""
    model = fit(write_folder(home / "texts", TEXTS, USERS), CONFIG)
    model.save(home / "texts-model")
    return model


def rated(model: Model, profile) -> list:
    return [model.item_ids[int(row)].as_py() for row in profile.rated]


def run(command, *arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(command.main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- one function decides ----------------------------------------------------------------------------------

AS_INTEGER = {
    "1": 1, " 1 ": 1, "-5": -5, "0": 0, "9223372036854775807": 2**63 - 1, "9223372036854775808": None,
    "0007": None, "+5": None, "1.0": None, "451E6083": None, "NA": None, "": None, "１": None, "-0": None,
    "1_000": None, 1: 1, 2**63: None,
}  # fmt: skip


@pytest.mark.parametrize("key", AS_INTEGER)
def test_exact_id__of_integers(key):
    assert exact_id(key, pa.int64()) == AS_INTEGER[key]
    assert exact_ids([key], pa.int64()).to_pylist() == [AS_INTEGER[key]]


@pytest.mark.parametrize(
    ("key", "expected"),
    [(1.0, 1), (1.5, None), (float("nan"), None), (float("inf"), None), (2.0**60, None), (None, None),
     ((1,), None), ([1], None), (np.int32(4), 4), (np.float32(4), 4), (np.uint64(2**63), None)],
)  # fmt: skip
def test_exact_id__of_other_types(key, expected):
    assert exact_id(key, pa.int64()) == expected
    assert exact_id(key, pa.string()) == (str(expected) if expected is not None else (
        str(2**63) if isinstance(key, np.uint64) else None))  # fmt: skip


@pytest.mark.parametrize("key", [True, np.True_, False])
def test_exact_id__is_no_truth(key):
    assert exact_id(key, pa.int64()) is None
    assert exact_id(key, pa.string()) is None


@pytest.mark.parametrize("text", [*TEXTS, "007", " 7", "７"])
def test_exact_id__keeps_texts(text):
    assert exact_id(text, pa.string()) == text


@pytest.mark.parametrize(
    "keys",
    [
        [1, "2", None, 2.5, (3,)],
        pa.array([1, 2, None], pa.uint64()),
        pa.array([2**64 - 1, 2], pa.uint64()),
        pa.array([1.0, 2.5, None, float("nan")]),
        pa.chunked_array([["1", "01"], ["x", None]]),
        pa.array(["1", "01", "9999999999999999999"], pa.large_string()),
        pa.array(["1", "01"]).dictionary_encode(),
        pa.array([True, False]),
        pd.Series(["1", "x"], dtype="string"),
        np.array(["1", "7"], object),
        [],
    ],
)
@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_exact_ids__agree_with_exact_id(keys, kind):
    one_by_one = keys.to_pylist() if isinstance(keys, pa.Array | pa.ChunkedArray) else list(keys)
    expected = [exact_id(key, kind) for key in one_by_one]
    found = exact_ids(keys, kind)
    assert found.type == kind
    assert found.to_pylist() == expected


# --- in Python ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [1, "1", " 1", np.int64(1), 1.0])
def test_fold_in__of_an_id_as_text_rates_that_item(numbered, key):
    assert rated(numbered, numbered.fold_in({key: 5})) == [1]
    assert rated(numbered, numbered.fold_in([(key, 5)])) == [1]


def test_fold_in__of_json_is_what_predict_means(numbered):
    ratings = json.loads(json.dumps({1: 5.0, 300: 2.0}))
    assert rated(numbered, numbered.fold_in(ratings)) == [1, 300]
    assert numbered.predict([1], ["1"]).rating == numbered.predict([1], [1]).rating


@pytest.mark.parametrize("key", ["3", "301", "1995", "0001", "+1", "1.5", "2006", "12", True])
def test_a_bare_number__is_an_id_or_unknown(numbered, key):
    with pytest.raises(DataError, match=f"item: the model does not know item {key!r}".replace("+", r"\+")):
        numbered.fold_in({key: 5})


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, key: m.scores(1, [key]),
        lambda m, key: [m.explain(1, key).rating],
        lambda m, key: m.similar_items(key, 3)["item"].to_numpy(),
        lambda m, key: m.popular(filters=Filters(allow=(key,)))["item"].to_numpy(),
        lambda m, key: m.popular(filters=Filters(deny=(key,)))["item"].to_numpy(),
        lambda m, key: m.predict_profile(m.fold_in({7: 3}), [key]),
    ],
)
def test_every_place__reads_a_text_as_the_id_it_is(numbered, ask):
    assert np.array_equal(ask(numbered, "1"), ask(numbered, 1))
    assert np.array_equal(ask(numbered, "300"), ask(numbered, 300))
    with pytest.raises(DataError, match="does not know item '3'"):
        ask(numbered, "3")


def test_fold_in_item__reads_user_ids(numbered, texts):
    by_text = numbered.fold_in_item(ratings={"1": 5, "7": 1})
    assert np.array_equal(by_text.row, numbered.fold_in_item(ratings={1: 5, 7: 1}).row)
    with pytest.raises(DataError, match="does not know user '0007'"):
        numbered.fold_in_item(ratings={"0007": 5})
    assert [int(row) for row in texts.fold_in_item(ratings={"0007": 5, "7": 1}).rated] == [0, 4]
    assert [int(row) for row in texts.fold_in_item(ratings={7: 1}).rated] == [4]


def test_users__are_read_by_the_models_ids(numbered):
    assert numbered.similar_users("1", 2).equals(numbered.similar_users(1, 2))
    assert numbered.recommend("7", 1, include_seen=True).equals(numbered.recommend(7, 1, include_seen=True))
    with pytest.raises(DataError, match="does not know user '01'"):
        numbered.recommend("01")


def test_text_ids__stay_texts(texts):
    for row, key in enumerate(TEXTS):
        assert texts.find_item(key) == row
    assert rated(texts, texts.fold_in({"0007": 5, "NA": 3})) == ["0007", "NA"]
    for key in ("7", 7, "104257", "inf"):
        with pytest.raises(DataError, match=r"does not know item|no title is like"):
            texts.find_item(key)


def test_titles__are_found_where_the_text_is_no_id(numbered, texts):
    assert numbered.find_item("toy story") == texts.find_item("toy story") == 0
    assert numbered.find_item("300 (2006)") == 2
    assert numbered.titles.resolve("300").row == 2


# --- frames and files --------------------------------------------------------------------------------------


def test_a_column_of_titles__holds_titles(numbered, tmp_path):
    (tmp_path / "mine.csv").write_text("title,rating\n300,4\nToy Story (1995),5\n")
    assert rated(numbered, numbered.fold_in(read_profile_file(tmp_path / "mine.csv"))) == [1, 7]
    assert rated(numbered, numbered.fold_in(pd.DataFrame({"title": ["300"], "rating": [4]}))) == [7]
    assert rated(numbered, numbered.fold_in(pd.DataFrame({"title": [300], "rating": [4]}))) == [7]


@pytest.mark.parametrize("column", ["movieId", "ITEM_ID", "isbn", "asin", "Book-ID", "gameid", "artistID"])
def test_a_column_of_ids__holds_ids(texts, column):
    profile = texts.fold_in(pd.DataFrame({column: ["0007", "NA"], "Rating": [4, 2]}))
    assert rated(texts, profile) == ["0007", "NA"]
    with pytest.raises(DataError, match="does not know item 'Toy Story"):
        texts.fold_in(pd.DataFrame({column: ["Toy Story (1995)"], "rating": [4]}))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_persons_file__keeps_text_ids(texts, tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    frame = pd.DataFrame({"item": list(TEXTS)[:4], "rating": [1.0, 2.0, 3.0, 4.0]})
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    profile = texts.fold_in(read_profile_file(path))
    assert rated(texts, profile) == list(TEXTS)[:4]
    assert profile.ratings.tolist() == [1, 2, 3, 4]


def test_the_side_asked_for__chooses_the_column(numbered):
    frame = pd.DataFrame({"userId": [1, 1], "itemId": [7, 300], "rating": [5, 1]})
    assert rated(numbered, numbered.fold_in(frame)) == [7, 300]
    frame = pd.DataFrame({"itemId": [7, 7], "userId": [1000, 2], "rating": [5, 1]})
    assert numbered.fold_in_item(ratings=frame).rated.tolist() == [2, 3]
    with pytest.raises(DataError, match="the columns userId, rating"):
        numbered.fold_in(pd.DataFrame({"userId": [1], "rating": [3]}))


def test_several_people__are_no_person(numbered):
    frame = pd.DataFrame({"USER_ID": [1, 7], "itemId": [7, 300], "rating": [5, 1]})
    with pytest.raises(DataError, match="column 'USER_ID': the ratings of 2 users, 1, 7 and so on; expected"):
        numbered.fold_in(frame)
    with pytest.raises(DataError, match="column 'itemId': the ratings of 2 items"):
        numbered.fold_in_item(ratings=pa.Table.from_pandas(frame))


# --- commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "item"), [("1=5", 1), ("300=5", 7), ("7=5", 7), ("toy story=5", 1), ("2=5", 2)]
)
def test_rate__takes_a_whole_title_then_an_id(numbered, text, item):
    [understood] = parse_typed_ratings(numbered, [text])
    assert numbered.item_ids[understood.row].as_py() == item


def test_rate__keeps_text_ids(texts):
    rows = [one.row for one in parse_typed_ratings(texts, ["0007=5", "NA=2", "451E6083=3"])]
    assert [texts.item_ids[row].as_py() for row in rows] == ["0007", "NA", "451E6083"]
    with pytest.raises(DataError, match="no title is like '7'"):
        parse_typed_ratings(texts, ["7=5"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_users_file__keeps_text_ids(texts, home, tmp_path, suffix):
    frame = pd.DataFrame({"USER_ID": list(USERS[:4])})
    path = tmp_path / f"users.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    run_many = run(recommend, home / "texts-model", "--users", path, "--out", tmp_path / "out", "-n", 1,
                   "--include-seen", "--dashboard-address", "none")  # fmt: skip
    assert run_many.exit_code == 0, run_many.output
    assert pq.read_table(tmp_path / "out")["user"].to_pylist() == list(USERS[:4])


def test_unknown_users__do_not_end_a_batch(numbered, home, tmp_path):
    (tmp_path / "users.csv").write_text("user\n7\n0007\nx\n1\n")
    made = run(recommend, home / "numbered-model", "--users", tmp_path / "users.csv", "--out", tmp_path / "o",
               "-n", 1, "--include-seen", "--dashboard-address", "none")  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "2 users are not in the model: 0007, x; the others are listed" in made.output
    assert pq.read_table(tmp_path / "o")["user"].to_pylist() == [1, 7]


def test_deny_and_allow__keep_text_ids(texts, home, tmp_path):
    out = tmp_path / "list.json"
    made = run(recommend, home / "texts-model", "--rate", "1e5=5", "--deny", "0007", "--deny", "NA", "--deny",
               "451E6083", "--deny", "0104257", "--json", out, "-n", 1)  # fmt: skip
    assert made.exit_code == 0, made.output
    assert [one["item"] for one in json.loads(out.read_text())["recommendations"]] == ["a_b~c"]
    run(recommend, home / "texts-model", "--rate", "1e5=5", "--allow", "0007", "--json", out, "-n", 1)
    assert [one["item"] for one in json.loads(out.read_text())["recommendations"]] == ["0007"]
    assert "does not know" in run(recommend, home / "numbered-model", "--rate", "1=5", "--deny", "3").output


def test_similar_item__is_an_id(texts, numbered, home):
    assert "most like Toy Story" in run(similar, home / "texts-model", "--item", "0007").output
    assert "most like Toy Story" in run(similar, home / "numbered-model", "--item", "1").output
    assert "does not know item '3'" in run(similar, home / "numbered-model", "--item", "3").output


def test_predictions__keep_text_ids(texts, tmp_path):
    (tmp_path / "pairs.csv").write_text("userId,movieId\n0007,0104257\nNA,451E6083\n7,7\n")
    table = read_pairs(texts, tmp_path / "pairs.csv", ReadConfig())
    assert table.to_pydict() == {"userId": ["0007", "NA", "7"], "movieId": ["0104257", "451E6083", "7"]}


def test_predictions__do_not_fail_for_one(numbered, tmp_path):
    (tmp_path / "pairs.csv").write_text("userId,movieId\n1,1\n0007,1\n7,x\n7,300\n")
    counted = predict_file(
        numbered,
        tmp_path / "pairs.csv",
        tmp_path / "out.parquet",
        ReadConfig(),
        clip=False,
        existing="refuse",
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert counted == (2, 4)
    assert table["known_user"].to_pylist() == [True, False, True, True]
    assert table["known_item"].to_pylist() == [True, True, False, True]
    assert table["userId"].to_pylist() == ["1", "0007", "7", "7"]
    expected = numbered.predict([1, 7], [1, 300]).rating
    assert table["prediction"].to_numpy()[[0, 3]].tolist() == expected.tolist()


def test_predict__does_not_fail_for_one(numbered):
    found = numbered.predict([1, "x", None, 7, 2.5, 2**70], ["1", 1, 1, "0007", 1, 1])
    assert found.known_user.tolist() == [True, False, False, True, False, False]
    assert found.known_item.tolist() == [True, True, True, False, True, True]
    assert np.isfinite(found.rating).all()


def test_predictions_command__reads_usual_names(numbered, home, tmp_path):
    (tmp_path / "pairs.csv").write_text("USERID,isbn\n1,1\n")
    assert run(predict, home / "numbered-model", tmp_path / "pairs.csv", "--out",
               tmp_path / "out.parquet").exit_code == 0  # fmt: skip


def test_export_block__keeps_ids(texts, numbered, home, tmp_path):
    run(export, home / "texts-model", "--out", tmp_path / "a", "--block-users", "0007,NA", "--block-items",
        "451E6083")  # fmt: skip
    assert "found 0007" in run(export, home / "numbered-model", "--out", tmp_path / "b", "--block-users",
                               "0007,1", "--block-items", "1").output  # fmt: skip
    assert (tmp_path / "a").is_dir()


def test_the_apps_address__keeps_text_ids(texts, numbered):
    ratings = {"a_b~c": 4.0, "0007": 2.0, "NA": 1.0}
    assert read_ratings(write_ratings(ratings), texts) == (ratings, [])
    assert read_ratings("1~4_0007~2_3~1_007~1", numbered).ratings == {1: 4.0}
    assert write_ratings({1: 4.0, 300: 2.5}) == "1~4_300~2.5"


def test_forgotten_users__are_named_exactly(home, tmp_path):
    write_folder(tmp_path / "data", NUMBERED, (1, 7, 1000, 2))
    ingest(tmp_path / "data", tmp_path / "store")
    (tmp_path / "list.txt").write_text("7\n\n0001\n")
    with pytest.raises(DataError, match=r"list.txt: cannot be read as user ids \(line 3, '0001', is no"):
        forget_listed(tmp_path / "store", tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text(" 7 \n")
    assert forget_listed(tmp_path / "store", tmp_path / "list.txt").n_users == 3
