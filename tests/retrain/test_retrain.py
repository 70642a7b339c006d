"""The nightly retrain: promoted, refused, repeated, cut off; and where training starts from."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from daskals.cluster.connect import connect
from daskals.config import TrainConfig
from daskals.errors import ConfigError, NumericalError, OutputError, RegistryError
from daskals.evaluation.ranking import make_task, score_lists
from daskals.evaluation.ranking_scores import model_scorers
from daskals.fitting.evaluate import served_order
from daskals.fitting.fit import fit, train_split
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.model.fitted import Model
from daskals.ratings.dates import last_moment
from daskals.ratings.split import SplitSpec
from daskals.registry.registry import Registry
from daskals.registry.run_versions import publish_run
from daskals.retrain import promotion, publication, training
from daskals.retrain.config import RetrainConfig
from daskals.retrain.initial_state import Target, initial_state, starting_rows
from daskals.retrain.night import NightFolder, Outcome
from daskals.retrain.report import tables
from daskals.retrain.run import run_night
from daskals.retrain.validation import _agreement
from daskals.store import atomic_file
from daskals.store.append import append
from daskals.store.reader import open_store
from daskals.store.splits import ensure_split
from daskals.store.versions import list_versions, open_latest
from daskals.store.writer import write_store
from daskals.training.event_log import read_log
from daskals.training.features import resolve_model
from daskals.types import TEST, TRAIN
from jobs.retrain import main
from tests.cases.night_cases import (
    command,
    config_of,
    date,
    deliver,
    essence,
    ratings_of_day,
    registry_of,
    restore,
    two_nights,
)
from tests.cases.registry_cases import fresh_bucket_url
from tests.cases.store_cases import table_of


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    """A home after two good nights, for looking at."""
    return two_nights(tmp_path_factory.mktemp("month"))


@pytest.fixture
def home(month) -> Path:
    """The same home, for going on with."""
    return restore(month)


def epochs_in(home: Path, day: int) -> int:
    log = NightFolder.of(home, date(day)).path / "log.jsonl"
    return sum(event["event"] == "epoch" for event in read_log(log))


# --- good nights -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_two_nights_leave_what_they_should(month) -> None:
    registry = registry_of(month)
    first, second = registry.versions()
    assert registry.aliases() == {"champion": second.id, "challenger": second.id}
    assert first.id.startswith("2024-05-01-")
    assert (first.parent, second.parent) == (None, first.id)
    assert second.data["as_of"] == "2024-05-02"
    assert second.data["n_input"] == 480
    assert second.config["rank"] == 2
    folder = NightFolder.of(month, date(2)).path
    outcome = NightFolder(folder).outcome()
    assert outcome.code == 0
    assert outcome.version == outcome.champion == second.id
    assert outcome.summary == f"promoted {second.id}"
    figures = outcome.figures
    assert figures["challenger_training"]["epochs"] == 2  # warm; the first night took 4
    assert NightFolder.of(month, date(1)).outcome().figures["challenger_training"]["epochs"] == 4
    assert figures["final_training"]["epochs"] == 1
    assert 0 < figures["challenger"]["rmse"] < 1.2
    assert {check.name for check in outcome.checks} >= {
        "new ratings", "drift of the mean", "drift of the histogram", "share of new items",
        "agreement with the champion", "values not finite", "RMSE against the champion's",
    }  # fmt: skip
    assert json.loads((folder / "report.json").read_text()) == asdict(outcome)
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text().replace("\\", "")
        assert "Night of 2024-05-02: promoted (code 0)" in text
        assert "at most 0.05" in text
        assert "at least 0.15" in text
        assert second.id in text
        assert "agreement with the champion" in text
        assert f"{figures['challenger']['rmse']:.4f}".rstrip("0") in text
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert not (folder / "checkpoints" / "challenger").exists()


def test_the_gate_judges_the_lists_that_are_served(month) -> None:
    """Both models', by the order that each has learnt, on the same people."""
    folder = NightFolder.of(month, date(2)).path
    figures = NightFolder(folder).outcome().figures
    assert figures["lists_by"] == "affinity"
    challenger = Model.load(folder / "challenger")
    store = open_latest(month / "store")
    split = ensure_split(store, SplitSpec(**challenger.report["data"]["split"]))
    task = make_task(store, split, TEST, k=10)
    (ranker,) = served_order(challenger, store)
    users, _ = score_lists(task, ranker)
    assert figures["challenger"]["ndcg"] == pytest.approx(np.nanmean(users.ndcg))
    by_rating, _ = score_lists(task, model_scorers(challenger)[0])
    assert np.nanmean(by_rating.ndcg) != pytest.approx(figures["challenger"]["ndcg"])
    first = Model.load(NightFolder.of(month, date(1)).path / "model")
    unordered = replace(first, order=None)
    assert promotion._orders(Target(store, split, None), challenger, unordered) == {}
    both = promotion._orders(Target(store, split, None), challenger, first)
    assert len(both["champion"].popularity) == len(both["challenger"].popularity) == store.n_items


def test_lists_are_for_who_rated(month) -> None:
    folder = NightFolder.of(month, date(2)).path
    lists = pd.read_parquet(folder / "recommendations")
    assert set(lists["user"]) == set(ratings_of_day(2)["userId"])
    assert lists.groupby("user").size().max() == 3
    assert NightFolder(folder).outcome().figures["lists"] == len(lists)
    rated = set(
        zip(
            *(pd.concat([ratings_of_day(1), ratings_of_day(2)])[c] for c in ("userId", "movieId")),
            strict=True,
        )
    )
    assert not rated & set(zip(lists["user"], lists["item"], strict=True))


def test_a_repeated_date_does_the_work_once(home) -> None:
    before, n_epochs = essence(home, 2), epochs_in(home, 2)
    outcome, ended = run_night(config_of(home, 2))
    assert ended
    assert outcome.code == 0
    assert essence(home, 2) == before
    assert epochs_in(home, 2) == n_epochs == 3
    # an earlier date as well, though a later one was run since
    assert run_night(config_of(home, 1))[0].version.startswith("2024-05-01-")


def test_nothing_new_is_nothing_to_do(home) -> None:
    before = registry_of(home).aliases()
    outcome, ended = run_night(config_of(home, 3))
    assert (outcome.code, outcome.summary, ended) == (0, "nothing new came in", False)
    assert registry_of(home).aliases() == before
    assert len(list_versions(home / "store")) == 2
    assert epochs_in(home, 3) == 0


def test_a_file_delivered_again_is_known(home) -> None:
    for name in ("again.csv", "ratings-2024-05-02.csv"):
        ratings_of_day(2).to_csv(home.parent / "incoming" / name, index=False)
    assert run_night(config_of(home, 3))[0].summary == "nothing new came in"


@pytest.mark.long
def test_a_growing_file_is_read_up_to_the_date(tmp_path) -> None:
    home = tmp_path / "home"
    (tmp_path / "incoming").mkdir()
    pd.concat([ratings_of_day(day) for day in (1, 2, 3)]).to_csv(
        tmp_path / "incoming/ratings.csv", index=False
    )
    counts = []
    for day in (1, 2):
        assert run_night(config_of(home, day))[0].code == 0
        counts.append(open_latest(home / "store").n_input)
    store = open_latest(home / "store")
    times = store.read_column("user", "timestamps", 0, store.n_ratings)
    assert pd.Timestamp(times.max(), unit="s") < pd.Timestamp("2024-05-03")
    assert store.lineage["known"] > 0


@pytest.mark.long
def test_all_or_nobody_gets_lists(home) -> None:
    deliver(home.parent / "incoming", 3)
    assert run_night(config_of(home, 3, recommend="all"))[0].code == 0
    lists = pd.read_parquet(NightFolder.of(home, date(3)).path / "recommendations")
    assert lists["user"].nunique() == open_latest(home / "store").n_users
    deliver(home.parent / "incoming", 4)
    assert run_night(config_of(home, 4, recommend="none", final_epochs=0, keep_versions=2))[0].code == 0
    assert not (NightFolder.of(home, date(4)).path / "recommendations").exists()
    assert len(list_versions(home / "store")) == 2


@pytest.mark.long
def test_after_a_rollback_the_next_night_starts_from_there(home) -> None:
    registry = registry_of(home)
    first, second = (one.id for one in registry.versions())
    registry.rollback(note="looked odd")
    deliver(home.parent / "incoming", 3)
    outcome, _ = run_night(config_of(home, 3))
    assert outcome.code == 0
    assert registry.manifest("champion").parent == first
    begun = NightFolder.of(home, date(3)).read("begun.json")
    assert begun["since"] == 240  # the second day's ratings are new to the first night's model
    assert second in registry.ids()


@pytest.mark.long
def test_too_few_ratings_wait_for_the_next_night(home) -> None:
    champion = registry_of(home).resolve("champion")
    deliver(home.parent / "incoming", 3, ratings_of_day(3, n=240).drop_duplicates("userId").head(4))
    outcome, _ = run_night(config_of(home, 3, recommend="none"))
    assert outcome.code == 0
    assert "judged with the next night's" in outcome.summary
    assert registry_of(home).resolve("champion") == champion
    deliver(home.parent / "incoming", 4)
    assert run_night(config_of(home, 4))[0].code == 0
    assert NightFolder.of(home, date(4)).read("begun.json")["since"] == 480
    # and also if nothing more comes in
    later = home.parent / "later"
    shutil.copytree(home, later / "home")
    assert run_night(config_of(home, 5))[0].summary == "nothing new came in"


def test_a_registry_on_s3(s3, tmp_path) -> None:
    url = fresh_bucket_url()
    deliver(tmp_path / "incoming", 1)
    outcome, _ = run_night(config_of(tmp_path / "home", 1, registry=url, recommend="none"))
    assert outcome.code == 0
    registry = Registry(url)
    assert registry.resolve("champion") == outcome.version
    model = NightFolder.of(tmp_path / "home", date(1)).path / "model"
    assert registry.load().factors_sha256() == Model.load(model).factors_sha256()


def test_only_what_was_appended_since_judges(tmp_path) -> None:
    write_store(table_of(ratings_of_day(1)), tmp_path / "s")
    store = append(tmp_path / "s", table_of(ratings_of_day(2)))
    split = ensure_split(store, SplitSpec(method="recent", test_fraction=0.4, since=240))
    parts = split.parts("user", 0, store.n_ratings)
    positions = store.read_column("user", "positions", 0, store.n_ratings)
    times = store.read_column("user", "timestamps", 0, store.n_ratings)
    indptr = store.indptr("user")
    assert set(parts[positions < 240]) == {TRAIN}
    for start, stop in itertools.pairwise(indptr):
        new = np.flatnonzero(positions[start:stop] >= 240) + start
        held = new[parts[new] == TEST]
        assert len(held) == (min(len(new) - 1, max(1, int(0.4 * len(new)))) if len(new) else 0)
        if len(held):  # the latest of each user's new ratings
            assert times[held].min() >= times[np.setdiff1d(new, held)].max()


# --- where training starts from ----------------------------------------------------------------------------


def grown_target(tmp_path: Path, n_days: int = 1, **options: object) -> tuple[Model, Target]:
    """A model of the first days, and the ratings of one more."""
    first = pd.concat([ratings_of_day(day + 1) for day in range(n_days)])
    write_store(table_of(first), tmp_path / "s")
    config = TrainConfig.parse(
        {"rank": 2, "epochs": 6, "lambda": 1.0, "tau": 2.0, "gamma": 1.0, "split": "none", **options}
    )
    with connect(config_of(tmp_path, 1)) as cluster:
        store = open_store(tmp_path / "s")
        model = train_split(cluster, store, SplitSpec(method="none"), resolve_model(store, config))
    later = append(tmp_path / "s", table_of(ratings_of_day(n_days + 1)))
    return model, Target(later, ensure_split(later, SplitSpec(method="none")), resolve_model(later, config))


@pytest.mark.long
def test_old_rows_start_as_they_were_and_new_ones_from_a_fold_in(tmp_path) -> None:
    model, target = grown_target(tmp_path)
    store = target.store
    state = initial_state(model, target)
    assert state.history == ()
    assert list(state.rows) == ["item"]
    items = state.rows["item"]
    n_old = len(model.item_ids)
    assert store.n_items > n_old
    np.testing.assert_array_equal(items[:n_old], model.item_rows)
    # by hand: new users against the old items, then new items against all users
    ridge, mean = target.config.ridge, target.split.mean
    grown = starting_rows(model, target)
    assert not grown.rows["item"][n_old:, :2].any()
    users = grown.rows["user"]
    everyone, _ = solve_rows(
        target.load("user", 0, store.n_users), grown.rows["item"], rank=2, mean=mean, ridge=ridge
    )
    users[len(model.user_ids) :] = everyone[len(model.user_ids) :]
    expected, _ = solve_rows(target.load("item", 0, store.n_items), users, rank=2, mean=mean, ridge=ridge)
    np.testing.assert_array_equal(items[n_old:], expected[n_old:])
    assert np.abs(items[n_old:, :2]).max() > 0


def test_solves_that_start_from_the_rows_get_both_sides(tmp_path) -> None:
    model, target = grown_target(tmp_path, solver="coordinate", model="als")
    state = initial_state(model, target)
    assert state.rows["user"].shape == (target.store.n_users, model.user_rows.shape[1])
    with connect(config_of(tmp_path, 1)) as cluster:
        warm = train_split(cluster, target.store, SplitSpec(method="none"), target.config, start=state)
    assert warm.report["train_rmse"] < 1


@pytest.mark.long
def test_a_warm_start_needs_far_fewer_epochs(tmp_path) -> None:
    model, target = grown_target(tmp_path, epochs=40)
    store, spec = target.store, SplitSpec(method="none")
    few = target.config.model_copy(update={"epochs": 2})
    with connect(config_of(tmp_path, 1)) as cluster:
        cold = train_split(cluster, store, spec, target.config).report["history"][-1]["objective"]
        warm = train_split(cluster, store, spec, few, start=initial_state(model, target)).report["history"][
            -1
        ]["objective"]
        barely = train_split(cluster, store, spec, few).report["history"][-1]["objective"]
    assert abs(warm - cold) < 0.2 * abs(barely - cold)


@pytest.mark.long
def test_the_prior_of_new_genres_and_items_is_carried_by_name(tmp_path) -> None:
    def folder(name: str, day: int, genres: list[str]) -> Path:
        (tmp_path / name).mkdir()
        ratings_of_day(day).to_csv(tmp_path / name / "ratings.csv", index=False)
        movies = [f"{item},Movie {item},{genres[item % len(genres)]}" for item in range(1, 35)]
        (tmp_path / name / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies]) + "\n")
        return tmp_path / name

    from daskals.ingest import append_ratings, ingest

    store = ingest(folder("a", 1, ["Drama", "War", "Comedy"]), tmp_path / "s")
    config = TrainConfig.parse(
        {"rank": 2, "epochs": 6, "lambda": 1.0, "tau": 2.0, "gamma": 1.0, "split": "none"}
    )
    with connect(config_of(tmp_path, 1)) as cluster:
        model = train_split(cluster, store, SplitSpec(method="none"), resolve_model(store, config))
    later = append_ratings(folder("b", 2, ["Horror", "War", "Comedy", "Drama"]), tmp_path / "s")
    target = Target(later, ensure_split(later, SplitSpec(method="none")), resolve_model(later, config))
    starting = starting_rows(model, target)
    own = dict(zip(store.genres().names, model.weights["item"], strict=True))
    for name, row in zip(later.genres().names, starting.weights["item"], strict=True):
        np.testing.assert_array_equal(row, own.get(name, np.zeros(3)))
    unknown = np.flatnonzero(~starting.known["item"])
    genres = later.genres()
    for item in unknown:
        prior = starting.weights["item"][genres.indices[genres.indptr[item] : genres.indptr[item + 1]]].mean(
            axis=0
        )
        np.testing.assert_allclose(starting.rows["item"][item, [0, 1, 3]], prior, atol=1e-6)
    with connect(config_of(tmp_path, 1)) as cluster:
        warm = train_split(
            cluster, later, SplitSpec(method="none"), target.config, start=initial_state(model, target)
        )
    assert warm.report["train_rmse"] < 1.0


def test_dates_start_as_the_model_has_them_and_new_ones_from_zero(tmp_path) -> None:
    model, target = grown_target(tmp_path, 2, time_bins="day", model="als")
    state = initial_state(model, target)
    assert list(state.rows) == ["item", "time"]
    n_old = len(model.times.timing.bins)
    assert len(target.timing.bins) == len(state.rows["time"]) > n_old > 1
    assert np.abs(state.rows["time"][:n_old, [0, 1, 3]]).min() > 0
    assert not state.rows["time"][n_old:, [0, 1, 3]].any()
    # items as training has them: what a known day adds to them is what the model says of that day
    then = model.as_of(model.times.latest)
    day = state.rows["time"][n_old - 1]
    old = state.rows["item"][: len(model.item_ids)]
    np.testing.assert_allclose(old[:, :2] + day[:2], then.item_factors, atol=1e-5)
    np.testing.assert_allclose(old[:, 3] + old[:, :2] @ day[:2], then.item_biases, atol=1e-5)
    # of another unit, or of a model that knows none, all begin at zero
    weeks = replace(model.times, timing=replace(model.times.timing, unit="week"))
    for other in (replace(model, times=weeks), replace(model, times=None)):
        assert not initial_state(other, target).rows["time"][:, [0, 1, 3]].any()
    with connect(config_of(tmp_path, 1)) as cluster:
        spec, once = SplitSpec(method="none"), target.config.model_copy(update={"epochs": 1})
        warm, cold = (
            train_split(cluster, target.store, spec, once, start=start).report["history"][0]["objective"]
            for start in (state, None)
        )
    assert warm < cold


@pytest.mark.long
def test_a_night_trains_and_judges_models_that_know_dates(home, monkeypatch) -> None:
    shutil.rmtree(home)
    judged, lenient = [], {"max_rmse_loss": 9.0, "max_ndcg_loss": 1.0}

    def noted(model, as_of):
        found = contender_of(model, as_of)
        if model.times is not None:  # not of the first day, which is one
            then = model.as_of(last_moment(as_of))
            np.testing.assert_array_equal(found.item_rows, then.item_rows)
            assert found.mean == then.mean
            judged.append(then.times.row)
        return found

    contender_of = promotion.contender_of
    monkeypatch.setattr(promotion, "contender_of", noted)
    for day in (1, 2, 3):
        deliver(home.parent / "incoming", day)
        outcome, _ = run_night(config_of(home, day, model="als", time_bins="day", **lenient))
        assert outcome.code == 0, outcome.summary
    assert outcome.figures["challenger_training"]["epochs"] == 2  # from the champion's
    champion = registry_of(home).load("champion")
    assert champion.times.timing.unit == "day"
    assert len(judged) == 2


@pytest.mark.long
def test_another_rank_starts_anew(home) -> None:
    deliver(home.parent / "incoming", 3)
    outcome, _ = run_night(config_of(home, 3, rank=3))
    assert outcome.figures["challenger_training"]["epochs"] == 4
    log = NightFolder.of(home, date(3)).path / "log.jsonl"
    assert any("has rank 2: starting from random" in event.get("text", "") for event in read_log(log))


# --- refused data ------------------------------------------------------------------------------------------


def test_a_champion_of_another_make_that_knows_dates_is_held_against_the_night(home, monkeypatch) -> None:
    frame = pd.concat([ratings_of_day(day) for day in (1, 2)])
    options = {
        "model": "bayes", "rank": 2, "sweeps": 12, "burn_in": 4, "warm_start": 2, "keep_samples": 4,
        "time_bins": "day", "split": "none", "order": "rating", "item_features": "none",
    }  # fmt: skip
    columns = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "timestamp"}
    model = fit(frame, TrainConfig.parse(options), columns=columns)
    model.save(home.parent / "dated")
    published = publish_run(registry_of(home), home.parent / "dated", aliases=["champion"])
    assert "n_input" not in registry_of(home).manifest("champion").data
    deliver(home.parent / "incoming", 3)
    rows = []

    def judged(config, target, challenger, champion):
        rows.append(champion.times.row)
        return promotion.check_promotion(config, target, challenger, champion)

    monkeypatch.setattr("daskals.retrain.run.check_promotion", judged)
    outcome, _ = run_night(config_of(home, 3, max_rmse_loss=9.0))
    assert outcome.code == 0, outcome.summary
    assert outcome.figures["n_held_out"] < 100  # of the third day alone
    assert outcome.figures["champion_as_served_rmse"] > 0
    assert registry_of(home).manifest("champion").parent == published.id
    # as it is on the day of the night, not on the latest of its training
    assert (model.times.row, rows) == (1, [-1])


def test_generous_people_do_not_make_foreign_items_agree(tmp_path) -> None:
    """Whether a person rates high or low is known however wrong the items are."""
    rng = np.random.default_rng(2)
    users, items = np.repeat(np.arange(40), 20), np.tile(np.arange(20), 40)
    generosity, quality = np.where(np.arange(40) % 2, 1.0, -1.0), rng.normal(0, 0.5, 20)
    expected = np.float32(3.0 + generosity[users] + quality[items])
    champion = SimpleNamespace(
        user_ids=pa.array(np.arange(40)),
        item_ids=pa.array(np.arange(20)),
        predict=lambda *_: SimpleNamespace(rating=expected, known_item=np.ones(800, np.bool_)),
    )
    for seen, agrees in ((items, True), (np.roll(np.arange(20), 7)[items], False)):
        found = 3.0 + generosity[users] + quality[seen] + rng.normal(0, 0.3, 800)
        assert np.corrcoef(expected, found)[0, 1] > 0.5
        check = _agreement(config_of(tmp_path, 3), champion, pa.array(users), pa.array(items), found)
        assert check.passed == agrees, check


def swap_items(frame: pd.DataFrame) -> pd.DataFrame:
    names = frame["movieId"].unique()
    return frame.assign(movieId=frame["movieId"].map(dict(zip(names, np.roll(names, 9), strict=True))))


def shuffle(values: pd.Series) -> np.ndarray:
    return np.random.default_rng(5).permutation(values)


POISONS = {
    "shuffled": lambda frame: frame.assign(rating=shuffle(frame["rating"])),
    "halved": lambda frame: frame.assign(rating=frame["rating"].where(shuffle(frame.index) % 2 == 0, 0.5)),
    "column": lambda frame: frame.drop(columns="movieId"),
    "foreign": lambda frame: frame.assign(movieId=frame["movieId"] + 999_000),
    "swapped": swap_items,
    "strings": lambda frame: frame.assign(userId="u-" + frame["userId"].astype(str)),
    "scale": lambda frame: frame.assign(rating=frame["rating"] * 2),
    "few": lambda frame: frame.head(60),
    "not a number": lambda frame: frame.assign(rating=["4"] * 7 + ["good"] + ["3"] * (len(frame) - 8)),
    "untimed": lambda frame: frame.drop(columns="timestamp"),
}


def poisoned(kind: str) -> pd.DataFrame:
    return POISONS[kind](ratings_of_day(3))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("shuffled", "agreement with the champion .*nothing to do with their items"),
        ("halved", "drift of the mean .*the mean is 1.*drift of the histogram"),
        ("column", "the column for the item is missing; columns found: 'userId', 'rating', 'timestamp'"),
        ("foreign", r"share of new items 1 \(limit 0.6\): the items are not those known"),
        ("swapped", "agreement with the champion"),
        ("strings", "user ids that are no integers, the first of them 'u-"),
        ("scale", "share off the scale .*ratings outside 0.5 to 5: another scale"),
        ("few", r"new ratings 60 \(limit 100\): too few"),
        ("not a number", "row 8.*found 'good'"),
        ("untimed", "have no timestamps"),
    ],
)
def test_a_poisoned_night_is_refused_with_the_reason(home, kind, reason) -> None:
    before = (registry_of(home).aliases(), registry_of(home).ids(), open_latest(home / "store").path)
    deliver(home.parent / "incoming", 3, poisoned(kind))
    limits = {"min_new_ratings": 100} if kind == "few" else {}
    outcome, _ = run_night(config_of(home, 3, **limits))
    assert outcome.code == 20
    assert re.search(reason, outcome.summary), outcome.summary
    assert outcome.version is None
    assert (registry_of(home).aliases(), registry_of(home).ids(), open_latest(home / "store").path) == before
    assert reason.split(" ")[0] in (NightFolder.of(home, date(3)).path / "report.md").read_text()
    # the same date returns the same, and a good file the next night is taken in
    assert run_night(config_of(home, 3, **limits)) == (outcome, True)
    if kind == "shuffled":
        deliver(home.parent / "incoming", 3)
        assert run_night(config_of(home, 4))[0].code == 0


@pytest.mark.long
def test_a_bad_file_does_not_hide_behind_a_good_one(home) -> None:
    bad = deliver(home.parent / "incoming", 3, POISONS["shuffled"](ratings_of_day(3, n=600)))
    deliver(home.parent / "incoming", 4, ratings_of_day(4, n=600))
    outcome, _ = run_night(config_of(home, 4))
    assert outcome.code == 20
    assert re.fullmatch(
        r"agreement with the champion .* shuffled, or foreign ids\? \(in ratings-2024-05-03.csv\)\. "
        r"Put the file right or take it away, and run this date again, or leave it to the next night\.",
        outcome.summary,
    )
    bad.unlink()
    assert run_night(config_of(home, 5))[0].code == 0
    assert open_latest(home / "store").n_input == 480 + 600


@pytest.mark.long
def test_a_refused_night_runs_again_when_its_files_have_changed(home) -> None:
    path = deliver(home.parent / "incoming", 3, poisoned("shuffled"))
    refused, _ = run_night(config_of(home, 3))
    assert refused.code == 20
    assert run_night(config_of(home, 3)) == (refused, True)
    deliver(home.parent / "incoming", 3)
    outcome, ended_before = run_night(config_of(home, 3))
    assert (outcome.code, ended_before) == (0, False)
    assert run_night(config_of(home, 3)) == (outcome, True)
    path.unlink()  # a night that was not refused stands, whatever becomes of its files
    assert run_night(config_of(home, 3)) == (outcome, True)


@pytest.mark.long
def test_a_refused_night_is_too_late_after_a_later_one(home) -> None:
    deliver(home.parent / "incoming", 3, poisoned("shuffled"))
    assert run_night(config_of(home, 3))[0].code == 20
    deliver(home.parent / "incoming", 3)
    assert run_night(config_of(home, 4))[0].code == 0
    outcome, ended_before = run_night(config_of(home, 3))
    assert (outcome.code, ended_before) == (20, False)
    assert "the store knows ratings up to 2024-05-04 already" in outcome.summary


def test_small_files_are_looked_at_together(home) -> None:
    for hour in range(4):
        part = poisoned("shuffled").iloc[60 * hour : 60 * (hour + 1)]
        part.to_csv(home.parent / "incoming" / f"hour-{hour}.csv", index=False)
    outcome, _ = run_night(config_of(home, 3))
    assert outcome.code == 20
    assert "agreement with the champion" in outcome.summary
    assert "(in 4 small files)" in outcome.summary


@pytest.mark.long
def test_too_many_bad_rows_are_refused(home) -> None:
    frame = ratings_of_day(3).astype({"rating": object})
    frame.loc[:50, "rating"] = "bad"
    deliver(home.parent / "incoming", 3, frame)
    outcome, _ = run_night(config_of(home, 3, invalid="drop"))
    assert outcome.code == 20
    assert "share of bad rows 0.2125 (limit 0.05): too many rows are unusable" in outcome.summary
    assert run_night(config_of(home, 4, invalid="drop", max_dropped_share=0.5))[0].code == 0


def test_too_many_strangers_are_refused_if_asked(home) -> None:
    deliver(home.parent / "incoming", 3)
    outcome, _ = run_night(config_of(home, 3, max_new_users=0.01))
    assert "share by new users" in outcome.summary


def test_a_date_before_the_first_rating(tmp_path) -> None:
    deliver(tmp_path / "incoming", 3)
    outcome, _ = run_night(config_of(tmp_path / "home", 1))
    assert outcome.code == 20
    assert "the first rating is of 2024-05-03" in outcome.summary
    assert "expected ratings up to 2024-05-01 23:59:59 UTC" in outcome.summary
    assert outcome.champion is None


def test_a_clock_that_went_back(home) -> None:
    champion = registry_of(home).resolve("champion")
    outcome, _ = run_night(config_of(home, 0))
    assert outcome.code == 20
    assert outcome.champion == champion
    assert (
        "knows ratings up to 2024-05-02 already, which is after 2024-04-30: did the clock go back?"
        in outcome.summary
    )


def test_the_first_night_with_nothing(tmp_path) -> None:
    (tmp_path / "incoming").mkdir()
    outcome, _ = run_night(config_of(tmp_path / "home", 1))
    assert (outcome.code, outcome.champion) == (0, None)


# --- the gate ----------------------------------------------------------------------------------------------


STIFF = {"tau": 9_000.0, "gamma": 9_000.0}
"""Regularisation that leaves nothing to learn."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_rmse": 0.01}, "RMSE: the errors are too large"),
        ({"min_reach": 1.0}, "reach: the lists show too few items"),
        ({**STIFF, "max_rmse_loss": 0.01}, r"RMSE against the champion's: [\d.]+ after [\d.]+"),
        (
            {**STIFF, "max_rmse_loss": 9.0, "max_cold_rmse_loss": 0.0, "cold_ratings": 99},
            r"RMSE of cold items against the champion's: [\d.]+ after",
        ),
    ],
)
def test_a_worse_model_is_refused(home, options, reason) -> None:
    registry = registry_of(home)
    champion = registry.resolve("champion")
    deliver(home.parent / "incoming", 3)
    outcome, _ = run_night(config_of(home, 3, **options))
    assert outcome.code == 10
    assert re.search(reason, outcome.summary), outcome.summary
    assert registry.aliases() == {"champion": champion, "challenger": outcome.version}
    assert not (NightFolder.of(home, date(3)).path / "recommendations").exists()
    assert run_night(config_of(home, 3))[0].code == 10
    if "min_reach" not in options:
        return
    # its ratings are judged again, with the next night's
    deliver(home.parent / "incoming", 4)
    assert run_night(config_of(home, 4))[0].code == 0
    assert NightFolder.of(home, date(4)).read("begun.json")["since"] == 480


@pytest.mark.long
def test_a_worse_order_is_refused(home, monkeypatch) -> None:
    deliver(home.parent / "incoming", 3)
    real = promotion.score_lists

    def worse(task, scorer):
        users, lists = real(task, scorer)
        return users._replace(ndcg=users.ndcg * (0.0 if scorer.name == "challenger" else 1.0)), lists

    monkeypatch.setattr(promotion, "score_lists", worse)
    outcome, _ = run_night(config_of(home, 3, max_ndcg_loss=0.0))
    assert outcome.code == 10
    assert "gain of NDCG over the champion: NDCG@10 fell by" in outcome.summary


@pytest.mark.parametrize(
    ("gain", "passed", "reason"),
    [
        ([0.1, 0.2, 0.1], True, ""),
        ([-0.01, -0.012, -0.011], True, ""),
        (
            [-0.5, 0.4, -0.05],
            True,
            r"NDCG@10 is 0\.0500 lower, which may be chance: over 3 users it gained between -0\.5592",
        ),
        ([-0.5, -0.4, -0.45], False, r"NDCG@10 fell by 0\.4500, beyond chance \(by 0\.3934 at least\)"),
    ],
    ids=["gained", "within the limit", "perhaps chance", "lost"],
)
def test_what_a_loss_that_passed_means_is_said(gain, passed, reason) -> None:
    check = promotion._ndcg_check(np.array(gain), -0.02)
    assert (check.passed, check.limit, check.value) == (passed, -0.02, pytest.approx(np.mean(gain)))
    assert re.match(reason or "$", check.reason), check.reason


@pytest.mark.long
def test_the_first_champion_needs_absolute_limits_only(tmp_path) -> None:
    deliver(tmp_path / "incoming", 1)
    outcome, _ = run_night(config_of(tmp_path / "home", 1, max_rmse=0.01))
    assert outcome.code == 10
    assert outcome.champion is None
    assert registry_of(tmp_path / "home").aliases() == {"challenger": outcome.version}
    assert run_night(config_of(tmp_path / "home", 2, max_rmse=3.0))[0].code == 0


@pytest.mark.long
def test_values_that_are_not_finite_are_refused(home, monkeypatch) -> None:
    deliver(home.parent / "incoming", 3)
    real = training._trained

    def broken(*arguments):
        model, spent = real(*arguments)
        model.item_rows[3, 0] = np.nan
        return model, spent

    monkeypatch.setattr(training, "_trained", broken)
    outcome, _ = run_night(config_of(home, 3))
    assert outcome.code == 10
    assert "values not finite: 1 values are not finite" in outcome.summary


def test_a_training_that_fails_numerically_is_refused(home, monkeypatch) -> None:
    deliver(home.parent / "incoming", 3)

    def fail(*_, **__):
        raise NumericalError("the solution is not finite", where="user 7")

    monkeypatch.setattr(training, "train_split", fail)
    outcome, _ = run_night(config_of(home, 3))
    assert (outcome.code, outcome.summary) == (10, "user 7: the solution is not finite.")


# --- faults ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_two_at_once_exclude_each_other(home) -> None:
    owner = {"host": socket.gethostname(), "pid": os.getppid(), "token": "t", "expires": time.time() + 60}
    from daskals.store.lock import process_start

    deliver(home.parent / "incoming", 3)
    lock = home / "retrain.lock"
    lock.write_text(json.dumps({**owner, "process_started": process_start(os.getppid())}))
    with pytest.raises(OutputError, match=rf"is in use by process {os.getppid()} on {socket.gethostname()}"):
        run_night(config_of(home, 3))
    result = CliRunner().invoke(main, command(home, 3))
    assert result.exit_code == 30
    assert f"process {os.getppid()}" in result.output
    # a dead one's is taken over, and said so
    lock.write_text(json.dumps({**owner, "pid": 2**22 - 9, "process_started": 1.0}))
    assert run_night(config_of(home, 3))[0].code == 0
    log = read_log(NightFolder.of(home, date(3)).path / "log.jsonl")
    assert any(f"took the lock over from process {2**22 - 9}" in event.get("text", "") for event in log)
    assert not lock.exists()


@pytest.mark.long
def test_registries_that_cannot_be_used(home) -> None:
    deliver(home.parent / "incoming", 3)
    head = home / "registry" / "registry.json"
    head.write_text('{"format": "daskals-registry", "format_version": 7}')
    with pytest.raises(RegistryError, match="format version 7; expected a version up to 1"):
        run_night(config_of(home, 3))
    assert CliRunner().invoke(main, command(home, 3)).exit_code == 30
    head.write_text('{"format": "daskals-registry", "format_version": 1}')
    registry = registry_of(home)
    manifest = home / "registry" / "versions" / f"{registry.resolve('champion')}.json"
    kept = manifest.read_bytes()
    manifest.unlink()
    with pytest.raises(RegistryError, match=r"alias champion|which is not there|there is no version"):
        run_night(config_of(home, 3))
    manifest.write_bytes(kept)
    assert run_night(config_of(home, 3))[0].code == 0


@pytest.mark.long
def test_permission_denied(home, monkeypatch) -> None:
    deliver(home.parent / "incoming", 3)

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(home / "nights"))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", denied)
        with pytest.raises(OutputError, match=r"nights/2024-05-03: cannot be written \(Permission denied\)"):
            run_night(config_of(home, 3))
    for owner, name in ((atomic_file, "sync_path"), (publication, "night_name"), (training.shutil, "rmtree")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, denied)
            with pytest.raises(OutputError, match="Permission denied"):
                run_night(config_of(home, 3))
    with pytest.raises(
        ConfigError, match=r"data=.*nowhere.: does not exist; expected a ratings file, or a folder"
    ):
        run_night(config_of(home, 4, data=home / "nowhere"))
    assert run_night(config_of(home, 3))[0].code == 0


@pytest.mark.long
def test_a_champion_moved_by_hand_meanwhile_is_left_alone(home, monkeypatch) -> None:
    deliver(home.parent / "incoming", 3)
    registry = registry_of(home)
    first = registry.versions()[0].id
    real = publication._promote

    def interfere(night, version) -> None:
        registry.rollback(to=first)
        real(night, version)

    monkeypatch.setattr(publication, "_promote", interfere)
    with pytest.raises(RegistryError, match=f"champion was moved to {first} meanwhile"):
        run_night(config_of(home, 3))
    assert registry.resolve("champion") == first


# --- the command -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_command_and_its_exit_codes(tmp_path) -> None:
    home = tmp_path / "home"
    deliver(tmp_path / "incoming", 1)
    first = CliRunner().invoke(main, command(home, 1))
    assert first.exit_code == 0, first.output
    version = registry_of(home).resolve("champion")
    assert first.stdout.startswith("Night of 2024-05-01: promoted (code 0)\n")
    assert f"promoted {version}" in first.stdout
    assert re.search(r"\n +what +found +limit +passed +why\s*\n", first.stdout)
    assert "epoch 4/4" in first.stderr
    assert f"saved {home}/nights/2024-05-01/report.html" in first.stderr
    again = CliRunner().invoke(main, [*command(home, 1), "--quiet", "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["version"] == version
    assert again.stderr == "the night of 2024-05-01 ended before: nothing was done\n"
    deliver(tmp_path / "incoming", 2, poisoned("foreign"))
    assert CliRunner().invoke(main, command(home, 2)).exit_code == 20
    deliver(tmp_path / "incoming", 2)
    assert CliRunner().invoke(main, command(home, 3, max_rmse=0.01)).exit_code == 10
    for options, message in (
        ({"as_of": "soon"}, "--as-of: found 'soon'; expected a date such as"),
        ({"holdout": 2}, "--holdout: found '2'"),
        ({"model": "bayes"}, "found bayes, which has no factors to start from"),
    ):
        failed = CliRunner().invoke(main, command(home, 4, **options))
        assert failed.exit_code == 30
        assert message in failed.stderr
    file = tmp_path / "job.toml"
    file.write_text(f'as-of = "2024-05-01"\ndata = "{tmp_path}/incoming"\nhome = "{home}"\n')
    assert CliRunner().invoke(main, ["--config", str(file)]).exit_code == 0


def test_an_outcome_survives_the_disk() -> None:
    outcome = Outcome(as_of="2024-05-01", code=20, summary="why", checks=[])
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_what_is_called_reach_was_called_coverage(tmp_path) -> None:
    """Beside evaluation's coverage, which is of all items in the lists of all that are scored."""
    figures = {
        "n_held_out": 9,
        "challenger": {"rmse": 0.9, "coverage": 0.25},
        "final_training": {"epochs": 1},
    }
    written = Outcome(as_of="2024-05-01", code=0, summary="promoted", figures=figures).to_json()
    assert Outcome.from_json(written).figures["challenger"] == {"rmse": 0.9, "reach": 0.25}
    shown = next(tables(Outcome.from_json(written.replace('"final_training"', '"other"'))))
    assert ["reach (rated items listed)", "0.25"] in shown.rows
    named = {"as_of": "2024-05-01", "data": tmp_path, "home": tmp_path}
    older = RetrainConfig.parse({**named, "min_coverage": 0.5})
    assert older.min_reach == 0.5
    ran = CliRunner().invoke(main, ["--min-coverage", "2", "--as-of", "2024-05-01"])
    assert "found '2'" in ran.output
