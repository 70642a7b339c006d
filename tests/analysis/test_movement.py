"""How genres and titles move: planted rises are found, and places are what predictions say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.analysis.geometry import describe_geometry
from daskals.analysis.movement import STRETCHES, TITLES, describe_movement
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.plots.movement import MOST_PANELS, spread_line
from daskals.store.timing import DAY_SECONDS, Timing
from jobs import geometry
from tests.cases.commands import run
from tests.cases.insight_cases import HOSTILE, check_page

pytestmark = pytest.mark.usefixtures("no_baseline")

START = 1_000_000_000 // DAY_SECONDS * DAY_SECONDS
N_USERS, N_ITEMS, N_DAYS = 50, 24, 40
RISE = 1.2
"""By which the genre Up rises and Down falls, from the first day to the last."""


def moving() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ratings, and a catalogue in which every other item is of Up, the others of Down."""
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.6)
    days = rng.integers(0, N_DAYS, len(users))
    side = np.where(items % 2 == 0, 1.0, -1.0)
    ratings = 3.0 + 0.3 * rng.normal(size=N_ITEMS)[items] + side * RISE * (days / (N_DAYS - 1) - 0.5)
    ratings += 0.2 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings.astype(np.float32)})
    genres = [["Up"] if item % 2 == 0 else ["Down"] for item in range(N_ITEMS)]
    titles = [f"{HOSTILE}{item}" for item in range(N_ITEMS)]
    catalogue = pd.DataFrame({"item": range(N_ITEMS), "title": titles, "genres": genres})
    return frame.assign(timestamp=START + DAY_SECONDS * days), catalogue


@pytest.fixture(scope="module")
def timed(client) -> Model:
    frame, catalogue = moving()
    config = TrainConfig(
        model="bayes", rank=2, split="none", warm_start=2, sweeps=60, burn_in=30, keep_samples=15,
        order="rating", time_bins="day",
    )  # fmt: skip
    return fit(frame, config, client, catalogue=catalogue)


def mean_predictions(model: Model) -> np.ndarray:
    """Return the mean prediction over all users of each item on each date, less that of all items."""
    n_dates = len(model.times.timing.bins)
    users, items, dates = (
        part.ravel() for part in np.meshgrid(range(N_USERS), range(N_ITEMS), range(n_dates), indexing="ij")
    )
    means = model.predict_rows(users, items, dates).reshape(N_USERS, N_ITEMS, n_dates).mean(axis=0)
    return means - model.item_counts @ means / model.item_counts.sum()


def check_places(model: Model, atol: float) -> None:
    """Places are means of predictions, taken one by one."""
    found, counts = describe_movement(model, [3, 4]), model.times.timing.counts
    places = mean_predictions(model)
    for row, told in zip((3, 4), found["titles"]["moved"], strict=True):
        assert told["level"] == pytest.approx(places[row] @ counts / counts.sum(), abs=atol)
        assert told["n_ratings"] == model.item_counts[row]
    up = np.flatnonzero(np.asarray(model.item_ids) % 2 == 0)
    of_up = model.item_counts[up] @ places[up] / model.item_counts[up].sum()
    told = next(one for one in found["genres"]["moved"] if one["name"] == "Up")
    days = model.times.timing.bins
    for stretch, move in zip(found["stretches"], told["moves"], strict=True):
        ends = np.array([stretch["first"], stretch["last"]], "datetime64[D]").astype(np.int64)
        own = (days >= ends[0]) & (days <= ends[1])
        assert stretch["n_ratings"] == counts[own].sum()
        expected = of_up[own] @ counts[own] / counts[own].sum()
        assert told["level"] + move == pytest.approx(expected, abs=atol)


def test_planted_rises_are_found(timed):
    found = describe_movement(timed)
    assert [one["name"] for one in found["genres"]["moved"]] in (["Up", "Down"], ["Down", "Up"])
    for one in found["genres"]["moved"]:
        # thirds of evenly spread days are two thirds of the way apart
        planted = (1 if one["name"] == "Up" else -1) * RISE * 2 / 3
        assert one["rise"] == pytest.approx(planted, rel=0.2)
        assert 0 < one["rise_deviation"] < abs(one["rise"]) / 4
        assert np.corrcoef(one["moves"], np.arange(len(one["moves"])))[0, 1] * planted > 0.5
    assert found["spread"]["agreed"] == pytest.approx(RISE / np.sqrt(12), rel=0.2)
    assert found["spread"]["drawn"] >= found["spread"]["agreed"]
    assert len(found["titles"]["moved"]) == TITLES
    assert 2 <= len(found["stretches"]) <= STRETCHES


def test_places_are_mean_predictions_whatever_date_the_model_is_as_of(timed):
    check_places(timed, 1e-5)
    there = describe_movement(timed)["genres"]["moved"]
    other = describe_movement(timed.as_of("2001-09-20"))["genres"]["moved"]
    for one, same in zip(there, other, strict=True):
        assert same["moves"] == pytest.approx(one["moves"], abs=1e-5)


def test_model_that_took_ratings_in_has_places_without_deviations(timed):
    new = moving()[0].iloc[[0]].assign(rating=3.0)
    updated = timed.update(new)
    assert updated.samples is None
    check_places(updated, 1e-5)
    found = describe_movement(updated)
    assert found["genres"]["moved"][0]["deviations"] is None
    assert found["genres"]["moved"][0]["rise_deviation"] is None
    assert found["spread"]["agreed"] is None
    assert "agree" not in spread_line(found)


@pytest.mark.long
def test_page_shows_it_and_titles_stay_text(timed, tmp_path: Path):
    timed.save(tmp_path / "model")
    result = run(geometry, tmp_path / "model", "--over-time", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "out" / "geometry.json").read_text(encoding="utf-8"))["movement"]
    assert spread_line(numbers) in result.output
    for name in ("how-genres-move", "how-titles-move"):
        assert (tmp_path / "out" / "figures" / f"{name}.png").is_file()
    check_page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert TITLES <= MOST_PANELS
    assert "movement" not in describe_geometry(timed)


def test_model_without_dates_is_one_message(timed, tmp_path: Path):
    replace(timed, times=None, samples=None, kept=None).save(tmp_path / "model")
    result = run(geometry, tmp_path / "model", "--over-time", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output == (
        "error: --over-time: the model knows no dates; expected a model with a third side of time. "
        "Train one with --model bayes --time-bins day, or leave --over-time out.\n"
    )
    assert not (tmp_path / "out").exists()


def test_without_genres_titles_move_all_the_same(timed):
    found = describe_movement(replace(timed, catalogue=None), [timed.find_item(2)])
    assert found["genres"] == {"missing": "the model's items have no genres"}
    assert [one["name"] for one in found["titles"]["moved"]] == ["item 2"]


def test_ends_are_there_however_heavy_a_date_is(timed):
    counts = np.array([1, 500, 1])
    few = Timing("day", timed.times.timing.bins[:3], counts)
    samples = replace(timed.samples, times=timed.samples.times[[0, 1, 2, -1]])
    found = describe_movement(replace(timed, times=replace(timed.times, timing=few), samples=samples))
    assert [one["n_ratings"] for one in found["stretches"]] == [1, 500, 1]
    assert all(np.isfinite(one["rise"]) for one in found["genres"]["moved"])
