"""Nights of clicks: taken in, trained from the champion, judged by their lists, and by nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.errors import ConfigError, DataError
from daskals.ratings.split import SplitSpec
from daskals.registry.open_model import open_model
from daskals.retrain.config import RetrainConfig
from daskals.retrain.initial_state import Target, fold_in_rows, starting_rows
from daskals.retrain.new_ratings import incoming_files, read_incoming
from daskals.retrain.night import NightFolder
from daskals.retrain.report import tables
from daskals.retrain.run import run_night
from daskals.store.append import append
from daskals.store.splits import ensure_split
from daskals.store.versions import open_latest
from daskals.store.writer import write_store

DAY = 86_400
FIRST = 1_714_521_600  # 2024-05-01


def clicks_of_day(day: int) -> pd.DataFrame:
    """Return clicks of people of two tastes, who come back, the later days with a few new ones."""
    rng = np.random.default_rng(day)
    n_users = 40 + 4 * day
    users = np.repeat(np.arange(n_users), 6)
    items = 2 * rng.integers(0, 12, len(users)) + users % 2
    times = FIRST + (day - 1) * DAY + rng.integers(0, DAY, len(users))
    return pd.DataFrame({"who": [f"u{user}" for user in users], "what": items, "when": times})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home after two nights of JSON lines."""
    root = tmp_path_factory.mktemp("clicks")
    (root / "incoming").mkdir()
    for day in (1, 2):
        clicks_of_day(day).to_json(root / "incoming" / f"{day}.jsonl", orient="records", lines=True)
        outcome, _ = run_night(config_of(root, day))
        assert outcome.code == 0, outcome.summary
    return root


def config_of(root: Path, day: int, **more: object) -> RetrainConfig:
    values = {
        "model": "ials", "columns": "user=who,item=what,timestamp=when", "rank": 3, "epochs": 4,
        "warm_epochs": 2, "as_of": f"2024-05-0{day}", "data": root / "incoming", "home": root / "home",
        "recommend": "all", "dashboard_address": "none",
    }  # fmt: skip
    return RetrainConfig.parse({**values, **more})


def test_a_night_of_clicks_is_judged_by_its_lists(home):
    outcome = NightFolder.of(home / "home", "2024-05-02").outcome()
    assert outcome.summary.startswith("promoted ")
    figures = outcome.figures
    assert figures["challenger"]["rmse"] is figures["champion"]["rmse"] is None
    assert figures["challenger"]["ndcg"] > 0
    assert figures["lists_by"] == "affinity"
    names = {check.name for check in outcome.checks}
    assert {"share of new items", "gain of NDCG over the champion"} <= names
    assert not [name for name in names if "RMSE" in name or "drift" in name or "scale" in name]
    told = [row[0] for table in tables(outcome) for row in table.rows]
    assert not [name for name in told if "RMSE" in name]
    lists = pq.read_table(NightFolder.of(home / "home", "2024-05-02").path / "recommendations")
    assert lists.column_names == ["user", "rank", "item", "score"]


def test_new_people_begin_where_fold_in_puts_them(home):
    store = open_latest(home / "home" / "store")
    with open_model(str(home / "home" / "registry")) as found:
        model = found.model
        split = ensure_split(store, SplitSpec(method="none"))
        target = Target(store, split, config_of(home, 2).training(2))
        starting = starting_rows(model, target)
        fold_in_rows(starting, target, "user", np.ones(store.n_users, np.bool_))
        row = store.user_ids.to_pylist().index("u45")
        own = target.load("user", row, row + 1)
        clicked = [model.item_ids[int(item)].as_py() for item in own.indices]
        person = model.fold_in(dict(zip(clicked, own.ratings.tolist(), strict=True)))
    np.testing.assert_allclose(starting.rows["user"][row, : model.rank], person.factors, rtol=2e-4, atol=1e-6)


def test_files_that_are_not_read_are_told(tmp_path, caplog):
    for name in ("1.jsonl", "2.ndjson", "3.json.gz", "4.csv", "part-00000", "notes.md", "x.xlsx"):
        (tmp_path / name).write_text("a")
    with caplog.at_level(logging.WARNING):
        found = [file.name for file in incoming_files(tmp_path)]
    assert found == ["1.jsonl", "2.ndjson", "3.json.gz", "4.csv", "part-00000"]
    assert "not read, by their names no ratings: notes.md, x.xlsx" in caplog.text


def test_an_error_of_clicks_cannot_be_limited(tmp_path):
    with pytest.raises(ConfigError, match="max_rmse: ials predicts no rating"):
        config_of(tmp_path, 1, max_rmse=1.0)


def test_counts_of_nights_add_up_where_that_is_asked_for(tmp_path):
    (tmp_path / "incoming").mkdir()
    for day in (1, 2):
        clicks_of_day(day).to_json(tmp_path / "incoming" / f"{day}.jsonl", orient="records", lines=True)
    with pytest.raises(DataError, match=r"rows are later than 2024-05-01, the first in .*2\.jsonl"):
        read_incoming(config_of(tmp_path, 1, duplicates="sum"), None)
    config = config_of(tmp_path, 2, duplicates="sum")
    both = read_incoming(config, None)
    (tmp_path / "incoming" / "2.jsonl").rename(tmp_path / "2.jsonl")
    first = read_incoming(config, None)
    store = write_store(first.table, tmp_path / "store")
    (tmp_path / "2.jsonl").rename(tmp_path / "incoming" / "2.jsonl")
    second = read_incoming(config, store)
    assert second.n_new == second.table.n_ratings
    whole = append(tmp_path / "store", second.table, duplicates="sum")
    values = whole.read_column("user", "values", 0, whole.n_ratings)
    assert whole.scale[values].sum() == both.table.values.sum() == both.table.n_input


def test_the_order_of_a_nights_lists_may_be_by_rating(tmp_path):
    assert config_of(tmp_path, 1).training(3).order == "affinity"
    assert config_of(tmp_path, 1, order="rating").training(3).order == "rating"


def test_a_file_of_other_things_in_the_folder__is_told_where_it_belongs(tmp_path):
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    clicks_of_day(1).to_csv(incoming / "clicks.csv", index=False)
    (incoming / "items.csv").write_text("what,name\n1,A\n")
    with pytest.raises(DataError, match=r"items\.csv: .* Where it holds no ratings, take it out of the "):
        read_incoming(config_of(tmp_path, 1), None)
    (incoming / "clicks.csv").unlink()
    with pytest.raises(DataError) as alone:
        read_incoming(config_of(tmp_path, 1), None)
    assert "out of the folder" not in str(alone.value)
