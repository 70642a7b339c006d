"""The training report: its numbers are the run's, its parts are there or said to be missing."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import numpy as np
import pytest

from daskals.analysis.search import grid_facets, rank_curve, read_trials
from daskals.analysis.training import accuracy_by_bucket, read_speeds
from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from jobs import report
from tests.cases.insight_cases import bare_table, check_page, stored, trials


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(report.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    store = stored(bare_table(), folder.parent / "store")
    config = TrainConfig(rank=3, epochs=3, lambda_=0.1, model="als", test_fraction=0.3, monitor_test=True)
    model = fit(store, config)
    model.save(folder / "model")
    (folder / "report.json").write_text(json.dumps(model.report))
    return folder


def test_every_part_is_drawn(trained: Path, tmp_path: Path) -> None:
    trials().to_parquet(tmp_path / "trials.parquet")
    speeds = {
        "results": [
            {"name": "slow", "seconds": 8.0},
            {"name": "fast", "seconds": 0.5},
            {"name": "absent", "seconds": None},
        ]
    }
    (tmp_path / "bench.json").write_text(json.dumps(speeds))
    result = run(
        trained,
        "--out",
        tmp_path / "out",
        "--search",
        tmp_path / "trials.parquet",
        "--bench",
        tmp_path / "bench.json",
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "out" / "training.json").read_text())
    own = json.loads((trained / "report.json").read_text())
    assert numbers["history"]["objective"] == [record["objective"] for record in own["history"]]
    assert numbers["history"]["test_rmse"] == [record["test_rmse"] for record in own["history"]]
    assert numbers["summary"]["test_rmse"] == own["test_rmse"]
    assert numbers["speed"]["systems"][1] == {
        "name": "fast",
        "seconds": 0.5,
        "status": None,
        "times_the_slowest": 16.0,
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img ") == 6
    assert "Not shown" not in page
    check_page(page)


def test_buckets_add_up_to_the_reported_error(trained: Path) -> None:
    from daskals.model.fitted import Model

    model = Model.load(trained)
    for rows in accuracy_by_bucket(model).values():
        n = sum(one["n"] for one in rows)
        squared = sum(one["n"] * one["rmse"] ** 2 for one in rows if one["n"])
        absolute = sum(one["n"] * one["mae"] for one in rows if one["n"])
        assert n == model.report["n_test"]
        assert np.sqrt(squared / n) == pytest.approx(model.report["test_rmse"], rel=1e-6)
        assert absolute / n == pytest.approx(model.report["test_mae"], rel=1e-6)


@pytest.mark.long
def test_what_is_missing_is_said(trained: Path, tmp_path: Path) -> None:
    store = stored(bare_table(seed=1), tmp_path / "store")
    model = fit(store, TrainConfig(rank=3, epochs=3, lambda_=0.1, model="als", split="none"))
    model.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "report.json").write_text(json.dumps(model.report))
    assert run(tmp_path / "run").exit_code == 0
    page = (tmp_path / "run" / "training" / "report.html").read_text()
    assert "Not shown: the run held out no test ratings." in page
    assert page.count("Not shown: no search was named with --search.") == 2
    assert "Not shown: no measurement was named with --bench." in page
    model.report["data"].update(store=str(tmp_path / "gone"), n_test=1)
    assert "cannot be opened" in accuracy_by_bucket(model)["missing"]


def test_the_grid_is_cut_at_the_best_trial() -> None:
    grid = grid_facets(trials())
    assert (grid["across"], grid["up"], grid["facet"], grid["fixed"]) == (
        "tau",
        "gamma",
        "lambda",
        {"rank": 10.0},
    )
    assert [one["value"] for one in grid["facets"]] == [0.002, 0.004]
    assert grid["facets"][0]["rmse"][0][1] == grid["best"]["validation_rmse"] == pytest.approx(0.912)
    assert rank_curve(trials())["rank"] == [2, 10]
    one = trials().query("rank == 2 and gamma == 0.01 and tau == 0.1")
    assert "one K only" in rank_curve(one)["missing"]
    assert "fewer than two" in grid_facets(one)["missing"]
    holes = grid_facets(trials().query("rank == 2 and `lambda` == 0.002").iloc[1:])
    assert holes["facet"] is None
    assert holes["facets"][0]["rmse"][0][0] is None


def test_bad_input_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table of trials"):
        read_trials(tmp_path / "none.parquet")
    trials().drop(columns="validation_rmse").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="the column validation_rmse is missing; columns found: rank, lambda"):
        read_trials(tmp_path / "t.csv")
    trials().assign(validation_rmse=np.nan).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="no trial has a validation RMSE"):
        read_trials(tmp_path / "t.csv")
    for text, found in (("{}", "cannot be read as a measurement"), ('{"results": []}', "holds no results")):
        (tmp_path / "bench.json").write_text(text)
        with pytest.raises(DataError, match=found):
            read_speeds(tmp_path / "bench.json")
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "error: " in result.output
