"""Trials by several validation parts where few ratings decide, and the chains that are held against them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.fitting import chains, selection, trials
from daskals.fitting.chains import Chain
from daskals.fitting.choice import Point
from daskals.fitting.fit import fit
from daskals.fitting.trials import DRAWS, deciding_ratings
from daskals.training.events import Notice

pytestmark = pytest.mark.usefixtures("no_baseline")


def counts(seed: int = 6, spread: float = 1.2) -> pd.DataFrame:
    """Return log-normal counts of a taste, a few of which are a thousand times the others."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((200, 120)) < 0.5)
    liking = 0.6 * (rng.normal(size=200)[users] + rng.normal(size=120)[items] + rng.normal(size=len(users)))
    liking += 0.5 * rng.normal(size=200)[users] * rng.normal(size=120)[items]
    plays = np.maximum(1, np.round(np.exp(3.2 + spread * liking)))
    return pd.DataFrame({"user": users, "item": items, "rating": plays})


@pytest.fixture
def short(monkeypatch):
    """One ridge of each kind, few epochs, and no time for a posterior."""
    monkeypatch.setattr(trials, "EPOCHS", 3)
    monkeypatch.setattr(chains, "CHAINS", ((10**9, 10**9),))
    monkeypatch.setattr(selection, "BIAS_RIDGES", (4.0,))
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (14.0,))
    monkeypatch.setattr(selection, "EXPONENTS", (0.5,))


def chosen(frame, client, **options):
    told = []
    asked = TrainConfig.parse({"rank": 3, "test_fraction": 0.2, "order": "rating", **options})
    report = fit(frame, asked, client, [told.append]).report
    return report, [event.text for event in told if isinstance(event, Notice)]


def test_how_many_ratings_decide_a_mean_of_squares():
    rng = np.random.default_rng(0)
    assert deciding_ratings(np.full(50, 1e-200)) == pytest.approx(50)
    assert deciding_ratings(np.array([0.0, 0.0, 7.0])) == 1
    assert deciding_ratings(np.zeros(4)) == 4
    assert deciding_ratings(rng.normal(size=30_000) ** 2) == pytest.approx(10_000, rel=0.05)


@pytest.mark.usefixtures("short")
def test_where_few_ratings_decide_several_parts_judge_each_trial(client, monkeypatch):
    paths = []

    def trial(*arguments):
        found = run_trial(*arguments)
        paths.append(found.validation_path)
        return found

    run_trial = trials.run_trial
    monkeypatch.setattr(trials, "run_trial", trial)
    report, told = chosen(counts(), client)
    found = report["selection"]
    assert found["validation_draws"] == DRAWS
    assert found["n_validation"] == pytest.approx(DRAWS * 0.1 * 0.8 * report["data"]["n_ratings"], rel=0.1)
    assert sum("ratings of a validation part decide its squared error" in line for line in told) == 1
    # the first trial saw that few decide, and was made again with all the others
    pooled = np.array(paths[1:]).reshape(-1, DRAWS, trials.EPOCHS)
    assert len(pooled) == len(found["trials"]) == 2
    for paths_of_one, tried in zip(pooled, found["trials"], strict=True):
        means = np.sqrt(np.mean(paths_of_one**2, axis=0))
        # the parts differ a little in size
        assert tried["validation_rmse"] == pytest.approx(means[tried["epochs"] - 1], rel=0.02)
        assert tried["validation_rmse"] == pytest.approx(means.min(), rel=0.02)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", ["whole stars", "no time", "the latest validate"])
def test_one_part_judges_where_errors_have_no_long_tails_or_there_is_none_but_the_latest(
    case, client, monkeypatch
):
    frame, options = counts(), {}
    if case == "whole stars":
        frame = counts(spread=0.05)
    elif case == "no time":
        monkeypatch.setattr(selection, "SEARCH_SECONDS", 0.0)
    else:
        frame, options = frame.assign(timestamp=np.arange(len(frame))), {"split": "time"}
    report, told = chosen(frame, client, **options)
    assert report["selection"]["validation_draws"] == 1
    line = "ratings of a validation part decide its squared error, as of counts over decades"
    assert sum(text.endswith(line) for text in told) == (case != "whole stars")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("by_few", "taken"), [(True, "als"), (False, "bayes")])
def test_where_few_ratings_decide_a_posterior_must_be_better_by_more_than_chance(
    by_few, taken, client, monkeypatch
):
    squares = []

    def squares_of(of, point):
        before = measured(of, point)
        # of the same mean: by all ratings alike, or by the one that decides
        lower = 0.8 * before
        if by_few:
            lower = before.copy()
            lower[np.argmax(before)] -= 0.2 * before.sum()
        squares[0][:] = lower
        return before

    def judge(of, left):
        config = of._chain_config().model_copy(update={"sweeps": 8, "burn_in": 2})
        squares.append(np.empty(of._split.n_validation))
        return [Chain(config, 1.0, 1.0, (), squares[0])]

    measured = trials.Trials.squares
    monkeypatch.setattr(trials.Trials, "squares", squares_of)
    monkeypatch.setattr(chains.Chains, "fit", lambda *_: True)
    monkeypatch.setattr(chains.Chains, "judge", judge)
    report, told = chosen(counts(), client)
    found = report["selection"]
    assert found["taken"] == taken
    assert found["gain_over_point"]["share"] == pytest.approx(0.2)
    line = (
        "auto takes als: few ratings decide, and the posterior is not better by more than chance (validation"
    )
    assert any(text.startswith(line) for text in told) == by_few


@pytest.mark.usefixtures("short")
def test_what_a_chain_is_held_against_is_trained_for_the_epochs_that_all_parts_chose(client, monkeypatch):
    """And not for those that are best for the part that judges the chain."""
    held = []

    def run(of, config):
        if of.n_draws > 1 and config.model == "als":
            path = run_trial(of._cluster, of._data[0], config).validation_path
            assert min(path[:3]) < 0.99 * path[2]
            held.append((np.sqrt(np.mean(of.squares(Point(config, 1.0, 3)))), path[2]))
        return trial(of, config)

    trial, run_trial = trials.Trials.run, trials.run_trial
    monkeypatch.setattr(trials.Trials, "run", run)
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (0.5,))
    chosen(counts(), client)
    ((found, own),) = held
    assert found == pytest.approx(own, rel=1e-5)


@pytest.mark.long
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("unit", [1e-3, 2_000.0])
def test_where_few_ratings_decide_the_choice_knows_no_unit(unit, client, monkeypatch):
    monkeypatch.setattr(selection, "FACTOR_RIDGES", (25.0, 14.0, 8.0))
    frame = counts()
    whole, scaled = (chosen(one, client)[0] for one in (frame, frame.assign(rating=unit * frame["rating"])))
    assert scaled["selection"]["options"] == whole["selection"]["options"]
    assert scaled["test_rmse"] == pytest.approx(unit * whole["test_rmse"], rel=1e-5)
