"""Gibbs chains that `auto` judges: which, for how many sweeps, and what they take.

One has the catalogue's features; where nobody named features, one also learns from who rated what; and where
many ratings are at an end of the scale, the better of them is judged once more with ratings beyond it
(`--likelihood censored`). The best of these is judged once more with days (`--time-bins day`), where the
ratings have times and what validates is chosen as what tests is: of days to come only a validation of later
ratings tells. It is taken where it is better by more than chance. Each goes on for as many sweeps as it gains
by. Time is counted in work (`sweep_cost`), so that no choice depends on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.gain import Gain, gain_of, validating_users
from daskals.fitting.sweep_cost import SweepWork
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import Unit, timing_of
from daskals.training.events import Callback, EpochFinished, Notice
from daskals.training.gibbs.sampler import GibbsSampler
from daskals.training.run import RunOptions
from daskals.training.stopping import hardly_gains, is_beaten
from daskals.types import VALIDATION, Float64

IMPLICIT = "implicit"
"""The features that say who rated what."""

EPOCH_TASKS = 0.01
"""Seconds that tasks take beside their arithmetic, where many epochs are one (`cluster.bundles`)."""

MULTIPLICATIONS = 2.5e10
"""What two usual cores do in a second."""

FACTORS_RIDGE, BIASES_RIDGE = 25.0, 5.0
"""Of the short training that a chain begins with, relative to λ."""

BURN_IN = 20
WARM_EPOCHS = 3
CHAINS = ((120, 240), (120, 120), (60, 100))
"""Most sweeps of the chain that is judged and of the one that is kept, the first pair that fits the time."""

ENOUGH = 1e-3
"""Share by which a chain's validation error must fall in twenty sweeps for its judgement to go on.

One that ends early is kept for fewer sweeps in proportion: what a mean over n sweeps lacks falls as 1/n.
"""

BEATEN = 2e-3
"""How much worse than the best chain after as many sweeps, a share, a later one is given up."""

MANY_AT_ENDS = 0.1
"""Share of ratings at the ends of the scale from which a chain is judged that looks beyond them."""

FEWEST_PLACES = 3
"""Ratings of which a scale must have as many for that: between two ends nothing tells how far beyond."""


MIRRORED = frozenset({"random", "per-user", "last", "time", "kfold"})
"""Splits whose validation part is chosen as their test part is."""


class Kinds(NamedTuple):
    """What a chain may be that nobody asked for: with who rated what, beyond the ends, with days."""

    widens: bool
    censors: bool
    dates: bool

    @classmethod
    def left_open(cls, asked: TrainConfig) -> Kinds:
        """Return what the options leave to the data."""
        named = asked.model_fields_set
        return cls(
            widens=not named & {"item_features", "user_features"},
            censors=asked.transform == "none" and "likelihood" not in named,
            dates="time_bins" not in named,
        )


class Chain(NamedTuple):
    """A chain as it would be kept, and the seconds that should take.

    `rmse`, `history`, `squares`: its error when judged, what led to it, and the squared error of each
    validation rating, float64, shape (ratings,); `gain`: of a chain with days, over the best one without.
    """

    config: TrainConfig
    rmse: float
    seconds: float
    history: Sequence[EpochFinished]
    squares: Float64
    gain: Gain | None = None

    @property
    def told(self) -> str:
        """What is special about it, for a sentence that begins with it."""
        return "".join(f"{what}, " for what in _special(self.config))

    @property
    def may_be_taken(self) -> bool:
        """Whether it is one to choose from: of one with days, whether it is better by more than chance."""
        return self.gain is None or self.gain.is_sure

    def as_report(self) -> dict[str, Any]:
        """Return what a report tells of it."""
        config = self.config
        return {
            "item_features": list(config.item_features or ()),
            "user_features": list(config.user_features or ()),
            "likelihood": config.likelihood,
            "time_bins": config.time_bins,
            "sweeps": config.sweeps,
            "judged_sweeps": len(self.history),
            "validation_rmse": self.rmse,
            **({} if self.gain is None else {"gain": self.gain._asdict()}),
        }


class Chains:
    """The chains of one choice.

    Parameters
    ----------
    cluster, store, split
        Where, and on what: the split has a validation part, which judges.
    config
        The options, resolved as if nothing were to learn.
    run, tell
        Memory and threads, and whether the chain that is kept writes checkpoints; told what is going on, in
        lines.
    kinds
        What a chain may be that nobody asked for.
    is_mirrored
        Whether what validates was chosen as what tests was.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        split: Split,
        config: TrainConfig,
        run: RunOptions,
        tell: Callback,
        kinds: Kinds,
        *,
        is_mirrored: bool,
    ) -> None:
        self._cluster, self._store, self._split = cluster, store, split
        self._config, self._run, self._tell = config, replace(run, checkpoints=None), tell
        self._writes_checkpoints = run.checkpoints is not None
        self._widens = kinds.widens
        weighs = store.has_weights or config.half_life is not None
        self._censors = kinds.censors and not weighs and share_at_ends(store) >= MANY_AT_ENDS
        seeks = kinds.dates and is_mirrored
        unit = config.time_bins if config.time_bins != "none" else "day"
        self._n_dates = count_dates(store, split, unit) if seeks or has_dates(config) else 0
        self._dates = seeks and self._n_dates > 0

    @property
    def epoch_seconds(self) -> float:
        """What an epoch should take: a Gram matrix from every rating, and a system for every row."""
        size = self._config.effective_rank + 2
        rows = self._store.n_users + self._store.n_rated_items
        return EPOCH_TASKS + (2 * self._split.n_train * size**2 + rows * size**3 / 3) / MULTIPLICATIONS

    @property
    def least_seconds(self) -> float:
        """What the shortest chain should take, judged and kept."""
        return self._seconds(CHAINS[-1], self._chain_config())

    def configs(self) -> Iterator[TrainConfig]:
        """Return what chains may be run with, for whoever compiles ahead."""
        yield self._chain_config()
        if self._widens:
            yield self._chain_config(implicit=True)
        if self._censors:
            yield self._chain_config(censored=True)
        if self._dates:
            yield _with_days(self._chain_config(implicit=self._widens))

    def fit(self, left: float) -> bool:
        """Tell whether the seconds left have room for any."""
        return self._first_that_fits(left, self._chain_config()) is not None

    def judge(self, left: float) -> list[Chain]:
        """Run the chains that the seconds left have room for, the plainest first.

        Raises NumericalError where one fails.
        """
        judged: list[Chain] = []
        for config in self._candidates(judged):
            if (pair := self._first_that_fits(left, config)) is None:
                continue
            rival = _best(judged) if judged else None
            config = config.model_copy(update={"sweeps": pair[0]})
            chain = self._judge(config, pair[1], () if rival is None else rival.history)
            if rival is not None and has_dates(config):
                users = validating_users(self._store, self._split)
                chain = chain._replace(gain=gain_of(chain.squares, rival.squares, users))
            judged.append(chain)
            left -= len(chain.history) * self._work(config).seconds
        return judged

    def _candidates(self, judged: Sequence[Chain]) -> Iterator[TrainConfig]:
        yield self._chain_config()
        if self._censors:  # by the plain chain, which is the cheapest
            yield self._chain_config(censored=True)
        if self._widens:
            censored = self._censors and bool(judged) and is_censored(_best(judged).config)
            yield self._chain_config(implicit=True, censored=censored)
        if self._dates and judged:
            best = _best(judged).config
            wide, censored = self._widens and is_wide(best), self._censors and is_censored(best)
            yield _with_days(self._chain_config(implicit=wide, censored=censored))

    def _judge(self, config: TrainConfig, sweeps: int, rival: Sequence[EpochFinished]) -> Chain:
        """Run a chain on the shortened train; return it as it would be kept, with its validation error."""
        seconds = config.sweeps * self._work(config).seconds
        special = " and ".join(_special(config))
        what = f" {special}" if special else ""
        self._tell(Notice(f"judging a chain{what} of up to {config.sweeps} sweeps, some {seconds:,.0f} s"))
        # nobody asks a chain that is judged for its samples
        judged = config.model_copy(update={"keep_samples": 1})

        def is_enough(history: Sequence[EpochFinished]) -> bool:
            return hardly_gains(history, ENOUGH) or is_beaten(history, rival, BEATEN)

        posterior = GibbsSampler(
            self._cluster, self._store, self._split, judged, (), self._run, judged=VALIDATION, until=is_enough
        ).run()
        found = posterior.predictive
        assert found is not None
        history = posterior.trained.history
        sweeps = math.ceil(sweeps * len(history) / config.sweeps)
        kept = config.model_copy(update={"sweeps": sweeps})
        return Chain(kept, found.rmse, self._kept_seconds(kept), history, found.squares)

    def _first_that_fits(self, left: float, config: TrainConfig) -> tuple[int, int] | None:
        """Return the first of `CHAINS` that the seconds left have room for."""
        return next((pair for pair in CHAINS if self._seconds(pair, config) <= left), None)

    def _seconds(self, pair: tuple[int, int], config: TrainConfig) -> float:
        """Return what sweeps should take that judge and that are kept, the latter with their checkpoints.

        These count though the run may write none: no choice depends on where it is saved.
        """
        work = self._work(config)
        return sum(pair) * work.seconds + work.saving_seconds(pair[1], config.burn_in, config.keep_samples)

    def _kept_seconds(self, config: TrainConfig) -> float:
        """Return what a chain that is kept should take in this run, with its checkpoints if it writes any."""
        if self._writes_checkpoints:
            return self._seconds((0, config.sweeps), config)
        return config.sweeps * self._work(config).seconds

    def _work(self, config: TrainConfig) -> SweepWork:
        # what validates trains the chain that is kept
        return SweepWork(
            self._split.n_train + self._split.n_validation,
            self._store.n_users,
            self._store.n_rated_items,
            config.effective_rank,
            n_dates=self._n_dates * has_dates(config),
            is_wide=is_wide(config),
            is_censored=is_censored(config),
        )

    def _chain_config(self, *, implicit: bool = False, censored: bool = False) -> TrainConfig:
        config = self._config
        wider = (IMPLICIT,) if implicit else ()
        update = {
            "item_features": (*(config.item_features or ()), *wider),
            "user_features": (*(config.user_features or ()), *wider),
            "model": "bayes",
            "likelihood": "censored" if censored else config.likelihood,
            "units": "deviations",
            "tau": config.lambda_ * FACTORS_RIDGE,
            "gamma": config.lambda_ * BIASES_RIDGE,
            "sweeps": CHAINS[0][0],
            "burn_in": BURN_IN,
            "warm_start": WARM_EPOCHS,
        }
        return config.model_copy(update=update)


def is_wide(config: TrainConfig) -> bool:
    """Tell whether a chain learns from who rated what."""
    return IMPLICIT in (config.user_features or ())


def is_censored(config: TrainConfig) -> bool:
    """Tell whether a chain looks beyond the ends of the scale."""
    return config.likelihood == "censored"


def has_dates(config: TrainConfig) -> bool:
    """Tell whether a chain has a third side of time."""
    return config.time_bins != "none"


def count_dates(store: RatingsStore, split: Split, unit: Unit = "day") -> int:
    """Return on how many days, weeks or months training ratings were made.

    0 where they were not made at known times, on more than one of them.
    """
    if not store.has_timestamps:
        return 0
    try:
        timing = timing_of(store, split, unit).timing
    except DataError:  # too many months
        return 0
    return 0 if timing is None else len(timing.bins)


def _best(judged: Sequence[Chain]) -> Chain:
    return min(judged, key=lambda chain: chain.rmse)


def _special(config: TrainConfig) -> list[str]:
    """Say what a chain is that others are not."""
    found = ["with who rated what"] if is_wide(config) else []
    found += ["beyond the ends of the scale"] if is_censored(config) else []
    return found + (["with days"] if has_dates(config) else [])


def _with_days(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"time_bins": "day"})


def share_at_ends(store: RatingsStore) -> float:
    """Return the share of ratings that are the lowest or the highest; 0 on a scale of fewer than three."""
    if 0 < len(store.scale) < FEWEST_PLACES:
        return 0.0
    # codes of a scale ascend as it does
    values = store.read_column("user", "values", 0, store.n_ratings)
    return float(np.mean((values == values.min()) | (values == values.max())))
