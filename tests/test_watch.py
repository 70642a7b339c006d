"""What a person who comes late sees, and the simulated month at small size."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.errors import DataError, OutputError
from daskals.event_log import LOG, EventLog, read_log
from daskals.retrain.simulate import simulate_nights
from daskals.training.events import EpochFinished, Notice, PhaseStarted
from daskals.watching import find_log, status_of
from jobs.simulate import main as simulate
from jobs.watch import main as watch
from tests.night_cases import QUICK, ratings_of_day


def epoch(number: int, seconds: float = 30.0) -> EpochFinished:
    return EpochFinished(number, 10, 50.0 / number, 0.9 / number, 0.95, None, seconds, 1e6)


def began(folder: Path) -> EventLog:
    folder.mkdir(parents=True, exist_ok=True)
    log = EventLog(folder / LOG)
    log.add("begin", run="night of 2024-05-01")
    return log


def seen(path: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(watch, [str(path), *options])
    assert result.exit_code == code, result.output
    return result.output


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
    log.add("end", code=10, summary="refused")
    assert "night of 2024-05-01: ended" in seen(tmp_path)
    assert "code 10: refused" in seen(tmp_path)


def test_a_run_whose_process_is_gone_is_said_so(tmp_path) -> None:
    began(tmp_path).phase("take in")
    lines = [{**event, "pid": 2**22 - 5} for event in read_log(tmp_path / LOG)]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "gone" in seen(tmp_path, code=1)
    assert "run the same command again" in seen(tmp_path, code=1)
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


def test_a_log_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(OutputError, match=r"log.jsonl: cannot be written"):
        EventLog(tmp_path / "nowhere" / LOG).phase("train")


def test_following_ends_with_the_run(tmp_path) -> None:
    log = began(tmp_path)

    def finish() -> None:
        time.sleep(0.3)
        log.add("end", code=0, summary="promoted")

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
    table = (tmp_path / "out" / "nights.md").read_text()
    assert table.count("\n| ") >= 3
    assert (tmp_path / "out" / "nights.png").stat().st_size > 5000
    again = CliRunner().invoke(simulate, [str(one) for one in arguments])
    assert again.exit_code == 1
    assert "already holds something" in again.output


def test_ratings_that_no_month_can_be_made_of(tmp_path) -> None:
    ratings_of_day(1).drop(columns="timestamp").to_csv(tmp_path / "plain.csv", index=False)
    with pytest.raises(DataError, match=r"plain.csv: the ratings have no timestamps"):
        simulate_nights(tmp_path / "plain.csv", 3, tmp_path / "out", {})
    ratings_of_day(1).assign(timestamp=7).to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(
        DataError, match="too few distinct timestamps; expected 3 slices that end at different moments"
    ):
        simulate_nights(tmp_path / "same.csv", 3, tmp_path / "out", {})
