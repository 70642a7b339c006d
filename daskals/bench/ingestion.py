"""Ingestion time, CSV to store: the measurement of `jobs.bench ingest`."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from daskals.bench.contract import Outcome
from daskals.bench.data import rows_of
from daskals.bench.isolation import run_isolated
from daskals.bench.memory import peak_memory_bytes, reset_peak
from daskals.ingest import ingest
from daskals.store.reader import RatingsStore, open_store

BATCH = 1 << 20


def measure_ingestion(store: RatingsStore, repeats: int, threads: int) -> Outcome:
    """Write a store's ratings as CSV, untimed, and time making a store of it `repeats` times.

    Raises MeasurementError if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="daskals-bench-") as folder:
        file = Path(folder) / "ratings.csv"
        write_csv(store, file)
        answer = run_isolated(
            "daskals.bench.ingestion:time_ingestion",
            {"file": str(file), "repeats": repeats, "n_ratings": store.n_ratings},
            threads=threads,
        )
    return Outcome(**answer)


def write_csv(store: RatingsStore, file: Path) -> None:
    """Write all ratings of a store in their order of input, as MovieLens's ratings.csv."""
    columns = ("timestamps", "positions") if store.has_timestamps else ("positions",)
    stored = store.read("user", 0, store.n_users, columns=columns)
    assert stored.positions is not None
    order = np.argsort(stored.positions, kind="stable")
    users, items = rows_of(stored.block)[order], stored.block.indices[order]
    table: dict[str, Any] = {
        "userId": store.user_ids.take(pa.array(users)),
        "movieId": store.item_ids.take(pa.array(items)),
        "rating": stored.block.ratings[order],
    }
    if stored.timestamps is not None:
        table["timestamp"] = stored.timestamps[order]
    pc.write_csv(pa.table(table), str(file), pc.WriteOptions(quoting_style="needed", batch_size=BATCH))


def time_ingestion(file: str, repeats: int, n_ratings: int) -> dict[str, Any]:
    """Make a store from a CSV file several times, in the process made for it."""
    warm_up = _compile()
    reset_peak()
    seconds, size = [], 0
    for number in range(repeats):
        target = Path(file).parent / f"store-{number}"
        started = time.perf_counter()
        ingest(file, target)
        seconds.append(time.perf_counter() - started)
        made = open_store(target)
        assert made.n_ratings == n_ratings
        size = sum(entry.stat().st_size for entry in target.rglob("*") if entry.is_file())
        shutil.rmtree(target)
    return Outcome(
        seconds=seconds,
        test_rmse=None,
        threads="all cores",
        warm_up_seconds=warm_up,
        bytes_moved=float(Path(file).stat().st_size + size),
        peak_memory_bytes=peak_memory_bytes(),
        note="bytes are those of the CSV file and of the store",
        extra={"csv_bytes": Path(file).stat().st_size, "store_bytes": size},
    ).to_json()


def _compile() -> float:
    """Make a store of three ratings, so that the kernels are compiled."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="daskals-bench-") as folder:
        file = Path(folder) / "ratings.csv"
        file.write_text(
            "userId,movieId,rating,timestamp\n1,1,4.0,1\n1,2,3.5,2\n2,1,5.0,3\n", encoding="utf-8"
        )
        ingest(file, Path(folder) / "store")
    return time.perf_counter() - started
