"""R-hat and effective sizes: of draws whose mixing is known, and what a report makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.fitting.mixing import mixing_lines, mixing_notes, shift_of
from daskals.training.gibbs.mixing import FEWEST, effective_size, mixing_of, r_hat


def autoregressive(n: int, pull: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    values[0] = rng.normal()
    for t in range(1, n):
        values[t] = pull * values[t - 1] + np.sqrt(1 - pull**2) * rng.normal()
    return values


def test_independent_draws_have_mixed():
    found = mixing_of(np.random.default_rng(1).normal(size=(2, 2000)))
    assert found.r_hat == pytest.approx(1.0, abs=0.01)
    assert found.bulk == pytest.approx(4000, rel=0.15)
    assert found.tail == pytest.approx(4000, rel=0.3)
    assert found.draws == 4000


@pytest.mark.parametrize("pull", [0.5, 0.9])
def test_correlated_draws_count_for_fewer(pull):
    found = mixing_of(autoregressive(8000, pull)[None])
    assert found.bulk == pytest.approx(8000 * (1 - pull) / (1 + pull), rel=0.3)


def test_a_trace_that_wanders_has_not_mixed():
    drifting = np.linspace(0.0, 3.0, 300) + np.random.default_rng(2).normal(size=300)
    found = mixing_of(drifting[None])
    assert found.r_hat > 1.3
    assert found.bulk < 30


def test_a_spread_that_grows_is_seen_though_the_mean_stands():
    rng = np.random.default_rng(3)
    trace = np.concatenate([rng.normal(size=500), 4.0 * rng.normal(size=500)])
    halves = trace.reshape(2, -1)
    assert r_hat(halves) < 1.02
    assert mixing_of(trace[None]).r_hat > 1.2


def test_chains_that_disagree_have_not_mixed():
    chains = np.random.default_rng(4).normal(size=(3, 200)) + np.array([[0.0], [0.0], [2.0]])
    found = mixing_of(chains)
    assert found.r_hat > 1.2
    assert found.bulk < 20


def test_heavy_tails_are_judged_by_ranks():
    found = mixing_of(np.random.default_rng(5).standard_cauchy(size=(2, 1000)))
    assert found.r_hat == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "trace", [np.ones(50), np.arange(FEWEST - 1.0), np.full(50, np.nan)], ids=["constant", "short", "nan"]
)
def test_nothing_is_said_of_draws_that_tell_nothing(trace):
    assert mixing_of(trace[None]) is None


def test_draws_against_each_other_count_for_more_but_not_for_any_number():
    assert 100 < effective_size(np.tile([1.0, -1.0], 50)[None] + 0.0) <= 200


def test_a_shift_is_a_share_of_the_first_half():
    assert shift_of(np.array([[2.0, 2.0, 9.0, 3.0, 3.0]])) == pytest.approx(0.5)
    assert shift_of(np.array([[-2.0, -2.0, -1.0, -1.0]])) == pytest.approx(0.5)


def test_a_note_names_what_has_not_mixed_and_what_to_do():
    figures = {"r_hat": 1.02, "ess_bulk": 90.0, "ess_tail": 80.0, "draws": 300}
    mixed = {"noise": figures, "predictions": figures, "user_eta": None, "worst_r_hat": 1.02}
    assert mixing_notes({"mixing": mixed}) == []
    assert mixing_notes({}) == []
    assert mixing_lines({"mixing": mixed}) == [
        "R-hat at most 1.02 (settled: up to 1.1); as each is like the one before, 300 sweeps of the noise "
        "count as 90 independent ones and 300 samples of a prediction count as 90 independent ones"
    ]
    unknown = {"noise": None, "predictions": None, "worst_r_hat": 1.5}
    assert mixing_lines({"mixing": unknown}) == ["R-hat at most 1.50 (settled: up to 1.1)"]
    assert mixing_lines({}) == []
    wanders = {**figures, "r_hat": 1.437}
    assert mixing_notes({"mixing": {**mixed, "user_eta": wanders}}) == [
        "predictions have settled (R-hat 1.02); user eta (1.44) of the chain not yet, which they hardly show"
    ]
    hardly = {**wanders, "shift": -0.0021}
    assert mixing_notes({"mixing": {**mixed, "noise": hardly}}) == [
        "predictions have settled (R-hat 1.02); noise (1.44) of the chain not yet, by 0.2 % at most between "
        "its halves, which they hardly show"
    ]
    for slow in (
        {"noise": wanders},
        {"noise": {**wanders, "shift": 0.03}},
        {"noise": hardly, "predictions": wanders},
        {"user_eta": wanders, "predictions": None},
    ):
        (note,) = mixing_notes({"mixing": {**mixed, **slow}})
        assert note.startswith("the chain has not mixed: R-hat is 1.44 of ")
        assert note.endswith("; more --sweeps and a longer --burn-in may change its figures")
