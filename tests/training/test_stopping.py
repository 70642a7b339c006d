"""Stopping on validation, and training on all of train for the epochs found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.training.events import EpochFinished
from daskals.training.stopping import best_epoch, hardly_gains, is_beaten, is_settled
from tests.cases.twin import random_ratings

pytestmark = pytest.mark.usefixtures("no_baseline")


def history(*validation: float | None) -> list[EpochFinished]:
    return [
        EpochFinished(n + 1, 9, 100.0 / (n + 1), 1.0, value, None, 1.0, 1.0)
        for n, value in enumerate(validation)
    ]


def test_patience_counts_from_the_best_epoch():
    assert best_epoch(history(0.9, 0.8, 0.8, 0.85)) == 2
    assert not is_settled(history(0.9, 0.8, 0.81), 0.0, 2)
    assert is_settled(history(0.9, 0.8, 0.81, 0.82), 0.0, 2)
    assert not is_settled(history(0.9, 0.95, 0.8), 0.0, 2)
    assert is_settled(history(0.9, 0.8), 0.6, None)
    assert not is_settled(history(0.9, 0.8), 0.4, None)
    assert not is_settled([], 0.5, 1)


def test_gains_are_counted_between_the_epochs_that_were_judged():
    judged = history(None, 0.9, None, None, 0.8999)
    assert hardly_gains(judged, 1e-3)
    assert not hardly_gains(judged, 1e-4)
    assert not hardly_gains(judged[:4], 1e-3)  # judged once
    assert hardly_gains(history(0.8, 0.9), 1e-3)


def test_a_run_is_beaten_by_one_that_had_gone_as_far():
    rival = history(None, 0.8, None, 0.7)
    assert is_beaten(history(None, 0.81), rival, 1e-2)
    assert not is_beaten(history(None, 0.81), rival, 2e-2)
    assert not is_beaten(history(None, 0.81, None), rival, 1e-2)  # not judged
    assert not is_beaten(history(*[None] * 5, 0.81), rival, 1e-2)  # further than the rival went
    assert not is_beaten(history(0.81), (), 1e-2)


@pytest.mark.long
def test_refit_is_a_run_on_all_of_train(client):
    frame = random_ratings(40, 30, 500, seed=1)  # no structure: the first epochs are the best
    settings = {"split": "random", "test_fraction": 0.2, "rank": 3, "lambda": 0.3, "tau": 0.05}
    chosen = fit(
        frame,
        TrainConfig.parse({**settings, "epochs": 30, "patience": 2, "validation_fraction": 0.2}),
        client,
    )
    selection = chosen.report["selection"]
    best = selection["epochs"]
    figures = [record["validation_rmse"] for record in selection["history"]]
    assert len(figures) == best + 2 < 30
    assert np.argmin(figures) == best - 1
    assert selection["validation_rmse"] == figures[best - 1]
    again = fit(frame, TrainConfig.parse({**settings, "epochs": best}), client)
    assert again.report["factors_sha256"] == chosen.report["factors_sha256"]
    assert again.report["test_rmse"] == chosen.report["test_rmse"]
    assert len(chosen.report["history"]) == best
    assert chosen.report["data"]["n_validation"] == 0


def test_validation_must_leave_every_user_something(client):
    frame = pd.DataFrame({"user": range(40), "item": [n % 4 for n in range(40)], "rating": 3.0})
    settings = {"split": "random", "patience": 2, "validation_fraction": 0.3, "rank": 3}
    with pytest.raises(
        DataError,
        match=r"validation_fraction: \d+ users, the first of them \d+, have validation ratings and no "
        r"training rating; expected every user to keep .* Lower the fraction",
    ):
        fit(frame, TrainConfig.parse(settings), client)
