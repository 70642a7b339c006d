"""Hyperparameter search on validation alone: exhaustive grids and Optuna's, resumable.

Trials run side by side on the cluster over the same resident blocks. A trial is recorded as it ends; a
search that is run again in the same folder continues, since what it asks next follows from its seed and the
results so far.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import ConfigError, NumericalError, RowError
from daskals.evaluation.ranking import RankingTask, make_task, relevant_for
from daskals.experiments.metric import RMSE, Metric, order_figures
from daskals.experiments.search_space import Axis, Grid, Point, config_of
from daskals.fitting.fit import split_spec
from daskals.store.atomic_file import write_text_whole
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.features import resolve_model
from daskals.training.stopping import check_validation
from daskals.training.trial import Judge, SharedData, run_trial
from daskals.types import VALIDATION, FactorRows

RECORDS = "trials.json"
LIST_LENGTH = 10
"""Of the lists whose precision and recall every record tells."""
BATCH = 4
"""Trials that are asked for at once, whatever the cluster, so that a search does not depend on it."""

_WORST = 1e3
"""What a point that cannot be solved counts as."""

OnTrial = Callable[[Mapping[str, Any]], None]


class Search:
    """A search on one set of ratings.

    Parameters
    ----------
    cluster, store
        Where it runs, on what.
    base
        Options that all trials share; must cut a validation part.
    folder
        Where trials are recorded, and found again.
    on_trial
        Called with the record of each trial that ends, if given.
    metric
        What trials are chosen by, and the epochs of a trial.
    patience
        Epochs without a better one that end a trial, where the options cannot tell: of implicit feedback.

    Raises
    ------
    ConfigError
        If implicit feedback is to be judged by errors of ratings, or `folder` holds another search.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        base: TrainConfig,
        folder: Path,
        on_trial: OnTrial | None = None,
        metric: Metric = RMSE,
        patience: int | None = None,
    ) -> None:
        if base.model == "ials" and not metric.k:
            raise ConfigError(
                f"found {metric} with --model=ials, which predicts no rating",
                where="--metric",
                expected="ndcg@K or recall@K, such as ndcg@10",
            )
        self.cluster = cluster
        self.store = store
        self.base = base
        self.folder = folder
        self.on_trial = on_trial
        self.metric = metric
        self.patience = patience
        self._split = ensure_split(store, split_spec(base, store))
        check_validation(store, self._split)
        self._records = _read_records(folder, self._identity())
        self._task: RankingTask
        self._data: SharedData

    def run_grid(self, grid: Grid) -> list[dict[str, Any]]:
        """Run every point of a grid; return the records in the grid's order."""
        points = grid.points()
        self._share(points)
        return self._run(points)

    def run_optuna(self, axes: Sequence[Axis], n_trials: int, seed: int) -> list[dict[str, Any]]:
        """Let Optuna's tree-structured Parzen estimator choose `n_trials` points.

        Raises
        ------
        ConfigError
            If Optuna is not installed.
        """
        study, to_distribution = _make_study(seed)
        distributions = {axis.name: to_distribution(axis) for axis in axes}
        self._share([{axis.name: axis.high for axis in axes}])
        records: list[dict[str, Any]] = []
        while len(records) < n_trials:
            asked = [study.ask(distributions) for _ in range(min(BATCH, n_trials - len(records)))]
            found = self._run([dict(trial.params) for trial in asked])
            for trial, record in zip(asked, found, strict=True):
                cost = self.metric.cost(record)
                study.tell(trial, _WORST if cost is None else cost)
            records += found
        return records

    def _share(self, points: Sequence[Point]) -> None:
        configs = [resolve_model(self.store, config_of(self.base, point)) for point in points]
        self._data = SharedData(self.cluster, self.store, self._split, configs)
        relevant, k = relevant_for(self.base.model, self.store), max(LIST_LENGTH, self.metric.k)
        self._task = make_task(self.store, self._split, VALIDATION, k=k, relevant=relevant)

    def _identity(self) -> dict[str, Any]:
        split = split_spec(self.base, self.store)
        return {
            "ratings": self.store.content_hash,
            "split": split.key(),
            "metric": str(self.metric),
            "options": json.loads(json.dumps(self.base.as_report())),
        }

    def _run(self, points: Sequence[Point]) -> list[dict[str, Any]]:
        missing = [point for point in points if _key(point) not in self._records]
        workers = max(2, sum(self.cluster.workers.values()))
        with ThreadPoolExecutor(workers, thread_name_prefix="trial") as pool:
            for record in pool.map(self._try, missing):
                self._records[_key(record["point"])] = record
                self._write()
                if self.on_trial is not None:
                    self.on_trial(record)
        return [self._records[_key(point)] for point in points]

    def _try(self, point: Point) -> dict[str, Any]:
        config = resolve_model(self.store, config_of(self.base, point))
        try:
            judge = self._judge(config.effective_rank)
            result = run_trial(self.cluster, self._data, config, judge, self.patience)
        except (RowError, NumericalError) as error:
            # a point that cannot be solved is a bad point, not the end of the search
            return {"point": dict(point), "validation_rmse": None, "failed": error.for_command()}
        figures = self._order(result.user_rows, result.item_rows, config.effective_rank)
        chosen = {self.metric.key: figures[self.metric.key]} if self.metric.k else {}
        return {
            "point": dict(point),
            "epochs": result.epoch,
            "validation_rmse": None if self.base.model == "ials" else result.validation_rmse,
            **chosen,
            "train_rmse": result.train_rmse,
            "precision_at_10": figures["precision_at_10"],
            "recall_at_10": figures["recall_at_10"],
            "failed": None,
        }

    def _judge(self, rank: int) -> Judge | None:
        if not self.metric.k:
            return None
        return lambda users, items: self._order(users, items, rank)[self.metric.key]

    def _order(self, users: FactorRows, items: FactorRows, rank: int) -> dict[str, float]:
        """Return the figures of the order by predicted rating that a record may tell."""
        ten, own = order_figures(self._task, users, items, rank, (LIST_LENGTH, self.metric.k or LIST_LENGTH))
        found = {
            "precision_at_10": float(np.mean(ten.precision)),
            "recall_at_10": float(np.nanmean(ten.recall)),
        }
        if self.metric.k:
            found[self.metric.key] = float(np.nanmean(getattr(own, self.metric.figure)))
        return found

    def _write(self) -> None:
        records = sorted(self._records.values(), key=lambda record: _key(record["point"]))
        text = json.dumps({"identity": self._identity(), "trials": records}, indent=1)
        write_text_whole(self.folder / RECORDS, text + "\n")


def _make_study(seed: int) -> tuple[Any, Callable[[Axis], Any]]:
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "Optuna is not installed",
            where="--search",
            expected="the extra [tune]",
            remedy="Install it with: pip install 'daskals[tune]'",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=12)
    study = optuna.create_study(direction="minimize", sampler=sampler)

    def to_distribution(axis: Axis) -> Any:
        if axis.is_integer:
            return optuna.distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.is_log)
        return optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.is_log)

    return study, to_distribution


def _key(point: Point) -> str:
    return json.dumps(dict(sorted(point.items())))


def _read_records(folder: Path, identity: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    path = folder / RECORDS
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        before, trials = dict(stored["identity"]), stored["trials"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot be read as trials ({error})", where=str(path), remedy="Choose another --out"
        ) from None
    before.setdefault("metric", str(RMSE))  # searches had no other once
    unlike = [name for name in identity if before.get(name) != identity[name]]
    if unlike:
        raise ConfigError(
            f"holds trials with other {' and '.join(unlike)}",
            where=str(path),
            expected="a folder of the same search",
            remedy="Choose another --out, or give the ratings and options it began with",
        )
    return {_key(record["point"]): record for record in trials}


def best_of(records: Iterable[Mapping[str, Any]], metric: Metric = RMSE) -> Mapping[str, Any]:
    """Return the record that a metric finds best, the first of equals.

    Raises
    ------
    ConfigError
        If every trial failed; the message is the first one's.
    """
    listed = list(records)
    costs = {n: cost for n, record in enumerate(listed) if (cost := metric.cost(record)) is not None}
    if not costs:
        raise ConfigError(f"every trial failed, the first one because {listed[0]['failed']}", where="tuning")
    return listed[min(costs, key=lambda n: costs[n])]


def best_config(base: TrainConfig, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that train the best point on all of train, as `jobs.train --config` takes them."""
    config = config_of(base, record["point"])
    options = {name: value for name, value in config.as_report().items() if value is not None}
    options |= {"epochs": record["epochs"], "validation_fraction": 0.0}
    options.pop("patience", None)
    return options


def as_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the records as a table: the options that were tried, then the figures."""
    rows = [{**record["point"], **{k: v for k, v in record.items() if k != "point"}} for record in records]
    return pd.DataFrame(rows)


def write_tables(records: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `trials.parquet` and `trials.csv`."""
    table = as_table(records)
    table.to_csv(folder / "trials.csv", index=False)
    table.to_parquet(folder / "trials.parquet", index=False)
