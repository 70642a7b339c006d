"""Nothing depends on the unit of ratings: times c and plus d, predictions follow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskals.config import TrainConfig
from daskals.fitting import chains, selection
from daskals.fitting.baseline import baseline_section
from daskals.fitting.fit import fit
from daskals.store.standard import decimals, standard_of, standardise, standardised_ratings
from daskals.types import AS_RATED, RatingsBlock, Standard
from tests.cases.planted import planted

pytestmark = pytest.mark.usefixtures("no_baseline")

UNITS = [(1e-3, 0.0), (2000.0, 0.0), (0.2, -3.0), (20.0, 100.0)]

OPTIONS = {
    "als": {"model": "als", "epochs": 6},
    "hierarchical": {"model": "hierarchical", "epochs": 6},
    "bayes": {"model": "bayes", "sweeps": 12, "burn_in": 4, "keep_samples": 8},
    "bias": {"model": "bias", "epochs": 6},
}


def with_genres(frame: pd.DataFrame, genre: np.ndarray, folder, c: float, d: float) -> str:
    """Write the planted ratings times c plus d, with their genres."""
    folder.mkdir()
    ratings = [f"{c * rating + d:.10g}" for rating in frame["rating"]]
    frame.assign(rating=ratings, timestamp=0).rename(columns={"user": "userId", "item": "movieId"}).to_csv(
        folder / "ratings.csv", index=False
    )
    lines = [f"{item},Film {item},Genre{kind}" for item, kind in enumerate(genre)]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(lines) + "\n")
    return str(folder)


@pytest.mark.long
@pytest.mark.parametrize("kind", OPTIONS)
def test_predictions_follow_the_unit(kind, client, tmp_path, monkeypatch):
    if kind == "als":
        monkeypatch.setattr("daskals.fitting.fit.baseline_section", baseline_section)
    frame, genre = planted()
    config = TrainConfig.parse({**OPTIONS[kind], "rank": 3, "test_fraction": 0.2})

    def predictions(name: str, c: float, d: float) -> tuple[np.ndarray, dict]:
        model = fit(with_genres(frame, genre, tmp_path / name, c, d), config, client)
        found = model.predict(frame["user"].to_numpy(), frame["item"].to_numpy()).rating
        return (np.asarray(found, np.float64) - d) / c, model.report

    expected, report = predictions("as-is", 1.0, 0.0)
    spread = float(np.std(expected))
    # the ratings that a model sees are standardised in one place
    for n, (c, d) in enumerate(UNITS if kind == "als" else UNITS[-1:]):
        found, own = predictions(f"unit-{n}", c, d)
        assert np.max(np.abs(found - expected)) < 1e-5 * report["standard"]["deviation"], (c, d)
        assert own["test_rmse"] == pytest.approx(c * report["test_rmse"], rel=1e-5)
        if kind == "als":
            assert own["baseline"]["test_rmse"] == pytest.approx(
                c * report["baseline"]["test_rmse"], rel=1e-5
            )
        assert own["history"][-1]["train_rmse"] == pytest.approx(
            c * report["history"][-1]["train_rmse"], rel=1e-4
        )
    assert spread > 0.3


@pytest.mark.long
@pytest.mark.parametrize("confidence", [pytest.param("linear", marks=pytest.mark.slow), "log"])
def test_scores_do_not_follow_what_counts_are_counted_in(client, confidence):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((40, 30)) < 0.3)
    frame = pd.DataFrame({"user": users, "item": items, "rating": rng.integers(1, 9, len(users))})
    options = {"model": "ials", "rank": 3, "epochs": 5, "split": "none", "confidence": confidence}

    def scores(c: float, **changes) -> np.ndarray:
        config = TrainConfig.parse({**options, **changes})
        model = fit(frame.assign(rating=c * frame["rating"].astype(float)), config, client)
        folded = model.fold_in({0: c * 3, 7: c * 5})  # as training weighs them, whatever the unit
        known = model.predict(users, items).rating
        return np.concatenate([np.asarray(known, np.float64), folded.factors @ model.item_factors.T])

    expected = scores(1.0, confidence_unit="mean")
    assert np.max(np.abs(scores(2000.0, confidence_unit="mean") - expected)) < 1e-5 * 2
    other = scores(20.0, confidence_unit="count") - scores(1.0, confidence_unit="count")
    assert np.max(np.abs(other)) > 1e-2
    clicks = frame.assign(rating=1.0)
    same = [
        fit(clicks, TrainConfig.parse({**options, "confidence_unit": unit}), client).factors_sha256()
        for unit in ("count", "mean")
    ]
    assert same[0] == same[1]


@pytest.mark.long
def test_auto_chooses_the_same_in_any_unit(client, tmp_path, monkeypatch):
    # no chain: those are bayes, above; a search's decisions and the model that comes of them
    monkeypatch.setattr(chains, "CHAINS", ((10**7, 10**7),))
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0, 8.0))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (25.0, 8.0))
    monkeypatch.setattr(selection, "FEATURE_RIDGES", (2.5,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    frame, genre = planted()
    config = TrainConfig.parse({"rank": 3, "test_fraction": 0.2, "order": "rating"})

    def trained(name: str, c: float, d: float) -> tuple[np.ndarray, dict]:
        model = fit(with_genres(frame, genre, tmp_path / name, c, d), config, client)
        found = model.predict(frame["user"].to_numpy(), frame["item"].to_numpy()).rating
        return (np.asarray(found, np.float64) - d) / c, model.report

    expected, report = trained("as-is", 1.0, 0.0)
    chosen, spread = report["selection"], report["standard"]["deviation"]
    c, d = 2000.0, 100.0
    found, own = trained("another", c, d)
    assert own["selection"]["options"] == chosen["options"]
    for tried, before in zip(own["selection"]["trials"], chosen["trials"], strict=True):
        assert tried["epochs"] == before["epochs"]
        assert tried["validation_rmse"] == pytest.approx(c * before["validation_rmse"], rel=1e-4)
    assert np.max(np.abs(found - expected)) < 1e-5 * spread


@given(c=st.floats(1e-3, 2e3), d=st.floats(-100, 100), sign=st.sampled_from([1, -1]))
def test_what_training_sees_is_the_same_in_any_unit(c, d, sign):
    stars = np.array([0.5, 1, 2.5, 4, 5])
    codes = np.array([0, 1, 1, 2, 3, 3, 3, 4], np.uint8)
    nothing = np.empty(0, np.float32)

    def seen(ratings: np.ndarray) -> np.ndarray:
        values = ratings.astype(np.float32)[codes]
        standard = standard_of([values], nothing, float(np.mean(values, dtype=np.float64)), len(values))
        return standardised_ratings(values, standard, has_scale=False)

    # a shift costs what float32 has no digits for
    lost = np.finfo(np.float32).eps * (1 + abs(d) / c)
    np.testing.assert_allclose(seen(sign * c * stars + d), sign * seen(stars), atol=1e-5 + 8 * lost)


def test_named_ridges_are_in_rating_points(client):
    frame, _ = planted()
    settings = {"model": "als", "epochs": 3, "rank": 3}
    named = TrainConfig.parse({**settings, "tau": 0.05})
    assert named.taken_units == "ratings"
    assert TrainConfig.parse(settings).taken_units == "deviations"
    assert TrainConfig.parse({**settings, "tau": 0.05, "units": "deviations"}).taken_units == "deviations"
    model = fit(frame, named, client)
    assert model.ridge == named.ridge
    assert TrainConfig.from_report(model.report["config"]).taken_units == "ratings"
    free = fit(frame, TrainConfig.parse(settings), client)
    deviation = free.report["standard"]["deviation"]
    assert free.ridge.factors == pytest.approx(25 * deviation)
    assert TrainConfig.from_report(free.report["config"]).taken_units == "deviations"


def test_a_users_own_ratings_fold_in_to_the_trained_row(client):
    frame, _ = planted()
    ratings = frame.assign(rating=20 * frame["rating"])
    model = fit(ratings, TrainConfig.parse({"model": "als", "split": "none", "rank": 3, "epochs": 4}), client)
    own = frame[frame["user"] == 7]
    profile = model.fold_in(dict(zip(own["item"], 20 * own["rating"], strict=True)))
    np.testing.assert_allclose(profile.factors, model.user_factors[model.find_user(7)], rtol=1e-3, atol=1e-4)


def test_scale_is_read_as_it_was_written():
    written = np.array([100.0005, 100.0035, 100.005])
    scale = written.astype(np.float32)
    assert np.max(np.abs(scale.astype(np.float64) - written)) > 1e-7
    # float32 has seven digits: what was written with no more comes back
    np.testing.assert_array_equal(decimals(np.array([0.7, 3.5], np.float32)), [0.7, 3.5])


def test_standard_of_codes_and_of_values():
    scale = np.array([1, 2, 4], np.float32)
    codes = np.array([0, 0, 1, 2], np.uint8)
    found = standard_of([codes[:2], codes[2:]], scale, 0.0, 4)
    assert found == Standard(2.0, pytest.approx(np.std([1, 1, 2, 4])))
    values = scale[codes]
    assert standard_of([values], np.empty(0, np.float32), 2.0, 4) == found
    assert standard_of([codes[:1]], scale, 0.0, 1) == Standard(1.0, 1.0, is_constant=True)


def test_standardise_leaves_ratings_that_stay_as_they_are():
    scale = np.array([1, 3], np.float32)
    block = RatingsBlock(0, np.array([0, 2]), np.array([0, 1], np.int32), np.array([0, 1], np.uint8), scale)
    assert standardise(block, AS_RATED) is block
    np.testing.assert_array_equal(standardise(block, Standard(2.0, 0.5)).ratings, [-2, 2])
    plain = block._replace(values=scale, scale=np.empty(0, np.float32))
    np.testing.assert_array_equal(standardise(plain, Standard(2.0, 0.5)).ratings, [-2, 2])
