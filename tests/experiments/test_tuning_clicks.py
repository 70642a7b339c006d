"""A search for implicit feedback: by the order of what was held out, since no rating is predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import TrainConfig, read_config_file
from daskals.errors import ConfigError
from daskals.evaluation.ranking import make_task, score_lists
from daskals.evaluation.scorers import Scorer
from daskals.experiments.tuning import Search
from daskals.fitting.fit import fit, split_spec
from daskals.ingest import resolve_store
from daskals.store.splits import ensure_split
from daskals.types import VALIDATION
from jobs import tune
from tests.cases.planted_clicks import planted_clicks

OPTIONS = ["--model", "ials", "--columns", "user=userId,item=movieId", "--rank", "8", "--epochs", "8"]


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
    # trained by hand on what the trial trained on, the figure is near, though users are solved once more
    again = chosen.model_copy(update={"validation_fraction": 0.1})
    store = resolve_store(str(folder), chosen)
    model = fit(store, again, client)
    task = make_task(store, ensure_split(store, split_spec(again, store)), VALIDATION, k=10, relevant=1.0)
    scorer = Scorer("rating", model.user_factors, model.item_factors, model.item_biases)
    found = float(np.nanmean(score_lists(task, scorer)[0].ndcg))
    assert best["validation_ndcg_at_10"] == pytest.approx(found, rel=0.5)


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
