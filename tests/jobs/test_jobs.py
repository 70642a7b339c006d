"""The commands as a person runs them: output, files, exit codes, and one message for each bad input."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import daskals.store.notes as notes
from daskals.model.fitted import Model
from daskals.store.checkpoint_files import write_state
from daskals.training.run import RunFolder
from jobs import evaluate, ingest, predict, train
from tests.cases.commands import run
from tests.cases.twin import Twin
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_baseline")

SMALL = ["--rank", "2", "--epochs", "3", "--lambda", "0.1", "--dashboard-address", "none"]
PAPER = [
    "--workers",
    "1",
    "--split",
    "random",
    "--test-fraction",
    "0.2",
    "--seed",
    "42",
    "--model",
    "als",
    "--rank",
    "20",
    "--lambda",
    "0.002",
    "--gamma",
    "0.015",
    "--tau",
    "0.05",
    "--epochs",
    "30",
    "--dashboard-address",
    "none",
]


@pytest.fixture(scope="module")
def paper_run(latest_small: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    result = run(train, "--data", latest_small, *PAPER, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_reproduces_the_published_figure(paper_run: Path) -> None:
    report = json.loads((paper_run / "report.json").read_text())
    data = report["data"]
    assert (data["n_users"], data["n_rated_items"], data["n_items"]) == (610, 9724, 9742)
    assert (data["n_train"], data["n_test"]) == (80_651, 20_185)
    assert report["test_rmse"] == pytest.approx(0.8580, abs=2e-4)


@pytest.mark.slow
def test_objective_equals_the_twin_on_real_ratings(paper_run: Path, latest_small: Path) -> None:
    report = json.loads((paper_run / "report.json").read_text())
    frame = pd.read_csv(latest_small / "ratings.csv")
    frame = frame[np.random.RandomState(42).rand(len(frame)) >= 0.2]
    users, items = pd.factorize(frame["userId"])[0], pd.factorize(frame["movieId"])[0]
    rng = np.random.default_rng(1)  # other initial factors: the minimum is what is compared
    twin = Twin(
        users,
        items,
        frame["rating"].to_numpy(),
        rng.normal(0, 0.1, (users.max() + 1, 20)),
        rng.normal(0, 0.1, (items.max() + 1, 20)),
        0.002,
        0.015,
        0.05,
        frame["rating"].mean(),
    )
    twin.train(12)
    assert report["history"][11]["objective"] == pytest.approx(twin.objective(), rel=1e-3)


@pytest.mark.long
def test_coordinate_solver_reaches_the_same_objective(
    paper_run: Path, latest_small: Path, tmp_path: Path
) -> None:
    assert (
        run(
            train, "--data", latest_small, *PAPER, "--solver", "coordinate", "--out", tmp_path / "c"
        ).exit_code
        == 0
    )
    joint, coordinate = (
        json.loads((path / "report.json").read_text()) for path in (paper_run, tmp_path / "c")
    )
    assert coordinate["history"][-1]["objective"] == pytest.approx(
        joint["history"][-1]["objective"], rel=1e-3
    )
    assert 0.85 < coordinate["test_rmse"] < 0.87


@pytest.mark.long
def test_biases_alone(latest_small: Path, tmp_path: Path) -> None:
    assert run(train, "--data", latest_small, *PAPER, "--rank", "0", "--out", tmp_path / "b").exit_code == 0
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["test_rmse"] == pytest.approx(0.8654, abs=2e-4)


def test_report_holds_what_the_readme_promises(paper_run: Path) -> None:
    report = json.loads((paper_run / "report.json").read_text())
    readme = (ROOT / "daskals" / "model" / "FORMAT.md").read_text()
    assert {
        "config",
        "environment",
        "data",
        "history",
        "train_rmse",
        "test_rmse",
        "test_rmse_clipped",
        "test_mae",
        "epoch_seconds_median",
        "ratings_per_second",
        "compile_seconds",
        "peak_memory_bytes",
        "factors_sha256",
    } <= report.keys()
    for key in report:
        assert f"`{key}`" in readme, f"the README does not document {key}"
    assert report["config"]["lambda"] == 0.002
    assert {"epoch", "objective", "train_rmse", "validation_rmse", "seconds"} <= report["history"][0].keys()
    assert len(report["history"]) == 30
    assert report["ratings_per_second"] == pytest.approx(80_651 / report["epoch_seconds_median"])
    assert report["peak_memory_bytes"]["driver"] > 5e7
    assert len(report["factors_sha256"]) == 64


def test_evaluate_gives_the_figures_of_the_run(paper_run: Path, tmp_path: Path) -> None:
    report = json.loads((paper_run / "report.json").read_text())
    result = run(evaluate, paper_run, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert f"{figures['test_rmse']:.4f}" in result.output
    for name in ("test_rmse", "test_rmse_clipped", "test_mae", "train_rmse", "n_test"):
        assert figures[name] == report[name], name


def test_evaluate_on_other_ratings(paper_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("userId,movieId,rating\n1,1,4.0\n1,999999999,3.5\n888888888,1,2\n2,50,4.5\n")
    result = run(evaluate, paper_run / "model", "--data", other, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["n_test"], figures["n_unknown_user"], figures["n_unknown_item"]) == (4, 1, 1)
    model = Model.load(paper_run)
    guesses = model.predict([1, 1, 888888888, 2], [1, 999999999, 1, 50]).rating
    expected = np.sqrt(np.mean((np.array([4.0, 3.5, 2.0, 4.5]) - guesses) ** 2))
    assert figures["test_rmse"] == pytest.approx(expected)


def test_predict_writes_flags(paper_run: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.csv", tmp_path / "predictions.parquet"
    pairs.write_text("userId,movieId\n1,1\n1,999999999\n888888888,1\n")
    result = run(predict, paper_run, pairs, "--out", out)
    assert result.exit_code == 0, result.output
    assert "3 pairs predicted, 1 of them with user and item known" in result.output
    table = pq.read_table(out).to_pandas()
    assert table["known_user"].tolist() == [True, True, False]
    assert table["known_item"].tolist() == [True, False, True]
    model = Model.load(paper_run)
    np.testing.assert_array_equal(
        table["prediction"], model.predict([1, 1, 888888888], [1, 999999999, 1]).rating
    )
    assert run(predict, paper_run, pairs, "--out", out).exit_code == 1
    assert run(predict, paper_run, pairs, "--out", out, "--overwrite").exit_code == 0


@pytest.mark.long
def test_default_data_are_named_in_one_line(tmp_path: Path) -> None:
    result = run(train, *SMALL, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    first = result.output.splitlines()[0]
    assert first.startswith(
        "no data named: training on the embedded synthetic-1m; name your own ratings with --data"
    )
    assert [line for line in result.output.splitlines() if line.startswith("epoch 3/3")]


@pytest.mark.long
def test_kfold_gives_mean_and_deviation(ratings: Path, tmp_path: Path) -> None:
    result = run(
        train, "--data", ratings, *SMALL, "--split", "kfold", "--folds", "4", "--out", tmp_path / "run"
    )
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(report["folds"]) == 4
    assert sum(fold["n_test"] for fold in report["folds"]) == 200
    assert (
        f"{report['test_rmse_mean']:.5f} ± {report['test_rmse_deviation']:.5f} over 4 folds" in result.output
    )


def test_configuration_file_and_flags_that_win(ratings: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('rank = 5\nepochs = 2\nlambda = 0.3\nsplit = "per-user"\n')
    result = run(
        train,
        "--data",
        ratings,
        "--config",
        file,
        "--epochs",
        "1",
        "--dashboard-address",
        "none",
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "report.json").read_text())["config"]
    assert (config["rank"], config["epochs"], config["lambda"], config["split"]) == (5, 1, 0.3, "per-user")


@pytest.mark.long
def test_doubts_about_ratings_stand_beside_the_errors(tmp_path: Path, monkeypatch) -> None:
    """What is said as the ratings are read has gone by when a run ends."""
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "r.csv"
    rows = "".join(f"{row % 7};{row % 5};{(-1, 1, 2, 3, 4, 5)[row % 6]}\n" for row in range(35))
    path.write_text(f"user;item;rating\n{rows}")
    told = "as it was read: the rating -1 stands apart from all others, which go from 1 to 5: where it says "
    for out in ("first", "again"):
        ran = run(train, "--data", path, *SMALL, "--model", "bias", "--out", tmp_path / out)
        last = ran.output[ran.output.rindex("train RMSE") :].replace("\n", " ")
        assert told in last
        assert "separated by" not in last
        monkeypatch.setattr(notes, "_told", set())


def test_ingest_then_train_on_the_store(ratings: Path, tmp_path: Path) -> None:
    result = run(ingest, ratings, tmp_path / "store")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("200 ratings of 30 users and 20 rated items")
    for name, source in (("a", tmp_path / "store"), ("b", ratings)):
        assert run(train, "--data", source, *SMALL, "--out", tmp_path / name).exit_code == 0
    a, b = (json.loads((tmp_path / name / "report.json").read_text())["factors_sha256"] for name in "ab")
    assert a == b


@pytest.mark.long
def test_overwrite_replaces_a_run_and_nothing_else(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(train, "--data", ratings, *SMALL, "--out", out).exit_code == 0
    again = run(train, "--data", ratings, *SMALL, "--out", out)
    assert again.exit_code == 1
    assert "already holds something" in again.output
    assert "add --overwrite" in again.output
    assert run(train, "--data", ratings, *SMALL, "--out", out, "--overwrite").exit_code == 0
    strange = tmp_path / "precious"
    strange.mkdir()
    (strange / "thesis.tex").write_text("x")
    refused = run(train, "--data", ratings, *SMALL, "--out", strange, "--overwrite")
    assert refused.exit_code == 1
    assert "is no run" in refused.output
    assert (strange / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize("words", [["--overwrite"], ["--resume"]])
def test_a_run_of_before_is_not_taken_for_one_that_can_be_continued(
    ratings: Path, tmp_path: Path, words: list[str]
) -> None:
    """A command that read nothing has replaced nothing: the states are of the run that was there."""
    out = tmp_path / "run"
    assert run(train, "--data", ratings, *SMALL, "--model", "bias", "--out", out).exit_code == 0
    failed = run(train, "--data", tmp_path / "missing.csv", *SMALL, "--model", "bias", "--out", out, *words)
    assert failed.exit_code == 1
    assert ("can be continued" in failed.output) == (words == ["--resume"])
    assert (out / "report.json").is_file()


def test_a_run_that_replaced_states_of_the_same_epochs_can_be_continued(tmp_path: Path) -> None:
    def save() -> None:
        write_state(tmp_path / "run" / "checkpoints", 1, {}, {"x": np.ones(1)})

    with RunFolder(tmp_path / "run") as folder:
        assert not folder.has_saved
        save()
        assert folder.has_saved
    with RunFolder(tmp_path / "run") as folder:
        assert (folder.can_resume, folder.has_saved) == (True, False)
        save()
        assert folder.has_saved


def bad_inputs() -> list:
    header = "userId,movieId,rating,timestamp\n"
    good = "1,1,4.0,1\n2,2,3.0,1\n1,2,3.5,2\n"
    return [
        pytest.param(None, "no such file or folder", id="missing file"),
        pytest.param("", "empty", id="empty file"),
        pytest.param(header, "no ratings", id="header only"),
        pytest.param(
            "userId,movieId,liking\n1,1,4\n",
            "columns found: 'userId', 'movieId', 'liking'",
            id="missing column",
        ),
        pytest.param(header + good + "3,1,great,3\n", "row 4", id="no number"),
        pytest.param(header + good + "3,1,nan,3\n", "row 4", id="NaN"),
        pytest.param(header + good + "3,1,inf,3\n", "row 4", id="infinite"),
        pytest.param(header + good + ",1,2.0,3\n", "row 4", id="empty user id"),
        pytest.param(header + good + "3,,2.0,3\n", "row 4", id="empty item id"),
        pytest.param("userId^movieId^rating\n1^1^4\n", "only one column", id="wrong delimiter"),
        pytest.param(header + "1,1,4.0,1\n1,2,4.0,1\n", "users", id="one user"),
        pytest.param(header + "1,1,4.0,1\n2,1,4.0,1\n", "items", id="one item"),
    ]


@pytest.mark.parametrize(("text", "message"), bad_inputs())
def test_bad_ratings_end_with_one_message_and_no_files(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path, out = tmp_path / "ratings.csv", tmp_path / "run"
    if text is not None:
        path.write_text(text)
    for command, arguments in ((train, ["--data", path, *SMALL, "--out", out]), (ingest, [path, out])):
        result = run(command, *arguments)
        assert result.exit_code == 1, result.output
        errors = [line for line in result.output.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert message in errors[0]
        assert "ratings.csv" in errors[0]
        assert {entry.name for entry in tmp_path.iterdir()} <= {"ratings.csv"}


def test_truncated_gzip(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv.gz"
    whole = gzip.compress(b"userId,movieId,rating\n" + b"1,1,4.0\n2,2,3.0\n" * 5000)
    path.write_bytes(whole[: len(whole) // 2])
    result = run(train, "--data", path, *SMALL, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "cannot be read" in result.output
    assert not (tmp_path / "run").exists()


def test_invalid_rows_can_be_dropped_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "userId,movieId,rating\n1,1,4.0\n1,2,nan\n2,1,x\n2,2,3.0\n,1,2.0\n1,2,2.5\n2,1,1.5\n1,1,5.0\n"
    )
    result = run(
        train, "--data", path, *SMALL, "--split", "none", "--invalid", "drop", "--out", tmp_path / "run"
    )
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "run" / "report.json").read_text())["data"]
    assert data["n_ratings"] == 4
    assert data["duplicates"] == 1
    assert sum(data["dropped"].values()) == 3
    assert len(data["dropped"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rank", "-1"], "--rank: found '-1'"),
        (["--lambda", "0"], "--lambda: found '0'"),
        (["--gamma", "-1"], "--gamma: found '-1'"),
        (["--tau", "-0.5"], "--tau: found '-0.5'"),
        (["--test-fraction", "0.0001"], "test"),
        (["--test-fraction", "0.9999"], "train"),
        (["--dataset", "ml-23m"], "ml-2"),
        (["--dataset", "synthetic-1g"], "synthetic-1m"),
        (["--config", "no-such.toml"], "cannot be read"),
    ],
)
def test_bad_options(ratings: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    data = [] if "--dataset" in arguments else ["--data", ratings]
    result = run(train, *data, *SMALL, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 1, result.output
    assert result.output.count("error: ") == 1
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written(ratings: Path, tmp_path: Path) -> None:
    result = run(train, "--data", ratings, *SMALL, "--out", ratings / "below-a-file")
    assert result.exit_code == 1
    assert "cannot be written" in result.output


def test_scheduler_that_does_not_answer(
    ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import daskals.cluster.connect

    monkeypatch.setattr(daskals.cluster.connect, "KNOCK_SECONDS", 1.0)
    result = run(
        train, "--data", ratings, *SMALL, "--scheduler", "tcp://127.0.0.1:9", "--out", tmp_path / "run"
    )
    assert result.exit_code == 1
    assert "tcp://127.0.0.1:9: no scheduler answered within 1 s" in result.output
    assert not (tmp_path / "run").exists()


def test_damaged_models_are_refused(paper_run: Path, tmp_path: Path) -> None:
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(paper_run / "model", tmp_path / name))

    missing = damaged("missing")
    (missing / "users" / "factors" / "c" / "0" / "0").unlink()
    flipped = damaged("flipped")
    chunk = flipped / "items" / "biases" / "c" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    newer = damaged("newer")
    manifest = json.loads((newer / "zarr.json").read_text())
    manifest["attributes"]["format_version"] = 99
    (newer / "zarr.json").write_text(json.dumps(manifest))
    for path, message in (
        (missing, "users/factors/c/0/0 is missing"),
        (flipped, "items/biases/c/0 is damaged"),
        (newer, "format version 99; expected a version up to"),
        (newer, "Update daskals, or train it anew"),
        (tmp_path, "holds no model; expected a run's folder, a model's folder, or a registry"),
        (tmp_path / "nowhere", "does not exist"),
    ):
        result = run(evaluate, path)
        assert result.exit_code == 1
        assert message in result.output


def test_predict_refusals(paper_run: Path, tmp_path: Path) -> None:
    cases = {
        "user,thing\n1,1\n": "the column for the item is missing; columns found: user, thing",
        "user,item\n1,\n": "an id is empty",
    }
    for text, message in cases.items():
        pairs = tmp_path / "pairs.csv"
        pairs.write_text(text)
        result = run(predict, paper_run, pairs, "--out", tmp_path / "out.parquet")
        assert result.exit_code == 1
        assert message in result.output
        assert not (tmp_path / "out.parquet").exists()
    assert "does not exist" in run(predict, paper_run, tmp_path / "none.csv").output


def test_quiet_prints_nothing(ratings: Path, tmp_path: Path) -> None:
    result = run(train, "--data", ratings, *SMALL, "--quiet", "--out", tmp_path / "run")
    assert (result.exit_code, result.output) == (0, "")


def test_runs_are_named_by_time_and_model(
    ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(train, "--data", ratings, *SMALL, "--model", "bias").exit_code == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.endswith("Z-bias")
    assert any((made / "model").iterdir())
