"""What came in: which files are new, and whether their ratings can be trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import ConfigError
from daskals.ingest import COMPANIONS
from daskals.model import Model
from daskals.ratings.dates import last_moment
from daskals.ratings.movielens import RATINGS_FILES
from daskals.ratings.source import read_files
from daskals.ratings.table import RatingsTable
from daskals.retrain.config import RetrainConfig
from daskals.retrain.night import Check
from daskals.store.append import find_new
from daskals.store.reader import RatingsStore
from daskals.types import Float32, Float64

SUFFIXES = (".csv", ".tsv", ".dat", ".csv.gz", ".tsv.gz", ".parquet")
FEWEST_COMPARED = 200
"""New ratings of known items below which their agreement with the champion says nothing."""


@dataclass(frozen=True)
class Incoming:
    """New ratings.

    Attributes
    ----------
    table
        All that the files hold up to the date.
    new
        bool, shape (ratings,): which of them the store does not have.
    """

    table: RatingsTable
    new: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @property
    def n_new(self) -> int:
        """Number of new ratings."""
        return int(np.count_nonzero(self.new))


def read_incoming(config: RetrainConfig, store: RatingsStore | None) -> Incoming | None:
    """Read the files that the store has not taken in completely; None where there are none.

    Raises
    ------
    DataError
        For anything wrong with the files, with file, row, column and remedy.
    """
    taken = set()
    if store is not None:
        taken = {source["sha256"] for source in store.sources if source.get("complete", True)}
    files = [path for path in incoming_files(config.data) if _digest(path) not in taken]
    if not files:
        return None
    table = read_files(
        files,
        columns=config.columns,
        duplicates=config.duplicates,
        invalid=config.invalid,
        until=last_moment(config.as_of),
    )
    if table.n_later:
        # what is left out now has to be read again
        table = replace(table, sources=[{**source, "complete": False} for source in table.sources])
    new = np.ones(table.n_ratings, np.bool_) if store is None else find_new(store, table)
    return Incoming(table, new)


def incoming_files(path: Path) -> list[Path]:
    """Return the ratings files of a path: itself, those of a MovieLens folder, or all below, by name.

    Raises
    ------
    ConfigError
        If the path does not exist.
    """
    if not path.exists():
        raise ConfigError(
            "does not exist",
            where=f"--data {path}",
            expected="a ratings file, or a folder that they arrive in",
            remedy="Check the path, and whether its disk is there",
        )
    if path.is_file():
        return [path]
    for name in RATINGS_FILES:
        if (path / name).is_file():
            return [path / name]
    return sorted(
        entry
        for entry in path.rglob("*")
        if entry.is_file() and entry.name.endswith(SUFFIXES) and entry.name not in COMPANIONS
    )


def validate(
    config: RetrainConfig, incoming: Incoming, store: RatingsStore | None, champion: Model | None
) -> list[Check]:
    """Compare incoming ratings with those known and with what the champion expects."""
    return list(_checks(config, incoming, store, champion))


def _checks(
    config: RetrainConfig, incoming: Incoming, store: RatingsStore | None, champion: Model | None
) -> Iterator[Check]:
    table, new = incoming.table, incoming.new
    values = table.values[new].astype(np.float64)
    yield _at_least("new ratings", float(len(values)), config.min_new_ratings, "too few")
    dropped = sum(table.dropped.values()) / table.n_input
    yield _at_most("share of bad rows", dropped, config.max_dropped_share, "too many rows are unusable")
    if store is None or not len(values):
        return
    known, counts = _histogram(store)
    off = float(np.mean((values < known[0]) | (values > known[-1])))
    yield _at_most(
        "share off the scale",
        off,
        config.max_off_scale,
        f"ratings outside {known[0]:g} to {known[-1]:g}: another scale?",
    )
    mean = float(known @ counts / counts.sum())
    deviation = np.sqrt(float(np.square(known - mean) @ counts / counts.sum()))
    chance = 3 * float(deviation) / float(np.sqrt(len(values)))
    drift = abs(float(values.mean()) - mean)
    yield _at_most(
        "drift of the mean",
        drift,
        config.max_mean_drift + chance,
        f"the mean is {values.mean():.3f} after {mean:.3f}",
    )
    distance = _distance(values, known, counts)
    yield _at_most(
        "drift of the histogram",
        distance,
        config.max_histogram_drift + chance,
        "the ratings are spread otherwise",
    )
    users, items = (
        table.user_ids.take(pa.array(table.users[new])),
        table.item_ids.take(pa.array(table.items[new])),
    )
    strangers = _share_unknown(users, store.user_ids)
    yield _at_most("share by new users", strangers, config.max_new_users, "the users are not those known")
    novelties = _share_unknown(items, store.item_ids)
    yield _at_most("share of new items", novelties, config.max_new_items, "the items are not those known")
    if champion is not None:
        yield _agreement(config, champion, (users, items), values)


def _agreement(
    config: RetrainConfig, champion: Model, pairs: tuple[pa.Array, pa.Array], values: Float64
) -> Check:
    name = "agreement with the champion"
    predicted = champion.predict(
        *(
            _as_type(ids, own)
            for ids, own in zip(pairs, (champion.user_ids.type, champion.item_ids.type), strict=True)
        )
    )
    known = predicted.known_item
    expected = predicted.rating[known].astype(np.float64)
    n = int(known.sum())
    if n < FEWEST_COMPARED or np.ptp(expected) == 0 or np.ptp(values[known]) == 0:
        return Check(name=name, value=None, limit=config.min_agreement, passed=True, at_least=True)
    found = float(np.corrcoef(expected, values[known])[0, 1])
    passed = found >= config.min_agreement
    reason = "" if passed else "the ratings have nothing to do with their items: shuffled, or foreign ids?"
    return Check(
        name=name, value=found, limit=config.min_agreement, passed=passed, reason=reason, at_least=True
    )


def _as_type(ids: pa.Array, kind: pa.DataType) -> pa.Array:
    return ids if ids.type == kind else ids.cast(kind)


def _histogram(store: RatingsStore) -> tuple[Float32, Float64]:
    values = store.read_column("user", "values", 0, store.n_ratings)
    if len(store.scale):
        return store.scale, np.bincount(values, minlength=len(store.scale)).astype(np.float64)
    known, counts = np.unique(values, return_counts=True)
    return known, counts.astype(np.float64)


def _distance(values: Float64, known: Float32, counts: Float64) -> float:
    """Return the area between two cumulative histograms (Wasserstein's distance), in rating points."""
    grid = np.union1d(values, known.astype(np.float64))
    left = np.searchsorted(np.sort(values), grid, side="right") / len(values)
    shares = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    right = shares[np.searchsorted(known.astype(np.float64), grid, side="right")]
    return float(np.sum(np.abs(left - right)[:-1] * np.diff(grid)))


def _share_unknown(ids: pa.Array, known: pa.Array) -> float:
    found = pc.is_in(_as_type(ids, known.type), value_set=known)
    return 1.0 - float(np.mean(found.to_numpy(zero_copy_only=False)))


def _at_most(name: str, value: float, limit: float, reason: str) -> Check:
    passed = value <= limit
    return Check(name=name, value=value, limit=limit, passed=passed, reason="" if passed else reason)


def _at_least(name: str, value: float, limit: float, reason: str) -> Check:
    passed = value >= limit
    why = "" if passed else reason
    return Check(name=name, value=value, limit=limit, passed=passed, reason=why, at_least=True)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror or error})",
            where=f"--data {path}",
            expected="files that this user may read",
            remedy="Check its permissions",
        ) from error
