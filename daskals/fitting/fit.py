"""`daskals.fit` and `daskals.cross_validate`: from ratings in any form to a fitted model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

from distributed import Client

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.config.arguments import check_kind, check_list
from daskals.errors import ConfigError
from daskals.evaluation.prediction_error import evaluate_split
from daskals.fitting.baseline import baseline_notes, baseline_section
from daskals.fitting.carried import carried_ratings
from daskals.fitting.chains import Kinds
from daskals.fitting.choice import chosen_before, learns, why_nothing_is_learnt
from daskals.fitting.dated import dated
from daskals.fitting.epochs import choose_epochs
from daskals.fitting.held_out_users import with_held_out_users
from daskals.fitting.mixing import mixing_notes, mixing_section
from daskals.fitting.order import add_order
from daskals.fitting.posterior import posterior_section, to_be_saved
from daskals.fitting.report import (
    add_costs,
    build_report,
    data_section,
    standard_section,
    time_notes,
    time_section,
)
from daskals.fitting.selection import Selection
from daskals.ingest import RatingsSource, open_ratings
from daskals.kernels.gibbs.censored import ends_of
from daskals.model.fitted import Model
from daskals.model.samples import Samples
from daskals.model.times import TimeRows
from daskals.ratings.split import SplitSpec
from daskals.store.limits import rating_limits
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.events import Callback, Notice, PhaseStarted, teller
from daskals.training.features import chosen_section, resolve_model
from daskals.training.gibbs.sampler import GibbsSampler
from daskals.training.memory import begin_peak
from daskals.training.outcome import TrainedFactors
from daskals.training.problem import Problem
from daskals.training.run import NO_OPTIONS, RunOptions
from daskals.training.state import TrainingState
from daskals.training.trainer import Trainer


def fit(
    ratings: RatingsSource,
    config: TrainConfig | None = None,
    client: Client | None = None,
    callbacks: Sequence[Callback] = (),
    run: RunOptions = NO_OPTIONS,
    *,
    columns: Mapping[str, str] | None = None,
    catalogue: Any = None,
) -> Model:
    """Train a model.

    Parameters
    ----------
    ratings
        A pandas, Arrow, Polars or Dask frame, a DuckDB relation or another Arrow stream, a SciPy
        sparse matrix (rows are users), the path of a ratings file, folder or store, the name of a data set,
        or an open store.
    config
        Reading, split and model; the defaults are paper 1's.
    client
        A connected Dask client; without one, threads of this process do the work.
    callbacks
        Called with every event of the run.
    run
        Checkpoints and memory; without it, no checkpoints and half of each machine's memory.
    columns
        Role (`user`, `item`, `rating`, `timestamp`) → name of the column, as `config.columns`.
    catalogue
        What the items are: a table, or a file as `config.catalogue`; `config.catalogue_columns` names its
        columns `item`, `title`, `genres` and `year`, where they are not called so.

    Returns
    -------
    Model
        The fitted model, with the run's report.

    Raises
    ------
    DaskalsError
        If ratings, options or the cluster do not allow it; the message says what to do.
    """
    config = TrainConfig() if config is None else config
    _check(config, client, callbacks)
    if columns is not None:
        check_kind(columns, Mapping, "columns", 'a mapping, as {"user": "who", "item": "what"}')
        config = config.model_copy(update={"columns": dict(columns)})
    if isinstance(catalogue, str | Path):
        config, catalogue = config.model_copy(update={"catalogue": str(catalogue)}), None
    if config.split == "kfold" and config.fold is None:
        raise ConfigError(
            "fit trains one model and was given no fold",
            where="--split=kfold",
            expected="a fold number",
            remedy="Name one, or use cross_validate",
        )
    with _prepared(ratings, config, client, callbacks, catalogue) as (cluster, store):
        lasting = isinstance(ratings, str | Path | RatingsStore) and catalogue is None
        if config.keep_ratings and not lasting:
            # the store of a frame is gone when this ends: nothing else could tell what its users rated
            keep = max(config.keep_ratings, store.n_ratings)
            config = config.model_copy(update={"keep_ratings": keep})
        model = _fit_store(cluster, store, config, callbacks, run)
        if config.refit_all and model.report["data"]["n_train"] < store.n_ratings:
            model = _trained_on_all(cluster, store, model, callbacks, run.part("refit"))
        return model


def cross_validate(
    ratings: RatingsSource,
    config: TrainConfig,
    client: Client | None = None,
    callbacks: Sequence[Callback] = (),
    on_fold: Callable[[int], None] | None = None,
    run: RunOptions = NO_OPTIONS,
) -> dict[str, Any]:
    """Train one model a fold of `config.folds`; return their reports with mean and standard deviation.

    Parameters
    ----------
    ratings, config, client, callbacks
        As in `fit`.
    on_fold
        Called with the number of each fold, from 0, as it begins.
    run
        As in `fit`.
    """
    _check(config, client, callbacks)
    reports = []
    with _prepared(ratings, config, client, callbacks) as (cluster, store):
        for fold in range(config.folds):
            if on_fold is not None:
                on_fold(fold)
            # the models are dropped: nobody will ask them for lists
            one = config.model_copy(update={"split": "kfold", "fold": fold, "order": "rating"})
            options = run.part(f"fold-{fold}")
            reports.append(_fit_store(cluster, store, one, callbacks, options).report)
    summary: dict[str, Any] = {"config": config.as_report(), "folds": reports}
    for name in ("test_rmse", "test_rmse_clipped", "test_mae"):
        figures = [report[name] for report in reports]
        summary[f"{name}_mean"] = statistics.mean(figures)
        summary[f"{name}_deviation"] = statistics.stdev(figures)
    return summary


def _check(config: TrainConfig, client: Client | None, callbacks: Sequence[Callback]) -> None:
    """Refuse, with ConfigError, arguments that are none, before any ratings are read."""
    check_kind(config, TrainConfig, "config", "a daskals.TrainConfig, as TrainConfig(rank=20)")
    check_kind(client, (Client, NoneType), "client", "a connected distributed.Client, or None")
    check_list(callbacks, "callbacks", "a list of functions, each called with every event")


def split_spec(config: TrainConfig, store: RatingsStore) -> SplitSpec:
    """Return the split protocol that a configuration asks for; a source's own unless another is named."""
    own = store.has_predefined_test and "split" not in config.model_fields_set
    return SplitSpec(
        method="predefined" if own else config.split,
        test_fraction=config.test_fraction,
        validation_fraction=config.validation_fraction,
        folds=config.folds,
        fold=config.fold or 0,
        seed=config.seed if config.split_seed is None else config.split_seed,
    )


@contextmanager
def _prepared(
    ratings: RatingsSource,
    config: TrainConfig,
    client: Client | None,
    callbacks: Sequence[Callback],
    catalogue: Any = None,
) -> Iterator[tuple[Cluster, RatingsStore]]:
    teller(callbacks)(PhaseStarted("read"))
    with open_ratings(ratings, config, catalogue) as store:
        if client is not None:
            yield Cluster(client), store
            return
        with connect(ClusterConfig(dashboard_address=None)) as cluster:
            yield cluster, store


def _fit_store(
    cluster: Cluster,
    store: RatingsStore,
    config: TrainConfig,
    callbacks: Sequence[Callback],
    run: RunOptions,
) -> Model:
    begin_peak()
    cluster.everywhere(begin_peak)
    asked, config = config, resolve_model(store, config)
    selection: dict[str, Any] | None = None
    rehearsal: TrainedFactors | None = None
    continued = None if run.checkpoints is None else run.checkpoints.options_of_last()
    if continued is not None:
        config = config.model_copy(update={"units": continued["units"]})
    tell = teller(callbacks)
    if (named := why_nothing_is_learnt(asked, config.model)) is not None:
        tell(Notice(named))
    if learns(asked):
        kinds = Kinds.left_open(asked)
        config, selection = _learn(cluster, store, config, callbacks, run, continued, kinds)
    elif config.patience is not None:
        split = ensure_split(store, split_spec(config, store))
        config, selection, rehearsal = choose_epochs(
            cluster, store, split, config, callbacks, run.part("selection")
        )
    if config.model == "bayes" and ensure_split(store, split_spec(config, store)).has_one_rating:
        if config.likelihood == "censored":
            ends_of(store.scale, rating_limits(store))  # which tells where there are none
        tell(Notice("all training ratings are the same: there is no posterior but that one rating"))
        plain: dict[str, Any] = dict.fromkeys(("item_features", "user_features"), ())
        plain |= {"model": "bias", "likelihood": "gaussian", "time_bins": "none", "chains": 1}
        config = config.model_copy(update=plain)
    # before the training, which goes on though the store be lost once its ratings are in memory
    baseline = baseline_section(cluster, store, split_spec(config, store), config, run)
    model = train_split(cluster, store, split_spec(config, store), config, callbacks, run)
    model.report["model"]["asked"] = asked.model
    model.report.update(selection=selection, baseline=baseline)
    report = model.report
    add_costs(report, selection, rehearsal)
    found = baseline_notes(model) + mixing_notes(report)
    report["notes"] += found
    for note in found:
        tell(Notice(note))
    if selection is not None and "forecast_seconds" in selection:
        _compare_forecast(model, selection, callbacks)
    return model


JUDGED = (
    "train_rmse", "validation_rmse", "n_test", "test_rmse", "test_rmse_clipped", "test_mae", "factors_sha256",
)  # fmt: skip
"""Figures of a model that are told beside the one that took its place."""


def _trained_on_all(
    cluster: Cluster,
    store: RatingsStore,
    judged: Model,
    callbacks: Sequence[Callback],
    run: RunOptions,
) -> Model:
    """Train again on all ratings, by the options that the judged model came out of."""
    teller(callbacks)(Notice(f"judged; now training on all {store.n_ratings:,} ratings with what was found"))
    update = {"split": "none", "validation_fraction": 0.0, "patience": None, "monitor_test": False}
    everything = TrainConfig.from_report(judged.report["config"], **update)
    model = train_split(cluster, store, split_spec(everything, store), everything, callbacks, run)
    for name in ("model", "selection", "baseline", "notes"):
        if name in judged.report:
            model.report[name] = judged.report[name]
    model.report["judged"] = {name: judged.report[name] for name in JUDGED if name in judged.report}
    model.report["judged"]["split"] = judged.report["data"]["split"]
    return model


def _learn(
    cluster: Cluster,
    store: RatingsStore,
    config: TrainConfig,
    callbacks: Sequence[Callback],
    run: RunOptions,
    continued: dict[str, Any] | None,
    kinds: Kinds,
) -> tuple[TrainConfig, dict[str, Any]]:
    """Let the data choose the model, or take what a run that is continued, by its options, chose."""
    if continued is not None:
        choice = chosen_before(config, continued)
    else:
        spec = split_spec(config, store)
        choice = Selection(cluster, store, config, spec, callbacks, run, kinds).choose()
    teller(callbacks)(Notice(choice.sentence))
    return choice.config, choice.section


def _compare_forecast(model: Model, selection: dict[str, Any], callbacks: Sequence[Callback]) -> None:
    """Say where a chain took another time than was said before it began."""
    taken = sum(record["seconds"] for record in model.report["history"])
    forecast = selection["forecast_seconds"]
    selection["taken_seconds"] = taken
    if not 0.5 * forecast <= taken <= 1.5 * forecast:
        teller(callbacks)(Notice(f"the sweeps took {taken:,.0f} s, {forecast:,.0f} s were forecast"))


def train_split(
    cluster: Cluster,
    store: RatingsStore,
    spec: SplitSpec,
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    run: RunOptions = NO_OPTIONS,
    *,
    start: TrainingState | None = None,
) -> Model:
    """Train one model on one split of a store.

    Parameters
    ----------
    cluster
        Where the tasks run.
    store, spec
        The ratings, and which of them train.
    config
        A configuration in which nothing is left to the data; see `resolve_model`.
    callbacks, run
        As in `fit`.
    start
        State to start from, without history; random factors if None. For ALS only.

    Returns
    -------
    Model
        The fitted model; its report tells all but how the configuration was chosen.
    """
    split = ensure_split(store, spec)
    problem = Problem(cluster, store, split, config)
    kept = carried_ratings(problem, callbacks)
    notes = time_notes(problem)
    for note in notes:
        teller(callbacks)(Notice(note))
    samples: Samples | None = None
    times: TimeRows | None = None
    if config.model == "bayes":
        posterior = GibbsSampler(cluster, store, split, config, callbacks, run).run()
        trained, samples, times = to_be_saved(posterior, split, problem.timing)
    else:
        trained = Trainer(cluster, store, split, config, callbacks, run, start=start).train()
        if problem.timing is not None:
            trained, times = dated(trained, split, problem.timing)
    model = Model(
        rank=trained.spec.rank,
        mean=trained.spec.mean,
        limits=rating_limits(store),
        user_rows=trained.user_rows,
        item_rows=trained.item_rows,
        user_ids=store.user_ids,
        item_ids=store.item_ids,
        user_counts=split.train_counts("user"),
        item_counts=split.train_counts("item"),
        catalogue=store.catalogue(),
        report={
            **build_report(config, cluster, data_section(store, spec, split), trained),
            **chosen_section(store, config, config),
            "selection": None,
            "standard": standard_section(problem),
            "times": time_section(problem),
        },
        weights=trained.weights,
        samples=samples,
        kept=kept,
        curve=problem.curve,
        times=times,
    )
    model.report["notes"] += notes
    if split.n_fold_in:
        model = with_held_out_users(model, store, split)
    elif samples is not None or times is not None:
        # of what is saved: samples, not the short ALS before the chain; dates without training ratings
        model.report.update(evaluate_split(model, store, split))
    if samples is not None:
        model.report.update(posterior_section(posterior, samples, is_curved=problem.curve is not None))
        counts = split.train_counts("user"), split.train_counts("item")
        model.report.update(mixing_section(posterior, samples, config.burn_in, counts))
    model.report["factors_sha256"] = model.factors_sha256()
    return add_order(model, store, split, config)
