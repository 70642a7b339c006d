"""Anomalies: what was put in is found, what was not is not, and every list says what it cannot decide."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click.testing
import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from scipy import stats

from daskals.analysis.anomalies import injection, study
from daskals.analysis.anomalies.choices import choice_odds
from daskals.analysis.anomalies.find import LISTS, find_anomalies
from daskals.analysis.anomalies.injection import ATTACKS, Ratings
from daskals.analysis.anomalies.levels import residual_levels
from daskals.analysis.anomalies.ratings import Rated, read_rated
from daskals.analysis.anomalies.sharing import describe_profiles
from daskals.analysis.anomalies.sittings import find_sittings
from daskals.analysis.anomalies.tables import read_filters
from daskals.analysis.anomalies.testing import Variances, against_the_bulk, discoveries, fit_variances
from daskals.analysis.anomalies.trends import drifting_items, moving_levels, moving_tastes
from daskals.analysis.anomalies.words import describe_anomalies
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.kernels.statistics.leverages import leverages
from daskals.kernels.statistics.mixture import SittingRatings, compare_profiles
from daskals.kernels.statistics.permutation import block_moves
from daskals.kernels.statistics.regression import PersonPrior, RowRatings, evidences
from daskals.kernels.toolkit.random import key_of
from daskals.model.fitted import Model
from daskals.model.samples import Samples
from daskals.store.reader import RatingsStore
from jobs import anomalies, simulate
from tests.cases.insight_cases import bare_table, check_page, hostile_table, stored

pytestmark = pytest.mark.usefixtures("no_baseline")

QUICK = TrainConfig(model="als", rank=6, epochs=8, split="none", order="rating")


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(anomalies.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def store() -> RatingsStore:
    return resolve_store("synthetic-100k", ReadConfig())


@pytest.fixture(scope="module")
def plain(store: RatingsStore) -> Model:
    return fit(store, QUICK)


# --- pieces ------------------------------------------------------------------------------------------


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    p_values = np.array([0.001, np.nan, 0.02, 0.03, 0.9])
    # of four tests, thresholds 0.0125, 0.025, 0.0375 and 0.05
    np.testing.assert_array_equal(discoveries(p_values, 0.05), [True, False, True, True, False])
    assert not discoveries(np.full(3, np.nan), 0.05).any()
    np.testing.assert_array_equal(
        discoveries(p_values[~np.isnan(p_values)], 0.05),
        stats.false_discovery_control([0.001, 0.02, 0.03, 0.9]) <= 0.05,
    )


def test_p_values_are_held_against_the_bulk():
    rng = np.random.default_rng(5)
    scores = 1.2 * rng.normal(size=4000) + 0.1
    scores[:20] = 8.0
    p_values = np.append(stats.norm.sf(scores), np.nan)
    held = against_the_bulk(p_values)
    assert np.isnan(held[-1])
    assert np.mean(held[20:-1] < 0.05) == pytest.approx(0.05, abs=0.008)
    assert held[:20].max() < 1e-8
    np.testing.assert_array_equal(np.argsort(held[:-1]), np.argsort(p_values[:-1]))
    careful = rng.uniform(size=1000) ** 0.8  # fewer small ones than by chance
    np.testing.assert_allclose(against_the_bulk(careful), careful, atol=1e-9)
    np.testing.assert_array_equal(against_the_bulk(p_values[:50]), p_values[:50])


@pytest.mark.parametrize("freedom", [6.0, np.inf])
def test_scatter_of_variances_is_recovered_past_outliers(freedom: float) -> None:
    rng = np.random.default_rng(0)
    freedoms = rng.integers(10, 200, 4000).astype(float)
    true = Variances(2.0, freedom).draw(4000, rng)
    found = true * rng.chisquare(freedoms) / freedoms
    found[:100] *= 50
    fitted = fit_variances(found, freedoms)
    assert fitted.level == pytest.approx(2.0, rel=0.06)
    assert fitted.freedom == pytest.approx(freedom, rel=0.2) or fitted.freedom > 100
    clean = fitted.p_values(found[100:], freedoms[100:])
    assert np.mean(clean < 0.05) == pytest.approx(0.05, abs=0.015)


def test_leverages_equal_their_definition() -> None:
    rng = np.random.default_rng(0)
    other = np.zeros((6, 16), np.float32)
    other[:, :2] = rng.normal(size=(6, 2))
    other[:, 2] = 1.0
    indptr, indices = np.array([0, 4, 4, 6]), np.array([0, 2, 3, 5, 1, 4], np.int32)
    out, ridge = np.empty(6), np.array([2.0, 2.0, 0.5])
    sums = leverages(range(3), indptr, indices, other, ridge, 0.5, out)
    expected = np.zeros((3, 3))
    for row in range(3):
        x = other[indices[indptr[row] : indptr[row + 1]], :3].astype(float)
        inverse = np.linalg.inv(x.T @ x + np.diag(ridge) * max(len(x), 1) ** 0.5)
        expected += inverse
        np.testing.assert_allclose(
            out[indptr[row] : indptr[row + 1]], np.einsum("ij,jk,ik->i", x, inverse, x), rtol=1e-6
        )
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    leverages(range(1), indptr, indices, other, np.zeros(3), 0.0, out)
    assert out[:4].sum() == pytest.approx(3.0)
    other[:, 1] = 0.0  # nothing tells this unknown
    leverages(range(2, 3), indptr, indices, other, np.zeros(3), 0.0, out)
    np.testing.assert_array_equal(out[4:], 1.0)


def test_evidence_of_one_profile_is_a_multivariate_t() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    prior = PersonPrior(2.0, 3.0, 1.5, 0.0)
    out = np.empty(1)
    evidences(range(1), RowRatings(np.array([0, 9]), np.arange(9, dtype=np.int32), y), x, prior, out)
    shape = prior.scale / prior.shape * (np.eye(9) + x @ x.T / prior.precision)
    assert out[0] == pytest.approx(stats.multivariate_t(np.zeros(9), shape, df=6).logpdf(y))


def _two_people(n_sittings: int, apart: float, mood: float = 0.0) -> tuple:
    rng = np.random.default_rng(1)
    bounds = np.arange(n_sittings + 1) * 20
    x = rng.normal(size=(bounds[-1], 4))
    tastes = np.array([[apart, 0, 0, 0], [-apart, 0, 0, 0]])
    y = np.concatenate(
        [x[a : a + 20] @ (tastes[k % 2] + mood * rng.normal(size=4)) for k, a in enumerate(bounds[:-1])]
    )
    y = y + 0.5 * rng.normal(size=len(y))
    return np.array([0, n_sittings]), bounds, x, y


def test_two_profiles_are_found_where_there_are_two_and_moods_are_none() -> None:
    gains = {}
    for name, apart, mood in (("two", 1.0, 0.0), ("one", 0.0, 0.0), ("moody", 0.0, 0.7)):
        starts, bounds, x, y = _two_people(10, apart, mood)
        items, shares = np.arange(len(y), dtype=np.int32), np.zeros(10)
        for rho in (0.0, 0.5):
            prior = PersonPrior(0.25, 50.0, 12.5, rho)
            rows = np.array([0])
            gains[name, rho] = compare_profiles(
                rows, SittingRatings(starts, bounds, items, y), x, prior, shares
            )[0]
            if (name, rho) == ("two", 0.0):
                assert abs(np.diff(shares.round())).sum() == 9  # every other sitting
    assert gains["two", 0.0] > 30
    assert gains["one", 0.0] < 0
    # what moods look like to whoever does not know of them
    assert gains["moody", 0.0] > max(gains["moody", 0.5], 0.0)
    assert gains["moody", 0.5] < 1
    assert gains["two", 0.5] > gains["moody", 0.5]


def test_moods_are_integrated_out() -> None:
    # all sittings with one profile: the evidence with moods is that of a Gaussian with their covariance
    starts, bounds, x, y = _two_people(3, 0.3, 0.3)
    items = np.arange(len(y), dtype=np.int32)
    prior = PersonPrior(2.0, 3.0, 1.5, 0.4)
    sitting = np.repeat(np.arange(3), 20)

    def evidence(groups: np.ndarray) -> float:
        same = groups[:, None] == groups[None, :]
        moods = (sitting[:, None] == sitting[None, :]) * prior.mood
        covariance = np.eye(len(y)) + (x @ x.T) * (same + moods) / prior.precision
        shape = prior.scale / prior.shape * covariance
        return float(stats.multivariate_t(np.zeros(len(y)), shape, df=2 * prior.shape).logpdf(y))

    one = evidence(np.zeros(len(y)))
    splits = [evidence((sitting == k).astype(int)) - one for k in range(3)]
    # three ways to part three sittings, each with the chance B(2, 3) of its shares, twice by name
    best = max(splits) + np.log(1 / 12)
    gain = compare_profiles(np.array([0]), SittingRatings(starts, bounds, items, y), x, prior, np.zeros(3))[0]
    assert gain == pytest.approx(best, abs=np.log(6) + 0.02)
    assert gain >= best - 0.02


def test_moves_are_found_at_their_place_and_chance_is_uniform() -> None:
    rng = np.random.default_rng(0)
    n_rows, n_blocks = 300, 10
    sums = rng.normal(size=(n_rows * n_blocks, 1))
    sums[:6] += 8.0  # the first row's level falls after six blocks
    starts = np.arange(n_rows + 1) * n_blocks
    found, places, p_values = block_moves(key_of(0, 1), starts, sums, np.ones(len(sums)), 4000)
    assert p_values[0] < 0.01
    assert places[0] == 6
    assert stats.kstest(p_values[1:], "uniform").pvalue > 0.01
    own = sums[10:20, 0]
    assert found[1] == pytest.approx(np.max(np.cumsum(own - own.mean())[:-1] ** 2))


def _rated(users: np.ndarray, items: np.ndarray, values: np.ndarray, times: np.ndarray | None) -> Rated:
    order = np.lexsort((items, users))
    n_users = int(users.max()) + 1
    return Rated(
        indptr=np.searchsorted(users[order], np.arange(n_users + 1)),
        items=items[order].astype(np.int32),
        values=values[order].astype(np.float32),
        predicted=np.zeros(len(users), np.float32),
        free=np.ones(len(users), np.float32),
        times=None if times is None else times[order],
        step=0.0,
        limits=(-10.0, 10.0),
        spread=np.eye(1),
    )


def test_drift_is_dated_and_calm_items_keep_the_level() -> None:
    rng = np.random.default_rng(0)
    items, users = np.repeat(np.arange(400), 40), np.tile(np.arange(40), 400)
    times = rng.permuted(np.tile(np.arange(40), (400, 1)), axis=1).ravel() * 86_400
    values = rng.normal(size=16_000)
    values[(items == 7) & (times >= 20 * 86_400)] += 2.0
    moves = drifting_items(_rated(users, items, values, times), 401)
    assert moves.p_values[7] < 1e-4
    assert abs(moves.since[7] - 20 * 86_400) <= 3 * 86_400
    assert moves.after[7] - moves.before[7] == pytest.approx(2.0, abs=0.7)
    assert np.isnan(moves.p_values[400])
    calm = np.delete(moves.p_values[:400], 7)
    assert np.mean(calm < 0.05) <= 0.08
    assert np.mean(calm < 0.5) == pytest.approx(0.5, abs=0.08)


def test_users_who_move_are_found_by_level_and_by_taste() -> None:
    rng = np.random.default_rng(0)
    n_users, n_items, n_sittings = 60, 300, 18
    x = rng.normal(size=(n_items, 2))
    users = np.repeat(np.arange(n_users), 10 * n_sittings)
    items = np.concatenate([rng.choice(n_items, 10 * n_sittings, replace=False) for _ in range(n_users)])
    sitting = np.tile(np.repeat(np.arange(n_sittings), 10), n_users)
    times = sitting * 86_400 + rng.integers(0, 3_000, len(users))
    values = 0.5 * rng.normal(size=len(users))
    late = sitting >= 9
    values[(users == 1) & late] += 1.0
    values[users == 2] += np.where(late, 1.0, -1.0)[users == 2] * x[items[users == 2], 0]
    rated = _rated(users, items, values, times)
    sittings = find_sittings(rated)
    assert set(sittings.per_user) == {n_sittings}
    level, taste = moving_levels(rated, sittings, 0), moving_tastes(rated, sittings, x, 0)
    assert list(np.flatnonzero(discoveries(level.p_values, 0.05))) == [1]
    assert list(np.flatnonzero(discoveries(taste.p_values, 0.05))) == [2]
    assert level.since[1] // 86_400 == 9
    few = _rated(users[sitting < 5], items[sitting < 5], values[sitting < 5], times[sitting < 5])
    assert np.isnan(moving_levels(few, find_sittings(few), 0).p_values).all()


def test_noisy_users_stand_out_among_those_of_like_size() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(300), 30)
    values = rng.normal(size=9_000) * np.where(users == 5, 3.0, 1.0)
    rated = _rated(users, np.tile(np.arange(30), 300), values, None)
    found = residual_levels(rated, "user", 300)
    assert list(np.flatnonzero(discoveries(found.p_values, 0.05))) == [5]
    assert found.means.shape == (300,)


def test_choices_by_popularity_are_told_from_those_of_people() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 40
    users, items = [], []
    for user in range(300):
        weights = np.ones(400) if user < 20 else np.where(groups == user % 10, 15.0, 1.0)
        users.append(np.full(40, user))
        items.append(rng.choice(400, 40, replace=False, p=weights / weights.sum()))
    everyone = np.concatenate(users)
    rated = _rated(everyone, np.concatenate(items), np.zeros(len(everyone)), None)
    odds = choice_odds(rated, 400)
    assert study.area(odds, np.arange(300) < 20) > 0.95
    assert np.median(odds[20:]) < 0 < np.median(odds[:20])
    few = _rated(everyone[:400], np.concatenate(items[:10]), np.zeros(400), None)
    np.testing.assert_array_equal(choice_odds(few, 400), 0.0)


# --- injections --------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS)
def test_shilling_profiles_are_as_described(store: RatingsStore, attack: injection.Attack) -> None:
    ratings = Ratings.of(store)
    injected, rows = injection.inject_shilling(ratings, attack, 0.02, np.random.default_rng(0))
    assert len(rows) == 20
    assert injected.n_users == 1_020
    added = injected.users >= 1_000
    pairs = injected.users * injected.n_items + injected.items
    assert len(np.unique(pairs)) == len(pairs)
    targets = [set(injected.items[injected.users == row]) for row in rows]
    common = set.intersection(*targets)
    end = ratings.limits[0] if attack == "love/hate" else ratings.limits[1]
    assert any(np.all(injected.values[added & (injected.items == item)] == end) for item in common)
    assert set(injected.values) <= set(ratings.scale)
    sizes = set(np.bincount(ratings.users).tolist())
    assert {int(np.sum(injected.users == row)) for row in rows} <= sizes
    table, users, items = injected.as_table()
    assert table.n_users == 1_020
    np.testing.assert_array_equal(np.sort(users), np.arange(1_020))
    np.testing.assert_array_equal(np.sort(items), np.arange(ratings.n_items))


def test_merged_accounts_are_as_large_as_others_and_keep_sittings_whole(store: RatingsStore) -> None:
    ratings = Ratings.of(store)
    injected, rows = injection.inject_shared(ratings, 0.05, np.random.default_rng(0))
    assert len(rows) == 50
    sizes = np.bincount(injected.users, minlength=1_000)
    assert sizes[rows].min() >= 38
    assert 0.7 < np.median(sizes[rows]) / np.median(sizes[sizes >= 40]) < 1.4
    assert np.count_nonzero(sizes) == 950
    before = np.bincount(ratings.users, minlength=1_000)
    row = rows[0]
    own = injected.times[injected.users == row]
    assert before[row] < sizes[row]
    assert len(own) == sizes[row]


# --- the whole ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_study_finds_what_it_puts_in(store: RatingsStore) -> None:
    plan = study.Plan(injections=1, share=0.02, repeats=1, draws=1)
    lines: list[str] = []
    found = study.study_anomalies(store, QUICK, plan, lines.append)
    assert len(lines) == 4 + 1 + 1 + 1
    for attack in ATTACKS:
        assert found["shilling"][attack]["method"] > 0.9, attack
    shared, drift = found["shared"], found["drift"]
    assert shared["method"] > max(shared["count"], shared["time span"], shared["residual level"])
    assert shared["method"] > 0.85
    assert drift["method"] > 0.9
    for name in LISTS:
        alarms = found["false_alarms"][name]
        # what 5 % of as many tests may come to by chance; of few tests that is more
        most = stats.binom.ppf(0.999, alarms["tested"], 0.05) / alarms["tested"]
        assert alarms["p ≤ 0.05"] <= max(0.09, most), (name, alarms)
        assert alarms["flagged"] <= 3, (name, alarms)


def test_area_is_the_chance_of_the_right_order() -> None:
    assert study.area(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])) == 0.875


@pytest.mark.long
def test_shared_accounts_name_both_profiles(store: RatingsStore) -> None:
    injected, rows = injection.inject_shared(Ratings.of(store), 0.05, np.random.default_rng(0))
    found, users, _ = study.train_and_find(injected, QUICK)
    assert found.sharing is not None
    flagged = np.flatnonzero(found.flagged["shared"])
    assert len(flagged) >= 5
    assert np.mean(np.isin(flagged, users[rows])) > 0.8
    user = int(flagged[np.argmax(found.sharing.gains[flagged])])
    first, second, turns = describe_profiles(found.rated, found.sittings, found.tastes, found.sharing, user)
    assert first.n_ratings + second.n_ratings == found.users.counts[user]
    assert turns >= 1
    assert not set(first.items) & set(second.items)
    why = describe_anomalies(found)["shared"]["rows"][0]["why"]
    assert "times better than one. Profile 1 (" in why
    assert found.model.item_name(int(first.items[0])) in " ".join(
        row["why"] for row in describe_anomalies(found)["shared"]["rows"]
    )


@pytest.mark.long
def test_report_filter_and_tables(tmp_path: Path, store: RatingsStore) -> None:
    ratings = Ratings.of(store)
    injected, rows = injection.inject_shilling(ratings, "love/hate", 0.02, np.random.default_rng(0))
    table, _, _ = injected.as_table()
    fit(stored(table, tmp_path / "store"), QUICK).save(tmp_path / "run" / "model")
    result = run(tmp_path / "run", "--filter")
    assert result.exit_code == 0, result.output
    out = tmp_path / "run" / "anomalies"
    numbers = json.loads((out / "anomalies.json").read_text())
    group = numbers["shilling"]["rows"][0]
    assert group["direction"] == "nuke"
    assert group["kind"] == "love/hate"
    assert "give it the worst rating there is" in group["why"]
    attackers = set(rows.tolist())
    assert len(attackers & set(group["members"])) >= 18
    assert len(set(group["members"]) - attackers) <= 2
    removed, cleaned = arrow_csv.read_csv(out / "removed.csv"), arrow_csv.read_csv(out / "cleaned.csv")
    flagged = {one for row in numbers["shilling"]["rows"] for one in row["members"]}
    assert set(removed["user"].to_pylist()) == flagged
    assert not flagged & set(cleaned["user"].to_pylist())
    assert len(removed) + len(cleaned) == len(injected.users)
    assert set(removed["reason"].to_pylist()) == {"shilling"}
    assert f"{len(removed):,} ratings left out" in result.output
    people, things = pq.read_table(out / "users.parquet"), pq.read_table(out / "items.parquet")
    assert len(people) == 1_020
    assert sum(people["flag_shilling"].to_pylist()) == len(flagged)
    assert things["p_drift"].null_count > 0
    residuals = pq.read_table(out / "residuals.parquet")
    assert len(residuals) == len(injected.users)
    assert np.std(residuals["standardised"]) == pytest.approx(1.0, abs=0.05)
    findings = pq.read_table(out / "findings.parquet")
    assert findings.column_names == ["list", "id", "name", "p_value", "why"]
    assert len(findings) == sum(numbers[name]["flagged"] for name in LISTS)
    page = (out / "report.html").read_text()
    assert "cannot be decided: fewer than 20 ratings." in page
    result = run(tmp_path / "run")
    assert "already holds something" in result.output
    # without --filter nothing is written that leaves anything out
    result = run(tmp_path / "run", "--overwrite")
    assert result.exit_code == 0
    assert not (out / "cleaned.csv").exists()


def test_a_posterior_gives_its_variance(plain: Model) -> None:
    rng = np.random.default_rng(0)
    n_samples, size = 3, plain.rank + 1
    rows = {
        side: np.column_stack([factors, biases])[:, None, :].repeat(n_samples, 1)
        for side, factors, biases in (
            ("users", plain.user_factors, plain.user_biases),
            ("items", plain.item_factors, plain.item_biases),
        )
    }
    samples = Samples(
        users=(rows["users"] + 0.05 * rng.normal(size=rows["users"].shape)).astype(np.float32),
        items=rows["items"].astype(np.float32),
        means=np.full(n_samples, plain.mean),
        user_spread=np.eye(size)[None].repeat(n_samples, 0),
        item_spread=np.eye(size)[None].repeat(n_samples, 0),
        noise_variance=0.7,
    )
    model = dataclasses.replace(plain, samples=samples)
    rated = read_rated(model)
    users, items = rated.users.astype(np.int64), rated.items.astype(np.int64)
    expected = 2.0 - samples.deviations(users, items).astype(float) ** 2 / 0.7
    np.testing.assert_allclose(rated.free, np.maximum(expected, 0.05), rtol=1e-4)
    assert not np.allclose(rated.free, read_rated(plain).free, rtol=1e-3)
    np.testing.assert_allclose(rated.predicted[:9], model.predict_rows(users[:9], items[:9]))


@pytest.mark.long
def test_what_is_missing_is_said_and_hostile_titles_stay_text(tmp_path: Path) -> None:
    for name, table in (("bare", bare_table()), ("hostile", hostile_table())):
        config = TrainConfig(rank=3, epochs=3, lambda_=0.1, model="als")
        fit(stored(table, tmp_path / f"{name}-store"), config).save(tmp_path / name / "model")
        result = run(tmp_path / name, "--filter", "shilling,users,shared")
        assert result.exit_code == 0, result.output
        check_page((tmp_path / name / "anomalies" / "report.html").read_text())
    page = (tmp_path / "bare" / "anomalies" / "report.html").read_text()
    assert page.count("Not shown: the ratings have no timestamps") == 4
    assert (tmp_path / "bare" / "anomalies" / "cleaned.csv").read_text().startswith('"user","item","rating"')
    flat = fit(stored(bare_table(), tmp_path / "flat-store"), TrainConfig(model="bias", rank=0, epochs=3))
    numbers = describe_anomalies(find_anomalies(flat))
    assert (
        numbers["shared"]["missing"]
        == "the ratings have no timestamps, and so no sittings of one person each"
    )


def test_bad_input_is_said(tmp_path: Path, plain: Model) -> None:
    with pytest.raises(ConfigError, match=r"found 2"):
        find_anomalies(plain, level=2.0)
    with pytest.raises(ConfigError, match="'everything'"):
        read_filters("shilling,everything")
    with pytest.raises(ConfigError, match="no list"):
        read_filters(",")
    one = dataclasses.replace(plain, user_counts=np.eye(1, len(plain.user_ids), dtype=np.int64)[0])
    with pytest.raises(DataError, match="the model has 1 user with ratings"):
        find_anomalies(one)
    assert "expected" in run(tmp_path / "nothing").output
    table = bare_table()
    source = stored(table, tmp_path / "store")
    fit(source, TrainConfig(model="als", rank=3, epochs=2)).save(tmp_path / "run" / "model")
    other = dataclasses.replace(table, values=-table.values)
    import shutil

    shutil.rmtree(tmp_path / "store")
    assert "cannot be opened" in run(tmp_path / "run").output
    stored(other, tmp_path / "store")
    result = run(tmp_path / "run")
    assert result.exit_code == 1
    assert "holds other ratings than the model was trained on" in result.output
    assert "Traceback" not in result.output


def test_residuals_are_the_models(plain: Model) -> None:
    rated = read_rated(plain)
    users, items = rated.users.astype(np.int64)[:50], rated.items.astype(np.int64)[:50]
    np.testing.assert_allclose(rated.residuals[:50], rated.values[:50] - plain.predict_rows(users, items))
    assert np.mean(rated.standardised.astype(float) ** 2) == pytest.approx(1.0, abs=0.02)
    assert rated.step == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "found neither"),
        (("--dataset", "synthetic-100k", "--data", "x"), "found both"),
        (("--dataset", "synthetic-100k", "--share", "2"), "--share: found 2"),
    ],
)
def test_study_refuses_bad_options(options: tuple[str, ...], said: str) -> None:
    result = click.testing.CliRunner().invoke(simulate.main, ["anomalies", *options])
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.long
def test_study_prints_its_table_and_says_what_it_lacks(tmp_path: Path) -> None:
    stored(bare_table(n_users=120), tmp_path / "store")
    result = click.testing.CliRunner().invoke(
        simulate.main,
        [
            "anomalies",
            "--data",
            str(tmp_path / "store"),
            "--injections",
            "1",
            "--share",
            "0.05",
            "--draws",
            "1",
            "--rank",
            "3",
            "--epochs",
            "3",
            "--lambda",
            "0.1",
            "--json",
            str(tmp_path / "study.json"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "| shilling, random | 1 |" in result.output
    assert "| drifting items | | | | the ratings have no timestamps | |" in result.output
    assert json.loads((tmp_path / "study.json").read_text())["plan"]["injections"] == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_study_on_a_million_ratings() -> None:
    source = resolve_store("synthetic-1m", ReadConfig())
    found = study.study_anomalies(source, TrainConfig(rank=10, epochs=12), study.Plan(), print)
    for attack in ATTACKS:
        one = found["shilling"][attack]
        assert one["method"] >= 0.90
        assert one["method"] > max(one["mean log-popularity"], one["rating deviation from mean agreement"])
    shared = found["shared"]
    assert shared["method"] >= 0.10 + max(shared["count"], shared["time span"], shared["residual level"])
    assert found["drift"]["method"] >= 0.90
    for name, alarms in found["false_alarms"].items():
        assert alarms["draws with any"] <= stats.binom.ppf(0.99, alarms["draws"], alarms["claimed"]), name
