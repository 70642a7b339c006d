"""Searches: grids, edges, refinement, Optuna, records that continue, and what they may not look at."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import TrainConfig, read_config_file
from daskals.errors import ConfigError, DataError
from daskals.evaluation.ranking import make_task, score_lists
from daskals.evaluation.scorers import Scorer
from daskals.experiments.metric import RMSE, Metric, parse_metric
from daskals.experiments.papers import experiments, run_experiment
from daskals.experiments.search_space import NAGI, SALAKO, Axis, Grid, config_of, parse_axes, parse_grid
from daskals.experiments.tuning import Search, best_config, best_of
from daskals.fitting.fit import fit, split_spec
from daskals.ingest import resolve_store
from daskals.store.splits import ensure_split
from daskals.types import VALIDATION
from jobs import reproduce, tune

pytestmark = pytest.mark.usefixtures("no_baseline")

BASE = {
    "rank": 3,
    "epochs": 4,
    "patience": 2,
    "lambda": 0.05,
    "test_fraction": 0.2,
    "validation_fraction": 0.2,
}


@pytest.fixture(scope="module")
def store(planted_folder):
    return resolve_store(str(planted_folder))


def search(cluster, store, folder, metric=RMSE, **values) -> Search:
    return Search(cluster, store, TrainConfig.parse({**BASE, **values}), folder, metric=metric)


def test_the_papers_grids():
    assert len(NAGI.points()) == 27
    points = SALAKO.points()
    assert len(points) == 24
    assert all(point["gamma"] == point["tau"] for point in points)


def test_edges_and_refinement():
    grid = parse_grid(["tau=0.1,0.2,0.4", "rank=0,2,10", "lambda=0.05"])
    assert grid.edges({"tau": 0.4, "rank": 2, "lambda": 0.05}) == ["tau = 0.4 is the highest value tried"]
    assert grid.edges({"tau": 0.2, "rank": 0, "lambda": 0.05}) == ["rank = 0 is the lowest value tried"]
    finer = grid.refined({"tau": 0.2, "rank": 10, "lambda": 0.05}).values
    np.testing.assert_allclose(finer["tau"], [0.15, 0.2, 0.3])
    assert finer["rank"] == (6, 10, 14)
    assert finer["lambda"] == (0.05,)
    np.testing.assert_allclose(
        grid.refined({"tau": 0.1, "rank": 2, "lambda": 0.05}).values["tau"], [0.05, 0.1, 0.15]
    )


def test_search_space_is_read():
    assert parse_axes(["tau=0.01:0.3", "rank=4:32"]) == (Axis("tau", 0.01, 0.3), Axis("rank", 4, 32))
    assert Axis("tau", 0.01, 0.3).is_log
    assert not Axis("tau", 0.1, 0.3).is_log
    assert Axis("rank", 4, 32).is_integer
    for text, message in (
        ("colour=1,2", "found 'colour=1,2'; expected NAME=VALUES, NAME one of rank, lambda"),
        ("tau", "found 'tau'"),
        ("tau=a,b", "found tau=a,b; expected numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_grid([text])
    with pytest.raises(ConfigError, match=r"found tau=0\.3:0\.1; expected LOW:HIGH"):
        parse_axes(["tau=0.3:0.1"])


@pytest.mark.long
def test_trials_are_the_runs_that_training_makes(cluster, client, store, tmp_path):
    found = search(cluster, store, tmp_path).run_grid(Grid({"tau": (0.4,), "rank": (0, 3)}))
    assert [record["point"] for record in found] == Grid({"tau": (0.4,), "rank": (0, 3)}).points()
    for record in found:
        config = config_of(
            TrainConfig.parse({**BASE, "epochs": record["epochs"], "patience": None}), record["point"]
        )
        history = fit(store, config, client).report["history"]
        # blocks are cut for the largest rank, so that sums over them are folded in another grouping
        assert record["validation_rmse"] == pytest.approx(history[-1]["validation_rmse"], rel=1e-4)
        assert record["train_rmse"] == pytest.approx(history[-1]["train_rmse"], rel=1e-4)
        assert 0 <= record["recall_at_10"] <= 1
    best = best_of(found)
    assert best["validation_rmse"] == min(record["validation_rmse"] for record in found)
    assert best_config(TrainConfig.parse(BASE), best)["epochs"] == best["epochs"]


def ndcg_of(store, config, client) -> float:
    """Return NDCG@3 of the validation part, ranked by the rating a model predicts."""
    model = fit(store, config, client)
    task = make_task(store, ensure_split(store, split_spec(config, store)), VALIDATION, k=3)
    scorer = Scorer("rating", model.user_factors, model.item_factors, model.item_biases)
    return float(np.nanmean(score_lists(task, scorer)[0].ndcg))


@pytest.mark.long
def test_trials_and_their_epochs_are_chosen_by_a_metric(cluster, client, store, tmp_path):
    metric = parse_metric("NDCG@3")
    options = {"epochs": 12, "patience": 3}
    found = search(cluster, store, tmp_path, metric, **options).run_grid(Grid({"tau": (0.05, 0.4, 2.0)}))
    by_hand = {}
    for record in found:
        key = "validation_ndcg_at_3"
        assert list(record)[2:4] == ["validation_rmse", key]
        chosen = {**BASE, **options, "tau": record["point"]["tau"], "patience": None}
        epochs = {"epochs": record["epochs"]}
        # users are solved once more at the end of training, which a trial's epochs are not
        by_hand[record["point"]["tau"]] = ndcg_of(store, TrainConfig.parse({**chosen, **epochs}), client)
        assert record[key] == pytest.approx(by_hand[record["point"]["tau"]], abs=0.08)
    best = best_of(found, metric)
    assert best["validation_ndcg_at_3"] == max(record["validation_ndcg_at_3"] for record in found)
    assert {record["epochs"] for record in found} != {12}


def test_patience_waits_for_the_metric(cluster, store, tmp_path, monkeypatch):
    scores = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    judged = search(cluster, store, tmp_path, Metric("recall", 5), epochs=5, patience=2)
    monkeypatch.setattr(judged, "_judge", lambda rank: lambda users, items: next(scores))
    assert judged.run_grid(Grid({"tau": (0.2,)}))[0]["epochs"] == 2
    assert next(scores) == 0.9  # two epochs without a better one ended the trial


@pytest.mark.long
def test_a_search_by_another_metric_is_refused(cluster, store, tmp_path):
    search(cluster, store, tmp_path, Metric("ndcg", 10)).run_grid(Grid({"tau": (0.1,)}))
    assert json.loads((tmp_path / "trials.json").read_text())["identity"]["metric"] == "ndcg@10"
    with pytest.raises(ConfigError, match=r"trials\.json: holds trials with other metric"):
        search(cluster, store, tmp_path)
    # what was searched before there was a choice was searched by RMSE
    (tmp_path / "old").mkdir()
    search(cluster, store, tmp_path / "old").run_grid(Grid({"tau": (0.1,)}))
    journal = json.loads((tmp_path / "old" / "trials.json").read_text())
    del journal["identity"]["metric"]
    (tmp_path / "old" / "trials.json").write_text(json.dumps(journal))
    again = search(cluster, store, tmp_path / "old")
    again.on_trial = lambda record: pytest.fail("the trial is known")
    again.run_grid(Grid({"tau": (0.1,)}))
    with pytest.raises(ConfigError, match="other metric"):
        search(cluster, store, tmp_path / "old", Metric("recall", 10))


@pytest.mark.parametrize("text", ["ndcg", "ndcg@0", "map@10", "recall@", "recall@x", ""])
def test_metrics_that_are_none(text):
    with pytest.raises(ConfigError, match=f"metric: found '{text}'; expected rmse, ndcg@K or recall@K"):
        parse_metric(text)


@pytest.mark.long
def test_search_continues_and_refuses_other_ratings(cluster, store, tmp_path, planted_folder):
    grid = Grid({"tau": (0.1, 0.2, 0.4)})
    ran: list[float] = []
    first = search(cluster, store, tmp_path)
    first.on_trial = lambda record: ran.append(record["point"]["tau"])
    before = first.run_grid(Grid({"tau": (0.1, 0.2)}))
    again = search(cluster, store, tmp_path)
    again.on_trial = lambda record: ran.append(record["point"]["tau"])
    found = again.run_grid(grid)
    assert ran == [0.1, 0.2, 0.4]
    assert found[:2] == before
    with pytest.raises(
        ConfigError, match=r"trials\.json: holds trials with other options; expected a folder"
    ):
        search(cluster, store, tmp_path, gamma=0.3)
    other = pd.DataFrame({"user": [1, 1, 1, 2, 2, 2] * 4, "item": range(24), "rating": 4.0})
    from daskals.config import ReadConfig
    from daskals.ingest import open_ratings

    with (
        open_ratings(other, ReadConfig()) as strange,
        pytest.raises(ConfigError, match="other ratings and split"),
    ):
        search(cluster, strange, tmp_path, split="per-user", test_fraction=0.3, validation_fraction=0.4)
    (tmp_path / "trials.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as trials"):
        search(cluster, store, tmp_path)


@pytest.mark.long
def test_optuna_is_repeatable_and_continues(cluster, store, tmp_path):
    axes = (Axis("tau", 0.05, 1.0), Axis("rank", 2, 3))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    found = search(cluster, store, tmp_path / "one").run_optuna(axes, 4, seed=3)
    ran = []
    half = search(cluster, store, tmp_path / "two")
    half.run_optuna(axes, 2, seed=3)
    rest = search(cluster, store, tmp_path / "two")
    rest.on_trial = ran.append
    again = rest.run_optuna(axes, 4, seed=3)
    assert [record["point"] for record in again] == [record["point"] for record in found]
    assert len(ran) == 2


def test_points_that_cannot_be_solved_do_not_end_the_search(cluster, store, tmp_path):
    found = search(cluster, store, tmp_path, model="als", gamma=0.0).run_grid(Grid({"tau": (0.0, 0.3)}))
    assert found[0]["validation_rmse"] is None
    assert "not positive definite" in found[0]["failed"]
    assert best_of(found) is found[1]
    with pytest.raises(ConfigError, match="every trial failed, the first one because"):
        best_of(found[:1])


def test_no_validation_part(cluster, store, tmp_path):
    config = TrainConfig.parse({"test_fraction": 0.2, "rank": 3})
    with pytest.raises(DataError, match="no validation ratings to choose by; expected a validation part"):
        Search(cluster, store, config, tmp_path).run_grid(Grid({"tau": (0.1,)}))


@pytest.mark.long
def test_command_leaves_tables_figures_and_a_config(planted_folder, tmp_path):
    out = tmp_path / "search"
    arguments = ["--data", str(planted_folder), "--out", str(out), "--dashboard-address", "none"]
    arguments += ["--rank", "3", "--epochs", "3", "--validation-fraction", "0.2", "--test-fraction", "0.2"]
    arguments += ["--grid", "tau=0.1,0.4", "--grid", "lambda=0.05,0.1", "--refine", "--plots"]
    result = CliRunner().invoke(tune.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "on the grid's edge: tau" in result.output
    assert f"daskals train --data {planted_folder} --config {out / 'best.json'}" in result.output
    table = pd.read_parquet(out / "trials.parquet")
    assert list(table.columns[:2]) == ["tau", "lambda"]
    assert len(table) == len(pd.read_csv(out / "trials.csv")) > 4
    assert (out / "grid.svg").is_file()
    best = TrainConfig.parse(read_config_file(out / "best.json"))
    assert best.validation_fraction == 0
    assert best.epochs <= 3
    lowest = table.sort_values("validation_rmse").iloc[0]
    assert best.tau == lowest["tau"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "bayes"], "a Gibbs sampler learns its own ridges"),
        (["--metric", "mrr@10"], "--metric: found 'mrr@10'; expected rmse, ndcg@K or recall@K"),
        (["--preset", "nagi", "--grid", "tau=1,2"], "found --preset and --grid; expected one of them"),
    ],
)
def test_command_refuses(arguments, text, tmp_path):
    result = CliRunner().invoke(tune.main, [*arguments, "--out", str(tmp_path / "no")])
    assert result.exit_code == 1
    assert text in result.output
    assert not (tmp_path / "no").exists()


@pytest.mark.long
def test_sweep_draws_the_rank_curve(planted_folder, tmp_path):
    arguments = [
        "--data",
        str(planted_folder),
        "--out",
        str(tmp_path),
        "--dashboard-address",
        "none",
        "--quiet",
    ]
    arguments += ["--epochs", "2", "--validation-fraction", "0.2", "--sweep", "rank=0,2,3", "--plots"]
    result = CliRunner().invoke(tune.main, [*arguments, "--metric", "recall@20"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(tmp_path / "trials.parquet")
    highest = table["validation_recall_at_20"].max()
    assert f": validation recall@20 {highest:.4f}, validation RMSE" in result.output
    assert (tmp_path / "rank.svg").is_file()


@pytest.mark.long
def test_papers_are_reproduced_by_command(planted_folder, tmp_path):
    out = tmp_path / "figures.json"
    arguments = ["salako", "--data", str(planted_folder), "--only", "k = 2, λ = 0.1", "--json", str(out)]
    result = CliRunner().invoke(
        reproduce.main, [*arguments, "--dashboard-address", "none"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    runs = json.loads(out.read_text())["runs"]
    assert len(runs) == 3
    assert runs[0]["options"]["gamma"] == runs[0]["options"]["tau"] == 0.05
    assert "published 0.8157 (Table 2)" in result.output
    refused = CliRunner().invoke(reproduce.main, ["nagi", "--data", str(planted_folder), "--only", "nothing"])
    assert refused.exit_code == 1
    assert "no run is called 'nothing'; expected part of one of: plain, hierarchical, K = 0" in refused.output


@pytest.mark.slow
def test_paper_1_on_latest_small(cluster, latest_small):
    store = resolve_store(latest_small)
    plain, ours = experiments("nagi", store.n_ratings)
    measured = run_experiment(store, cluster, plain)["measured"]["test_rmse"]
    assert round(measured, 3) == 0.858
    assert run_experiment(store, cluster, ours)["measured"]["test_rmse"] < 0.836
