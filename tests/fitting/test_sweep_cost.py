"""What sweeps are said to take, by what there is to draw: no clock is looked at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.fitting.chains import Chains, Kinds, count_dates
from daskals.fitting.sweep_cost import SweepWork
from daskals.ingest import open_ratings
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.training.checkpoint import Checkpoints
from daskals.training.run import NO_OPTIONS

SMALL = SweepWork(80_651, 610, 9_724, 20)
MILLION = SweepWork(800_624, 5_000, 2_400, 20)
SPARSE = SweepWork(95_919, 62_105, 20_972, 20)
LESS_SPARSE = SweepWork(320_682, 79_475, 28_519, 20)
DENSE = SweepWork(800_624, 1_000, 1_000, 20)

TAKEN = [
    (SMALL, {}, 0.0060),
    (SMALL, {"is_wide": True}, 0.026),
    (SMALL, {"is_wide": True, "n_dates": 3_885}, 0.029),
    (SMALL, {"rank": 8}, 0.0032),
    (SMALL, {"rank": 40}, 0.0106),
    (MILLION, {}, 0.0105),
    (MILLION, {"is_wide": True}, 0.111),
    (MILLION, {"n_dates": 6_000}, 0.0246),
    (MILLION, {"is_censored": True}, 0.0235),
    (SPARSE, {}, 0.0215),
    (SPARSE, {"is_wide": True}, 0.24),
    (SPARSE, {"n_dates": 3_472}, 0.0306),
    (SPARSE, {"rank": 8}, 0.0089),
    (SPARSE, {"rank": 40}, 0.0527),
    (LESS_SPARSE, {}, 0.0307),
    (LESS_SPARSE, {"is_wide": True}, 0.40),
    (LESS_SPARSE, {"is_censored": True}, 0.0359),
    (DENSE, {}, 0.0088),
    (DENSE, {"is_wide": True}, 0.29),
    (DENSE, {"n_dates": 3_472}, 0.0217),
]
"""Seconds of a sweep on two cores: half of its CPU seconds; with who rated what those of one thread, or those
by the clock where gradients draw these weights."""


@pytest.mark.parametrize(("ratings", "what", "taken"), TAKEN)
def test_a_sweep_is_forecast_within_a_quarter(ratings, what, taken):
    work = SweepWork(**{**vars(ratings), **what})
    assert work.seconds == pytest.approx(taken, rel=0.25)


@pytest.mark.parametrize(
    ("work", "sweeps", "taken"),
    [
        (SweepWork(80_651, 610, 9_724, 20, n_dates=3_885, is_wide=True), 240, 11.1),
        (SweepWork(90_720, 610, 9_724, 20, n_dates=3_885, is_wide=True), 240, 12.0),
        (SweepWork(900_171, 5_000, 2_400, 20, is_censored=True), 160, 5.8),
    ],
)
def test_a_chain_is_forecast_with_its_checkpoints(work, sweeps, taken):
    # by the clock of a quiet machine, 100 samples kept
    saving = work.saving_seconds(sweeps, 20, 100)
    assert saving > 0.25 * taken
    assert sweeps * work.seconds + saving == pytest.approx(taken, rel=0.25)


def test_a_checkpoint_holds_all_samples_so_far():
    one = SweepWork(10, 5, 5, 2).saving_seconds(101, 0, 101) / 100
    # 50 samples after a hundred sweeps and 100 after two hundred
    assert SweepWork(10, 5, 5, 2).saving_seconds(201, 50, 151) / one == pytest.approx(50 + 150)
    assert SweepWork(10, 5, 5, 2).saving_seconds(100, 0, 100) == 0.0
    assert SweepWork(10, 5, 5, 2).saving_seconds(10**7, 20, 100) > 0.0


def test_tasks_of_large_sweeps_are_counted_one_by_one():
    least, most = (SweepWork(n, 600, 600, 20).seconds for n in (2_040_000, 2_070_000))
    assert most - least > 0.01


@pytest.mark.parametrize("stamped", [False, True])
def test_a_chain_is_counted_by_what_it_draws(stamped, tmp_path):
    users, items = (one.ravel() for one in np.indices((20, 10)))
    frame = pd.DataFrame({"user": users, "item": items, "rating": 1.0 + (users * items) % 5})
    if stamped:
        frame["timestamp"] = 86_400 * (users % 4) + items
    with open_ratings(frame, ReadConfig()) as store:
        split = ensure_split(store, SplitSpec("none", validation_fraction=0.1))
        config = TrainConfig.parse({"rank": 3})
        kinds = Kinds(widens=True, censors=True, dates=True)
        chains = Chains(None, store, split, config, NO_OPTIONS, print, kinds, is_mirrored=True)
        assert count_dates(store, split) == 4 * stamped
        wanted = [
            config.model_copy(update=update)
            for update in (
                {},
                {"user_features": ("implicit",)},
                {"likelihood": "censored"},
                {"time_bins": "day"},
            )
        ]
        found = [chains._work(one) for one in wanted]
        assert found == [
            SweepWork(200, 20, 10, 3),
            SweepWork(200, 20, 10, 3, is_wide=True),
            SweepWork(200, 20, 10, 3, is_censored=True),
            SweepWork(200, 20, 10, 3, n_dates=4 * stamped),
        ]
        saved = replace(NO_OPTIONS, checkpoints=Checkpoints(tmp_path / "checkpoints"))
        kept = config.model_copy(update={"sweeps": 240, "burn_in": 20})
        writing = Chains(None, store, split, config, saved, print, kinds, is_mirrored=True)
        of_checkpoints = found[0].saving_seconds(240, 20, kept.keep_samples)
        assert chains._kept_seconds(kept) == 240 * found[0].seconds
        assert writing._kept_seconds(kept) == pytest.approx(240 * found[0].seconds + of_checkpoints)
        assert of_checkpoints > 0.0
        assert writing.least_seconds == chains.least_seconds  # nothing that is chosen depends on it
        shortest = chains.least_seconds
        assert chains.fit(shortest + 0.01)
        assert not chains.fit(shortest - 0.01)
