"""A search for implicit feedback: by the order of what was held out, since no rating is predicted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import TrainConfig, read_config_file
from daskals.errors import ConfigError
from daskals.experiments.tuning import Search
from daskals.fitting.fit import fit, split_spec
from daskals.ingest import resolve_store
from daskals.kernels.toolkit.layout import unpack_rows
from daskals.store.splits import ensure_split
from daskals.training.features import resolve_model
from daskals.training.trial import SharedData, run_trial
from jobs import tune
from tests.cases.planted_clicks import planted_clicks

pytestmark = pytest.mark.usefixtures("no_baseline")

CLICKS = {"model": "ials", "columns": "user=userId,item=movieId", "rank": 3, "validation_fraction": 0.1}
OPTIONS = ["--model", "ials", "--columns", "user=userId,item=movieId", "--rank", "3", "--epochs", "8"]


@pytest.mark.long
def test_clicks_are_searched_by_their_order(client, tmp_path):
    folder = planted_clicks().write(tmp_path)
    out = tmp_path / "search"
    places = ["--data", str(folder), "--out", str(out), "--dashboard-address", "none", "--patience", "1"]
    grid = ["--grid", "tau=0.05,5", "--grid", "unobserved_weight=0.3", "--item-features", "genres"]
    result = CliRunner().invoke(tune.main, [*places, *OPTIONS, *grid], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(out / "trials.parquet").sort_values("validation_ndcg_at_10")
    assert len(table) == 2
    assert table["validation_rmse"].isna().all()
    best = table.iloc[-1]
    told = f"validation NDCG@10 {best['validation_ndcg_at_10']:.4f} after {best['epochs']} epochs"
    assert f"best: tau {best['tau']:.4g}  unobserved_weight 0.3: {told}" in result.output
    chosen = TrainConfig.parse(read_config_file(out / "best.json"))
    assert (chosen.model, chosen.item_features, chosen.tau) == ("ials", ("genres",), best["tau"])
    assert chosen.epochs == best["epochs"]


@pytest.mark.long
def test_a_trial_is_the_training_that_it_stands_for(cluster, client, tmp_path):
    store = resolve_store(str(planted_clicks(60, 80, 4).write(tmp_path)), TrainConfig.parse(CLICKS))
    config = resolve_model(store, TrainConfig.parse({**CLICKS, "item_features": "genres", "epochs": 3}))
    data = SharedData(cluster, store, ensure_split(store, split_spec(config, store)), [config])
    later_is_better = itertools.count()
    result = run_trial(cluster, data, config, lambda users, items: float(next(later_is_better)))
    assert result.epoch == 3
    found, _ = unpack_rows(result.item_rows, config.rank)
    # users are solved once more at the end of a training
    np.testing.assert_allclose(found, fit(store, config, client).item_factors, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--metric", "rmse"], "--metric: found rmse with --model ials, which predicts no rating"),
        (["--plots"], "found --plots with --model ials"),
    ],
)
def test_what_needs_a_predicted_rating_is_refused(arguments, text, tmp_path):
    folder = planted_clicks(30, 40, 3).write(tmp_path)
    places = ["--data", str(folder), "--out", str(tmp_path / "no"), "--dashboard-address", "none"]
    result = CliRunner().invoke(tune.main, [*places, *OPTIONS, *arguments])
    assert result.exit_code == 1
    assert text in result.output


def test_a_search_by_errors_is_refused():
    with pytest.raises(ConfigError, match=r'metric: found rmse with model="ials".*expected ndcg@K'):
        Search(None, None, TrainConfig.parse({"model": "ials"}), None)
