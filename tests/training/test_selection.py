"""`--model auto`: what validation asks for, within the time there is; and a baseline beside every figure."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.fitting import chains, gain, selection, trials
from daskals.fitting.baseline import baseline_notes, baseline_section, better_than_biases
from daskals.fitting.chains import Chain, Kinds, share_at_ends
from daskals.fitting.choice import Point, chosen_before, learns
from daskals.fitting.fit import _compare_forecast, fit
from daskals.fitting.trials import Tried
from daskals.ingest import ingest
from daskals.training.events import Notice
from daskals.training.run import NO_OPTIONS
from tests.cases.planted import planted

pytestmark = pytest.mark.usefixtures("no_baseline")


@pytest.fixture
def baseline(monkeypatch):
    """Train the bias model beside after all."""
    monkeypatch.setattr("daskals.fitting.fit.baseline_section", baseline_section)


def dense() -> pd.DataFrame:
    """Return ratings that are one taste and a little noise."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((60, 40)) < 0.5)
    liking = rng.normal(size=60)[users] * rng.normal(size=40)[items] + 0.2 * rng.normal(size=len(users))
    return pd.DataFrame({"user": users, "item": items, "rating": np.round(3 + liking, 1)})


def notices(frame, client, **options):
    told = []
    model = fit(frame, TrainConfig.parse({"rank": 3, **options}), client, [told.append])
    return model, [event.text for event in told if isinstance(event, Notice)]


@pytest.mark.long
def test_a_flag_that_takes_the_choice_from_auto_is_said_in_one_line(client):
    model, told = notices(planted()[0], client, epochs=2, tau=0.1)
    line = "--epochs, --tau are named: als is trained by that and the papers' values, auto learns none"
    assert told.count(line) == 1
    assert model.report["selection"] is None
    assert not any("named" in text for text in notices(planted()[0], client, epochs=2, model="als")[1])


@pytest.mark.parametrize("name", ["epochs", "tau", "lambda", "solver"])
def test_a_named_option_of_a_point_estimate_wins(name):
    value = {"epochs": 3, "tau": 0.05, "lambda": 0.002, "solver": "coordinate"}[name]
    assert not learns(TrainConfig.parse({name: value}))
    assert learns(TrainConfig.parse({"rank": 3}))
    assert not learns(TrainConfig.parse({"model": "als"}))


@pytest.mark.long
@pytest.mark.usefixtures("baseline")
def test_auto_takes_the_posterior_where_it_is_best(client, monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((40, 60),))
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0, 8.0))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (25.0, 8.0))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    frame = dense()
    model, told = notices(frame, client, test_fraction=0.2, time_budget=1e6)
    chosen = model.report["selection"]
    assert chosen["taken"] == model.report["config"]["model"] == "bayes"
    assert chosen["chain_validation_rmse"] <= 1.01 * min(t["validation_rmse"] for t in chosen["trials"])
    assert len(model.report["history"]) == chosen["options"]["sweeps"] == 60
    assert chosen["taken_seconds"] > 0
    plain, wide = chosen["chains"]
    assert (plain["user_features"], wide["user_features"]) == ([], ["implicit"])
    assert chosen["chain_validation_rmse"] == min(plain["validation_rmse"], wide["validation_rmse"])
    with_others = "with who rated what, " if wide["validation_rmse"] < plain["validation_rmse"] else ""
    assert any(line.startswith(f"auto takes bayes: {with_others}validation RMSE") for line in told)
    assert model.report["test_rmse"] < model.report["baseline"]["test_rmse"]
    assert better_than_biases(model.report).startswith("better than biases")


@pytest.mark.long
def test_a_chain_is_judged_and_kept_for_as_long_as_validation_gains(client, monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((80, 100),))
    monkeypatch.setattr(chains, "BURN_IN", 2)
    monkeypatch.setattr(chains, "ENOUGH", 0.9)
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (8.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    monkeypatch.setattr(selection.Selection, "_chance", math.inf)
    model, _ = notices(dense(), client, item_features="none", order="rating")
    (chain,) = model.report["selection"]["chains"]
    assert chain["judged_sweeps"] == 40  # the second time that validation was looked at
    assert chain["sweeps"] == model.report["config"]["sweeps"] == len(model.report["history"]) == 50


@pytest.mark.long
def test_who_rated_what_is_left_alone_where_features_are_named(client, monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((6, 8),))
    monkeypatch.setattr(chains, "BURN_IN", 2)
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (8.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    model, _ = notices(dense(), client, item_features="none")
    (chain,) = model.report["selection"]["chains"]
    assert chain["user_features"] == []


def of_five_stars(seed: int = 4) -> pd.DataFrame:
    """Return ratings of a taste that five stars cut off at both ends."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((60, 40)) < 0.5)
    liking = rng.normal(size=60)[users] * rng.normal(size=40)[items] + 0.3 * rng.normal(size=len(users))
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(np.round(3.5 + 2 * liking), 1, 5)})


@pytest.mark.long
def test_a_chain_looks_beyond_the_ends_where_many_ratings_are_there(client, monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((20, 24),))
    monkeypatch.setattr(chains, "BURN_IN", 5)
    monkeypatch.setattr(chains, "BEATEN", 9.0)
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (8.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    model, told = notices(of_five_stars(), client, item_features="none", time_budget=1e6, order="rating")
    plain, beyond = model.report["selection"]["chains"]
    assert (plain["likelihood"], beyond["likelihood"]) == ("gaussian", "censored")
    # every other rating is at an end: what lies beyond is worth much
    assert beyond["validation_rmse"] < plain["validation_rmse"]
    assert model.report["config"]["likelihood"] == "censored"
    assert any(line.startswith("auto takes bayes: beyond the ends of the scale, validation") for line in told)
    assert any("judging a chain beyond the ends of the scale of up to" in line for line in told)


@pytest.mark.parametrize(("beyond", "judged_last"), [(0.7, "censored"), (0.9, "gaussian")])
def test_a_chain_begins_from_the_best_before_it_and_leaves_what_it_did_not_take(
    beyond, judged_last, tmp_path, monkeypatch
):
    given: list[tuple[TrainConfig, int, float]] = []

    def judged(of, config, kept, rival):
        rmse = {"gaussian": 0.8, "censored": beyond}[config.likelihood]
        given.append((config, kept, len(rival)))
        return Chain(config, rmse, 1.0, [None] * 10, np.empty(0))

    monkeypatch.setattr(chains.Chains, "_judge", judged)
    work = SimpleNamespace(seconds=1.0, saving_seconds=lambda *_: 0.0)
    monkeypatch.setattr(chains.Chains, "_work", lambda *_: work)
    monkeypatch.setattr(chains, "CHAINS", ((20, 20), (5, 5)))
    of_five_stars().to_csv(tmp_path / "ratings.csv", index=False)
    store = ingest(tmp_path / "ratings.csv", tmp_path / "store")
    kinds = Kinds(widens=True, censors=True, dates=False)
    chosen = chains.Chains(
        None, store, None, TrainConfig.parse({}), NO_OPTIONS, print, kinds, is_mirrored=True
    )
    # each took ten of its twenty sweeps: the seconds left fit a third one of twenty
    assert len(chosen.judge(60.0)) == 3
    assert [config.likelihood for config, _, _ in given] == ["gaussian", "censored", judged_last]
    assert [chains.is_wide(config) for config, _, _ in given] == [False, False, True]
    assert [(config.sweeps, kept, rival) for config, kept, rival in given] == [
        (20, 20, 0), (20, 20, 10), (20, 20, 10),
    ]  # fmt: skip


def test_who_names_a_likelihood_a_transform_or_time_decides_it(client):
    assert Kinds.left_open(TrainConfig.parse({})) == Kinds(widens=True, censors=True, dates=True)
    assert not Kinds.left_open(TrainConfig.parse({"time_bins": "none"})).dates
    for named in ({"likelihood": "gaussian"}, {"transform": "rank"}):
        assert not Kinds.left_open(TrainConfig.parse(named)).censors
    assert not Kinds.left_open(TrainConfig.parse({"user_features": "none"})).widens


@pytest.mark.parametrize(
    ("ratings", "share"),
    [([0, 1, 1, 0], 0.0), ([1, 2, 3, 3], 0.75), ([2, 3, 3, 4], 0.5), ([7, 7, 7, 7], 0.0)],
)
def test_share_of_ratings_at_the_ends(ratings, share, tmp_path):
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "rating": ratings})
    frame.to_csv(tmp_path / "ratings.csv", index=False)
    assert share_at_ends(ingest(tmp_path / "ratings.csv", tmp_path / "store")) == share


def test_no_time_for_anything_takes_biases_and_says_so(client):
    frame, _ = planted()
    model, told = notices(frame, client, time_budget=0)
    assert model.report["config"]["model"] == "bias"
    assert "auto takes bias: the time budget of 0 s has room for no more" in told


@pytest.mark.long
def test_no_time_for_a_posterior_takes_a_point_estimate(client, monkeypatch):
    monkeypatch.setattr(chains, "CHAINS", ((10**7, 10**7),))
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (8.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))
    frame = dense()
    model, _ = notices(frame, client, time_budget=60)
    chosen = model.report["selection"]
    assert chosen["taken"] == "als"
    assert "a posterior would take some" in chosen["why"]
    assert len(model.report["history"]) == chosen["options"]["epochs"]


def test_few_ratings_take_biases(client):
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1.0, 5.0, 3.0]})
    model, told = notices(frame, client, split="none")
    assert model.report["config"]["model"] == "bias"
    assert "too few to learn more from than biases" in told[-1]
    assert np.isfinite(model.predict([1, 2], [2, 2]).rating).all()


@pytest.mark.parametrize(("best", "found"), [(64.0, 64.0), (0.2, 0.25), (5.0, 4.0)])
def test_a_ridge_is_looked_for_beyond_the_usual_ones(best, found, client, monkeypatch):
    def run(of, config):
        return Tried(Point(config, 1 + abs(math.log(config.ridge.bias / best)), 2), 4)

    monkeypatch.setattr(trials.Trials, "run", run)
    model, _ = notices(planted()[0], client, rank=0, order="rating")
    assert model.report["config"]["gamma"] == pytest.approx(0.002 * found)
    assert len(model.report["selection"]["trials"]) <= len(selection.BIAS_RIDGES) + selection.MOST_BEYOND


def test_what_is_chance_is_less_the_more_ratings_validate():
    of = [
        selection.Selection._chance.fget(
            SimpleNamespace(_trials=None, _split=SimpleNamespace(n_validation=n))
        )
        for n in (20, 8_000, 100_000)
    ]
    assert of == [0.01, pytest.approx(0.00395, rel=1e-2), pytest.approx(0.00112, rel=1e-2)]


def test_a_posterior_is_held_against_what_would_be_trained_instead():
    # as on very short users: als is ahead by luck, biases are hardly worse and simpler, and the posterior is
    # hardly worse than those
    config = TrainConfig()
    tried = [
        Point(config.model_copy(update={"model": model}), rmse, 3)
        for model, rmse in (("bias", 1.8975), ("als", 1.8884))
    ]
    searched = SimpleNamespace(_tried=tried, _chance=0.0054)
    searched._tried_best = lambda model: next(one for one in tried if one.config.model == model)
    point = selection.Selection._simplest(searched)
    assert point.config.model == "bias"
    assert not selection.Selection._is_worse(searched, Chain(config, 1.9003, 39.0, (), np.empty(0)), point)
    assert selection.Selection._is_worse(searched, Chain(config, 1.9090, 39.0, (), np.empty(0)), point)


@pytest.mark.parametrize(
    ("by_one_user", "share", "taken", "options", "unit"),
    [
        (False, 1.03, "als", {}, 50.0),
        (True, 1.03, "bayes", {}, 1.0),
        (True, 1.1, "als", {}, 1.0),
        (False, 1.03, "als", {"transform": "rank"}, 50.0),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (
                (False, 1.03, "als", {}, 1.0),
                (True, 1.03, "bayes", {}, 50.0),
                (True, 1.1, "als", {}, 50.0),
                (False, 1.03, "als", {"transform": "rank"}, 1.0),
            )
        ),
    ],
)
def test_a_posterior_gives_way_where_users_agree_or_it_is_far_worse(
    by_one_user, share, taken, options, unit, client, monkeypatch
):
    estimates: list[np.ndarray] = []
    measured = gain.PointEstimate.validation_squares

    def squares_of(estimate, store, split):
        found = measured(estimate, store, split)
        assert math.sqrt(found.mean()) == pytest.approx(tried[-1], rel=1e-5)
        if not estimates:  # the first trial, of biases
            return found
        # the same array that the chain was judged by, now that the estimate's own errors are known
        worse = found * share**2
        if by_one_user:
            worse = found.copy()
            worse[0] += found.sum() * (share**2 - 1.0)
        estimates[0][:] = worse
        return found

    def judge(of, left):
        config = of._chain_config().model_copy(update={"sweeps": 24, "burn_in": 5})
        estimates.append(np.empty(of._split.n_validation))
        return [Chain(config, share * tried[-1], 1.0, (), estimates[0])]

    def trial(*arguments):
        found = run_trial(*arguments)
        tried.append(found.validation_rmse)
        return found

    tried: list[float] = []
    run_trial = trials.run_trial
    monkeypatch.setattr(trials, "run_trial", trial)
    monkeypatch.setattr(gain.PointEstimate, "validation_squares", squares_of)

    monkeypatch.setattr(chains.Chains, "judge", judge)
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (8.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.0,))
    frame = dense()
    model, told = notices(frame.assign(rating=unit * frame["rating"]), client, order="rating", **options)
    chosen = model.report["selection"]
    assert chosen["taken"] == taken
    assert chosen["chain_validation_rmse"] > chosen["trials"][-1]["validation_rmse"]
    over = chosen["gain_over_chain"]
    assert over["share"] == pytest.approx(1 - share**-2)
    assert (over["share"] > 2 * over["standard_error"]) == (not by_one_user)
    said = "the posterior is worse" if taken == "als" else "apart by no more than users differ"
    assert any(line.startswith(f"auto takes {taken}: ") and said in line for line in told)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["als", "bias", "bayes"])
def test_three_ratings_give_a_model_within_the_scale(kind, client):
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1e-3, 5e-3, 3e-3]})
    sweeps = {"sweeps": 30, "burn_in": 10} if kind == "bayes" else {}
    model, _ = notices(frame, client, model=kind, split="none", order="rating", **sweeps)
    found = model.predict([1, 1, 2, 2, 9], [1, 2, 1, 2, 9])
    assert np.all((found.rating >= -2e-3) & (found.rating <= 8e-3)), found.rating
    if kind == "bayes":
        assert np.all((found.deviation > 0) & (found.deviation < 5e-2)), found.deviation


def test_a_forecast_that_was_wrong_is_said_at_the_end():
    model = SimpleNamespace(report={"history": [{"seconds": 2.0}] * 10})
    told = []
    for forecast in (14.0, 39.0):
        _compare_forecast(model, {"forecast_seconds": forecast}, [told.append])
    assert not told
    found = {"forecast_seconds": 10.0}
    _compare_forecast(model, found, [told.append])
    assert [event.text for event in told] == ["the sweeps took 20 s, 10 s were forecast"]
    assert found["taken_seconds"] == 20.0


@pytest.mark.parametrize("kind", ["auto", "als", "bias", "bayes"])
@pytest.mark.parametrize("rating", [0.0, 4.0])
def test_constant_ratings_give_the_constant(kind, rating, client, request):
    if kind == "als":
        request.getfixturevalue("baseline")
    frame, _ = planted()
    model, _ = notices(frame.assign(rating=rating), client, model=kind, test_fraction=0.2)
    found = model.predict(frame["user"].to_numpy(), frame["item"].to_numpy()).rating
    np.testing.assert_allclose(found, rating, atol=1e-6)
    assert math.isfinite(model.report["test_rmse"])


def test_dust_is_said(client):
    frame, _ = planted()
    model, told = notices(frame, client, model="als", epochs=8, tau=100.0)
    note = next(line for line in told if "the factors add nothing" in line)
    assert note in model.report["notes"]


def test_a_test_error_above_biases_is_said_with_what_can_be_done(client):
    model, _ = notices(planted()[0], client, model="als", epochs=2, tau=100.0, test_fraction=0.2)
    for selection_made, remedy in (
        (None, "raise --tau, or train with --model auto"),
        ({"taken": "als"}, "auto found nothing better on its validation part; see selection in report.json"),
    ):
        model.report.update(selection=selection_made, test_rmse=1.5, baseline={"test_rmse": 1.25})
        line = f"the test RMSE, 1.5000, is above that of biases alone, 1.2500: {remedy}"
        assert line in baseline_notes(model)


@pytest.mark.long
def test_counts_over_decades_are_said(client):
    frame, _ = planted()
    counts = frame.assign(rating=np.round(np.exp(frame["rating"])))
    counts.loc[7, "rating"] = 1e5
    model, told = notices(counts, client, model="bias", epochs=2)
    note = next(line for line in told if "as counts over decades do" in line)
    assert note.startswith(f"the ratings reach {counts['rating'].max():g}, ")
    assert note in model.report["notes"]
    assert not any("decades" in line for line in notices(frame, client, model="bias", epochs=2)[1])


def test_a_run_that_is_continued_keeps_its_choice():
    options = {"model": "als", "units": "deviations", "tau": 0.01, "item_features": [], "epochs": 9}
    choice = chosen_before(TrainConfig(), options)
    assert (choice.config.model, choice.config.tau, choice.config.epochs) == ("als", 0.01, 9)
    assert choice.config.item_features == ()


def test_comparison_with_biases():
    report = {"test_rmse": 0.9, "baseline": {"test_rmse": 1.0}}
    assert better_than_biases(report) == "better than biases (1.00000) by 10.0 %"
    assert better_than_biases({**report, "test_rmse": 1.1}) == "worse than biases (1.00000) by 10.0 %"
    assert better_than_biases({**report, "test_rmse": 1.0004}) == "as good as biases alone (1.00000)"
    assert better_than_biases({"test_rmse": None}) is None
