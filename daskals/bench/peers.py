"""Comparable systems on the same matrix at the same K: implicit, cmfrec, Spark and myFM, each if installed.

None is asked to do what it does not offer: what its model lacks is said in its note.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData, rows_of
from daskals.bench.memory import peak_memory_bytes
from daskals.config import TrainConfig
from daskals.training.features import load_features, side_features
from daskals.types import Float32, Int32, RatingsBlock, Side

SPARK_MEMORY_SHARE = 0.6


def _run_implicit(data: BenchData, assignment: Assignment, *, use_cg: bool) -> Outcome:
    from implicit.cpu.als import AlternatingLeastSquares

    config = assignment.config
    started = time.perf_counter()
    users = data.users
    shape = (users.n_rows, data.items.n_rows)
    matrix = scipy.sparse.csr_matrix((users.ratings, users.indices, users.indptr), shape=shape)
    seconds: list[float] = []
    model = AlternatingLeastSquares(
        factors=config.rank,
        regularization=config.ridge.factors,
        dtype=np.float32,
        use_cg=use_cg,
        iterations=config.epochs,
        num_threads=assignment.threads,
        random_state=config.seed,
    )
    model.fit(matrix, show_progress=False, callback=lambda _, elapsed, __: seconds.append(elapsed))
    return Outcome(
        seconds=seconds,
        test_rmse=None,
        threads=f"{assignment.threads} threads, BLAS 1",
        setup_seconds=time.perf_counter() - started - sum(seconds),
        order=None if use_cg else config.rank,
        note="its model is of implicit feedback, without biases: speed only, no RMSE",
    )


def _run_cmfrec(data: BenchData, assignment: Assignment, *, use_cg: bool) -> Outcome:
    from cmfrec import CMF

    config = assignment.config
    users = data.users
    shape = (users.n_rows, data.items.n_rows)
    matrix = scipy.sparse.coo_array((users.ratings, (rows_of(users), users.indices)), shape=shape)
    ridge = config.ridge

    def fit(epochs: int) -> tuple[Any, float]:
        # order of the six: user bias, item bias, user factors, item factors, two of side information
        weights = np.array([ridge.bias] * 2 + [ridge.factors] * 4)
        model = CMF(
            k=config.rank,
            lambda_=weights,
            use_cg=use_cg,
            finalize_chol=False,
            niter=epochs,
            use_float=True,
            precompute_for_predictions=False,
            nthreads=assignment.threads,
            random_state=config.seed,
        )
        started = time.perf_counter()
        model.fit(matrix)
        return model, time.perf_counter() - started

    model, seconds, setup = _by_difference(fit, config.epochs)
    predictions = model.predict(rows_of(data.test), data.test.indices)
    return Outcome(
        seconds=[seconds],
        test_rmse=_rmse(data.test, predictions),
        threads=f"{assignment.threads} threads, BLAS 1",
        setup_seconds=setup,
        order=None if use_cg else config.rank + 1,
        note="per epoch by the difference of two fits",
    )


run_implicit_cg = functools.partial(_run_implicit, use_cg=True)
run_implicit_cholesky = functools.partial(_run_implicit, use_cg=False)
run_cmfrec_cg = functools.partial(_run_cmfrec, use_cg=True)
run_cmfrec_cholesky = functools.partial(_run_cmfrec, use_cg=False)


def run_spark(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `spark`: `pyspark.ml.recommendation.ALS` on local[threads]."""
    from pyspark.ml.recommendation import ALS

    config, threads = assignment.config, assignment.threads
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="daskals-spark-") as folder:
        session = _spark_session(threads, Path(folder))
        try:
            train = _spark_frame(session, data.users, data.mean, Path(folder) / "train.parquet")
            test = _spark_frame(session, data.test, data.mean, Path(folder) / "test.parquet")
            train.persist().count()
            loading = time.perf_counter() - started

            def fit(epochs: int) -> tuple[Any, float]:
                algorithm = ALS(
                    rank=config.rank,
                    maxIter=epochs,
                    regParam=0.05,
                    userCol="user",
                    itemCol="item",
                    ratingCol="rating",
                    numUserBlocks=2 * threads,
                    numItemBlocks=2 * threads,
                    checkpointInterval=-1,
                    seed=config.seed,
                )
                begun = time.perf_counter()
                model = algorithm.fit(train)
                return model, time.perf_counter() - begun

            model, seconds, setup = _by_difference(fit, config.epochs)
            squared = model.transform(test).na.fill(0.0, ["prediction"])
            squared = squared.selectExpr("avg(power(rating - prediction, 2)) as mse")
            rmse = float(squared.first()["mse"]) ** 0.5
            peak = peak_memory_bytes()
        finally:
            session.stop()
    return Outcome(
        seconds=[seconds],
        test_rmse=rmse,
        threads=f"local[{threads}]",
        setup_seconds=loading + setup,
        order=config.rank,
        peak_memory_bytes=peak,
        note="no biases, ratings centred, ridge 0.05 n; per epoch by the difference of two fits",
    )


def _spark_session(threads: int, folder: Path) -> Any:
    from pyspark.sql import SparkSession

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * SPARK_MEMORY_SHARE
    builder = SparkSession.builder.master(f"local[{threads}]").appName("daskals-bench")
    settings = {
        "spark.driver.memory": f"{max(1, int(memory / 2**30))}g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.local.dir": str(folder),
        "spark.sql.shuffle.partitions": str(2 * threads),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _spark_frame(session: Any, block: RatingsBlock, mean: float, path: Path) -> Any:
    columns = {"user": rows_of(block), "item": block.indices, "rating": block.ratings - np.float32(mean)}
    pq.write_table(pa.table(columns), path)
    return session.read.parquet(str(path))


class MyFMSweeps:
    """Sweeps of myFM's Gibbs sampler over the features that daskals' own has; one thread, as it is written.

    A rating is the product of two rows of relation blocks: who, and what is known of them, and the same of
    the item. Users, items and each side's features are groups of their own.

    Parameters
    ----------
    data, config
        The ratings; rank, seed and the features of each side.
    """

    def __init__(self, data: BenchData, config: TrainConfig) -> None:
        from myfm import MyFMRegressor, RelationBlock

        self._regressor, self._config = MyFMRegressor, config
        self._ratings = data.users.ratings.astype(np.float64)
        self._blocks: list[Any] = []
        self._groups: list[int] = []
        specs = side_features(data.store, config)
        named: dict[Side, Int32] = {"user": rows_of(data.users), "item": data.users.indices}
        for side, rows in named.items():
            own = data.side(side)
            parts = [scipy.sparse.identity(own.n_rows, np.float64, format="csr")]
            if side in specs:
                known = load_features(data.store.path, specs[side], 0, own.n_rows, own)
                shape, values = (own.n_rows, known.n_features), known.values.astype(np.float64)
                parts.append(scipy.sparse.csr_matrix((values, known.indices, known.indptr), shape=shape))
            self._groups += [part.shape[1] for part in parts]
            matrix = scipy.sparse.hstack(parts, format="csr")
            self._blocks.append(RelationBlock(rows.tolist(), scipy.sparse.csr_matrix(matrix)))

    def run(self, n_sweeps: int) -> Laps:
        """Begin a chain; return the times of its sweeps, one more having gone before."""
        marks = Laps()

        def mark(*_: Any) -> tuple[bool, None]:
            marks.seconds.append(time.perf_counter())
            marks.cpu_seconds.append(time.process_time())
            return False, None

        model = self._regressor(rank=self._config.rank, random_seed=self._config.seed)
        groups = {"group_shapes": self._groups, "X_rel": self._blocks}
        model.fit(None, self._ratings, n_iter=n_sweeps + 1, n_kept_samples=1, callback=mark, **groups)
        return Laps(*(np.diff(times).tolist() for times in (marks.seconds, marks.cpu_seconds)))


def _by_difference(fit: Any, epochs: int) -> tuple[Any, float, float]:
    """Return (model, seconds an epoch, seconds outside epochs) of a system that tells no epoch's time.

    One epoch is fitted before, so that the difference holds no part of what a fit does once.
    """
    fit(1)
    _, short = fit(1)
    if epochs == 1:
        model, _ = fit(1)
        return model, short, 0.0
    model, long = fit(epochs)
    an_epoch = (long - short) / (epochs - 1)
    return model, an_epoch, max(0.0, short - an_epoch)


def _rmse(test: RatingsBlock, predictions: Float32) -> float:
    return float(np.sqrt(np.mean(np.square(test.ratings - predictions.astype(np.float64)))))
