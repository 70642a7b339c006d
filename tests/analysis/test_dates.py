"""What dates do to ratings: planted levels are found, in ratings and by models; without dates, nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.analysis.biases import fit_biases, slices
from daskals.analysis.dates import date_biases, deviations_in_time
from daskals.analysis.level import smooth_level
from daskals.analysis.periods import MOST_SHOWN, shown_periods
from daskals.config import TrainConfig
from daskals.fitting.baseline import RIDGE
from daskals.fitting.fit import fit
from daskals.ingest import ingest
from daskals.model.fitted import Model
from daskals.store.reader import RatingsStore, open_store
from daskals.store.timing import days_of
from jobs import report
from tests.cases.commands import run
from tests.cases.insight_cases import bare_table, check_page, stored

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY = 86_400
START = 1_000_000_000 // DAY
N_DAYS = 60


def wandering(folder: Path) -> tuple[RatingsStore, np.ndarray]:
    """Return ratings whose level wanders from day to day, and that level."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((60, 50)) < 0.5)
    days = rng.integers(0, N_DAYS, len(users))
    level = np.cumsum(0.15 * rng.normal(size=N_DAYS))
    ratings = 3.5 + level[days] + 0.5 * rng.normal(size=60)[users] + 0.4 * rng.normal(size=50)[items]
    ratings += 0.3 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings.astype(np.float32)})
    frame.assign(timestamp=DAY * (START + days)).to_csv(folder / "ratings.csv", index=False)
    ingest(folder / "ratings.csv", folder / "store")
    return open_store(folder / "store"), level


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[RatingsStore, np.ndarray]:
    return wandering(tmp_path_factory.mktemp("wandering"))


@pytest.fixture(scope="module")
def timed(client, planted) -> Model:
    config = TrainConfig(
        model="bayes", rank=2, test_fraction=0.2, warm_start=2, sweeps=30, burn_in=10, keep_samples=10,
        order="rating", time_bins="day", seed=1,
    )  # fmt: skip
    return fit(planted[0], config, client)


def test_level_of_ratings_is_found(planted):
    store, level = planted
    found = deviations_in_time(store)
    assert (found["unit"], found["days"], sum(found["n_ratings"])) == ("day", N_DAYS, store.n_ratings)
    assert np.corrcoef(found["level"], level)[0, 1] > 0.98
    assert found["walk"] == pytest.approx(0.15, rel=0.5)
    centred = level - np.average(level, weights=found["n_ratings"])
    within = np.abs(np.array(found["level"]) - centred) < 1.645 * np.array(found["level_deviations"])
    assert within.mean() > 0.7


def test_biases_are_those_that_ridge_means_settle_at(planted, monkeypatch):
    store = planted[0]
    whole = fit_biases(store)
    with monkeypatch.context() as patch:
        patch.setattr("daskals.analysis.biases.RATINGS_AT_ONCE", 400)
        for part, one in zip(fit_biases(store), whole, strict=True):
            np.testing.assert_allclose(part, one, atol=1e-9)
    monkeypatch.setattr("daskals.analysis.biases.SETTLED", 0.0)
    settled = fit_biases(store)
    np.testing.assert_allclose(whole.item, settled.item, atol=0.01)
    # where they settle, each is the ridge mean of what the others leave
    (piece,) = slices(store, "item")
    left = np.bincount(piece.own, piece.ratings - settled.mean - settled.user[piece.other])
    np.testing.assert_allclose(settled.item, left / (np.bincount(piece.own) + RIDGE), atol=1e-5)


@pytest.mark.parametrize(("walk", "scatter"), [(0.0, 0.3), (0.1, 0.0), (0.05, 0.2)])
def test_line_bends_as_far_as_the_means_ask(walk, scatter):
    rng = np.random.default_rng(0)
    numbers = np.delete(np.arange(320), slice(100, 120))
    level = np.cumsum(walk * rng.normal(size=320))[numbers]
    variances = np.full(300, 0.01)
    values = level + scatter * rng.normal(size=300) + np.sqrt(variances) * rng.normal(size=300)
    found = smooth_level(numbers, values, variances)
    assert (found.walk, found.scatter) == pytest.approx((walk, scatter), abs=0.03)
    assert np.mean(np.abs(found.means - level) < 1.645 * found.deviations) == pytest.approx(0.9, abs=0.1)
    if walk:  # over the gap nobody knows as much
        assert found.deviations[99] > found.deviations[50]


def test_means_that_are_all_the_same_have_a_level():
    found = smooth_level(np.arange(3), np.zeros(3), np.full(3, 1e-12))
    np.testing.assert_allclose(found.means, 0.0, atol=1e-12)


def test_periods_are_the_finest_that_are_few():
    for n_days, unit in ((MOST_SHOWN, "day"), (MOST_SHOWN + 1, "week"), (8 * MOST_SHOWN, "month")):
        found = shown_periods(START + np.arange(n_days))
        assert found.unit == unit
        assert len(found.places) == n_days
        begins = days_of(found.numbers, unit).astype("datetime64[D]")
        assert begins.astype(str).tolist() == found.first_days
    assert shown_periods(np.array([START]), "month").first_days == ["2001-09-01"]


def test_ratings_without_dates_or_of_one_day_say_so(planted, tmp_path):
    bare = bare_table()
    assert deviations_in_time(stored(bare, tmp_path / "bare"))["missing"] == "the ratings have no timestamps"
    one = type(bare)(**{**vars(bare), "timestamps": np.full(bare.n_ratings, DAY * START)})
    assert deviations_in_time(stored(one, tmp_path / "one"))["missing"] == "all ratings were made on one day"


def test_b_t_of_a_model_is_the_level(timed, planted):
    found, level = date_biases(timed), planted[1]
    assert np.corrcoef(found["biases"], level)[0, 1] > 0.95
    assert found["n_ratings"] == timed.times.timing.counts.tolist()
    assert found["line"]["biases"] == pytest.approx(found["biases"])  # days are few enough to be drawn
    assert np.all(np.array(found["deviations"]) > 0)
    # whatever date the model is as of, and without its samples too
    for other in (timed.as_of("2001-09-20"), replace(timed, samples=None)):
        assert date_biases(other)["biases"] == pytest.approx(found["biases"], abs=0.1)
    assert date_biases(replace(timed, samples=None))["deviations"] is None


def test_periods_of_a_model_are_means_by_ratings(timed, monkeypatch):
    monkeypatch.setattr("daskals.analysis.periods.MOST_SHOWN", 20)
    found = date_biases(timed)
    line = found["line"]
    assert (line["unit"], sum(line["n_ratings"])) == ("week", sum(found["n_ratings"]))
    total = np.dot(line["biases"], line["n_ratings"])
    assert total == pytest.approx(np.dot(found["biases"], found["n_ratings"]))
    assert max(line["deviations"]) < max(found["deviations"])


@pytest.mark.long
def test_report_shows_b_t_of_a_model_that_has_one(timed, tmp_path):
    timed.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "report.json").write_text(json.dumps(timed.report))
    result = run(report, tmp_path / "run")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "run" / "training"
    numbers = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert numbers["dates"]["biases"] == date_biases(timed)["biases"]
    assert (folder / "figures" / "what-a-date-adds-to-every-rating.png").is_file()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "60 days, 2001-09-09 to 2001-11-07" in page
    check_page(page)
    assert date_biases(replace(timed, times=None)) is None
