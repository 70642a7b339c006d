"""What a person who comes late sees, and the simulated month at small size."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.errors import DataError, OutputError
from daskals.ingest import ingest
from daskals.retrain.simulate import Month, simulate_nights
from daskals.retrain.time_slices import Slices
from daskals.store.lock import process_start
from daskals.store.versions import open_latest
from daskals.training.event_log import LOG, EventLog, read_log
from daskals.training.events import EpochFinished, Notice, PhaseStarted
from daskals.training.watching import find_log, status_of
from jobs._pause_hook import PauseHook
from jobs.simulate import main as simulate
from tests.cases.night_cases import QUICK, ratings_of_day
from tests.cases.watch_cases import seen, train


def epoch(number: int, seconds: float = 30.0) -> EpochFinished:
    return EpochFinished(number, 10, 50.0 / number, 0.9 / number, 0.95, None, seconds, 1e6)


def began(folder: Path) -> EventLog:
    folder.mkdir(parents=True, exist_ok=True)
    log = EventLog(folder / LOG)
    started = process_start(os.getpid())
    log.add("begin", run="night of 2024-05-01", again="run it again", process_started=started)
    return log


def test_phase_epoch_rmse_and_time_left(tmp_path) -> None:
    log = began(tmp_path)
    log.phase("take in")
    assert "night of 2024-05-01: running" in seen(tmp_path)
    assert "phase take in" in seen(tmp_path)
    log.training("challenger")
    log(PhaseStarted("train"))
    for number in (1, 2, 3):
        log(epoch(number))
    log(Notice("worker 2 died in epoch 3"))
    text = seen(tmp_path)
    assert "phase train of the challenger" in text
    assert "epoch 3/10, train RMSE 0.30000, validation RMSE 0.95000" in text
    assert "about 3 min 30 s of training left" in text
    assert "worker 2 died in epoch 3" in text
    # another training counts its own epochs
    log.training("model")
    log(PhaseStarted("train"))
    assert status_of(tmp_path / LOG).epoch == 0
    log(epoch(1, seconds=1000.0))
    assert "about 2 h 30 min of training left" in seen(tmp_path)
    status = json.loads(seen(tmp_path, "--json"))
    assert (status["state"], status["training"], status["epoch"], status["seconds_left"]) == (
        "running",
        "model",
        1,
        9000.0,
    )
    log.ended(10, "refused")
    assert "night of 2024-05-01: ended" in seen(tmp_path)
    assert "code 10: refused" in seen(tmp_path)


def test_a_run_whose_process_is_gone_is_said_so(tmp_path) -> None:
    began(tmp_path).phase("take in")
    lines = [{**event, "pid": 2**22 - 5} for event in read_log(tmp_path / LOG)]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "gone" in seen(tmp_path, code=1)
    assert "  run it again" in seen(tmp_path, code=1)
    reused = [{**event, "process_started": 1.0} for event in read_log(tmp_path / LOG)]
    (tmp_path / LOG).write_text("".join(json.dumps({**line, "pid": os.getpid()}) + "\n" for line in reused))
    assert status_of(tmp_path / LOG).state == "gone"  # another process has its number
    elsewhere = [{**line, "host": "elsewhere"} for line in lines]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in elsewhere))
    assert status_of(tmp_path / LOG).state == "running"


def test_a_run_that_began_again_counts_from_there(tmp_path) -> None:
    log = began(tmp_path)
    log(PhaseStarted("train"))
    log(epoch(7))
    with (tmp_path / LOG).open("a") as file:
        file.write('{"event": "epo')  # what a kill leaves
        file.write("\n")
    began(tmp_path)(PhaseStarted("train"))
    assert status_of(tmp_path / LOG).epoch == 0
    assert len(read_log(tmp_path / LOG)) == 5


def test_every_line_is_json_with_time_host_and_process(tmp_path) -> None:
    log = began(tmp_path)
    log(epoch(1))
    for line in (tmp_path / LOG).read_text().splitlines():
        event = json.loads(line)
        assert dt.datetime.fromisoformat(event["time"]).tzinfo is not None
        assert (event["host"], event["pid"]) == (socket.gethostname(), os.getpid())


def test_the_home_shows_its_last_night(tmp_path) -> None:
    for day, name in enumerate(("2024-05-01", "2024-05-02")):
        began(tmp_path / "nights" / name)
        os.utime(tmp_path / "nights" / name / LOG, (1000 + day, 1000 + day))
    assert find_log(tmp_path) == tmp_path / "nights" / "2024-05-02" / LOG


def test_nothing_to_watch(tmp_path) -> None:
    with pytest.raises(
        OutputError, match=rf"{tmp_path}: holds no log.jsonl; expected the folder of a run, of a night"
    ):
        find_log(tmp_path)
    (tmp_path / LOG).write_text("")
    with pytest.raises(OutputError, match="holds no event yet"):
        status_of(tmp_path / LOG)
    assert "error: " in seen(tmp_path / "nowhere", code=1)


def test_a_failure_is_told_with_its_reason(tmp_path) -> None:
    log = EventLog(tmp_path / LOG)

    def fail(error: BaseException, **options: int) -> None:
        with log.run("training x", again="add --resume", **options):
            log.phase("train")
            raise error

    with pytest.raises(OutputError):
        fail(OutputError("cannot be written", where="x"), failure=30)
    text = seen(tmp_path, code=1)
    assert "training x: failed" in text
    assert "code 30: x: cannot be written." in text
    assert "  add --resume" in text
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert "code 130: interrupted" in seen(tmp_path, code=1)


# --- training runs -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_training_run_can_be_watched(tmp_path, monkeypatch) -> None:
    texts = []

    def look(_: PauseHook, event: object) -> None:
        texts.append((event, seen(tmp_path / "run")))

    monkeypatch.setenv("DASKALS_PAUSE_AT_EPOCH", "2")
    monkeypatch.setattr(PauseHook, "__call__", look)
    train(tmp_path)
    for event, text in texts:
        assert f"training {tmp_path / 'run'}: running" in text
        if isinstance(event, EpochFinished):
            assert f"phase train\n  epoch {event.epoch}/4, train RMSE {event.train_rmse:.5f}" in text
            assert "of training left" in text
        elif isinstance(event, PhaseStarted):
            assert f"phase {event.phase}" in text
    assert sum(isinstance(event, EpochFinished) for event, _ in texts) == 4
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    text = seen(tmp_path / "run")
    assert "ended" in text
    assert f"code 0: train RMSE {report['train_rmse']:.5f}; test RMSE {report['test_rmse']:.5f}" in text


@pytest.mark.long
def test_folds_are_told_apart(tmp_path) -> None:
    train(tmp_path, "--split", "kfold", "--folds", 2)
    events = read_log(tmp_path / "run" / LOG)
    found = [event["training"] for event in events if event["event"] == "epoch"]
    assert found == ["fold 1/2"] * 4 + ["fold 2/2"] * 4
    status = status_of(tmp_path / "run" / LOG)
    assert (status.training, status.state) == ("fold 2/2", "ended")
    assert status.summary.startswith("test RMSE")


def test_a_run_that_fails_leaves_no_log_behind(tmp_path) -> None:
    train(tmp_path, "--data", tmp_path / "nowhere.csv", code=1)
    assert not (tmp_path / "run").exists()


# --- the log -----------------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(OutputError, match=r"log.jsonl: cannot be written"):
        EventLog(tmp_path / "nowhere" / LOG).phase("train")


def test_following_ends_with_the_run(tmp_path) -> None:
    log = began(tmp_path)

    def finish() -> None:
        time.sleep(0.3)
        log.ended(0, "promoted")

    thread = threading.Thread(target=finish)
    thread.start()
    text = seen(tmp_path, "--follow", "--every", "0.05")
    thread.join()
    assert text.count("running") >= 2
    assert text.endswith("code 0: promoted\n")


# --- the simulated month -----------------------------------------------------------------------------------


def options() -> list[str]:
    return [
        part
        for name, value in QUICK.items()
        if name != "dashboard_address"
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


@pytest.mark.long
def test_a_month_can_begin_late_and_end_early(tmp_path) -> None:
    ratings_of_day(1, n=200).to_csv(tmp_path / "ratings.csv", index=False)
    arguments = ["nightly", "--data", tmp_path / "ratings.csv", "--out", tmp_path / "out", *options()]
    arguments += ["--nights", 4, "--first", 3, "--last", 3]
    result = CliRunner().invoke(simulate, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    (night,) = json.loads((tmp_path / "out" / "nights.json").read_text())["nights"]
    assert (night["night"], night["n_ratings"], night["n_following"]) == (3, 150, 50)
    last = [*arguments[:-4], "--first", 4, "--out", tmp_path / "last"]
    result = CliRunner().invoke(simulate, [str(one) for one in last])
    assert result.exit_code == 0, result.output
    assert "nothing is compared" in result.output
    assert not (tmp_path / "last" / "nights.png").exists()


@pytest.mark.long
def test_a_small_month(tmp_path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pd.concat([ratings_of_day(day, n=150) for day in (1, 2, 3)]).to_csv(folder / "ratings.csv", index=False)
    (folder / "movies.csv").write_text("movieId,title,genres\n1,One (1990),Drama\n")
    arguments = ["nightly", "--data", folder, "--nights", 3, "--out", tmp_path / "out", *options()]
    result = CliRunner().invoke(simulate, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "nights.json").read_text())
    nights = found["nights"]
    assert [night["night"] for night in nights] == [1, 2, 3]
    assert all({"date", "code", "version", "champion", "figures"} <= night.keys() for night in nights)
    assert nights[0]["code"] == 0
    assert nights[0]["champion_rmse"] > 0
    assert nights[2]["champion_rmse"] is None  # nothing follows the last slice
    assert found["n_following"] == nights[0]["n_following"] + nights[1]["n_following"]
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    pooled = sum(n["champion_rmse"] ** 2 * n["n_following"] for n in nights[:2]) / found["n_following"]
    assert found["champion_rmse"] == pytest.approx(pooled**0.5)
    assert "ratio" in result.output
    lists = [night["ndcg"] for night in nights if night["ndcg"] is not None]
    assert min(lists) <= found["ndcg"] <= max(lists) <= 1
    assert f"NDCG@10 of {found['n_lists']:,} lists on what followed {found['ndcg']:.4f}" in result.output
    assert "One (1990)" in open_latest(tmp_path / "out" / "home" / "store").catalogue()["title"].to_pylist()
    table = (tmp_path / "out" / "nights.md").read_text()
    assert table.count("\n| ") >= 3
    assert (tmp_path / "out" / "nights.png").stat().st_size > 5000
    again = CliRunner().invoke(simulate, [str(one) for one in arguments])
    assert again.exit_code == 1
    assert "already holds something" in again.output


def test_ratings_that_no_month_can_be_made_of(tmp_path) -> None:
    ratings_of_day(1).drop(columns="timestamp").to_csv(tmp_path / "plain.csv", index=False)
    with pytest.raises(DataError, match=r"plain.csv: the ratings have no timestamps"):
        simulate_nights(tmp_path / "plain.csv", Month(3, 1, 3), tmp_path / "out", {})
    ratings_of_day(1).assign(timestamp=7).to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(
        DataError, match="too few distinct timestamps; expected 3 slices that end at different moments"
    ):
        simulate_nights(tmp_path / "same.csv", Month(3, 1, 3), tmp_path / "out", {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "--data, --dataset: found neither; expected one of the two"),
        (["--data", "x", "--dataset", "synthetic-100k"], "found both; expected one of the two"),
        (
            ["--data", "x", "--nights", "3", "--first", "3", "--last", "2"],
            "nights 3 to 2; expected nights from 1 to 3",
        ),
        (["--data", "x", "--nights", "3", "--last", "4"], "nights 1 to 4; expected nights from 1 to 3"),
    ],
)
def test_nights_that_cannot_be_simulated(tmp_path, wrong, message) -> None:
    result = CliRunner().invoke(simulate, ["nightly", "--out", str(tmp_path / "out"), *wrong])
    assert result.exit_code == 1
    assert message in result.output


def test_slices_hold_every_rating_once_in_order(tmp_path) -> None:
    data = pd.concat([ratings_of_day(day, n=100) for day in (1, 2, 3)]).drop_duplicates(
        ["userId", "movieId"], keep="last"
    )
    data = data.sample(frac=1, random_state=1)
    (tmp_path / "data").mkdir()
    data.to_csv(tmp_path / "data" / "ratings.csv", index=False)
    movies = ["movieId,title,genres", '1,"One, The (1990)",Drama|War', "2,Two (1991),(no genres listed)"]
    (tmp_path / "data" / "movies.csv").write_text("\n".join([*movies, ""]))
    slices = Slices(ingest(tmp_path / "data", tmp_path / "s"), "s", 4)
    parts = [slices.frame(number, number) for number in (1, 2, 3, 4)]
    assert all(part["timestamp"].is_monotonic_increasing for part in parts)
    assert all(before["timestamp"].max() < after["timestamp"].min() for before, after in pairwise(parts))
    key = ["userId", "movieId"]
    found = pd.concat(parts).sort_values(key).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, data.sort_values(key).reset_index(drop=True), check_dtype=False)
    pd.testing.assert_frame_equal(
        slices.frame(2, 3).reset_index(drop=True), pd.concat(parts[1:3], ignore_index=True)
    )
    slices.write_catalogue(tmp_path)
    assert sorted((tmp_path / "movies.csv").read_text().splitlines()) == sorted(movies)
