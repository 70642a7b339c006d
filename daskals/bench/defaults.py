"""What the defaults lose, on sets that differ in shape: the measurement of `jobs.bench defaults`.

On every set the default model's test RMSE stands beside those of this project's own models, each tuned on a
validation part of train and trained anew on all of it. The regret is how much worse the default is than the
best of them. The sets are planted ones, and of real ratings what units and shapes they could have come in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.bench.planted_sets import PLANTED
from daskals.bench.tuned import TunedModels
from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, ReadConfig, TrainConfig
from daskals.errors import ConfigError
from daskals.fitting.fit import fit
from daskals.ingest import RatingsSource, open_ratings, read_table
from daskals.ratings.table import RatingsTable
from daskals.store.reader import RatingsStore

NAMED = ("synthetic-1m",)
"""Sets that are there by their names."""

N_FEW_USERS = 100
BY_TIME = "last-fifth"
DECIDES = ("rank", "test_fraction", "seed", "time_budget")
"""The options that figures follow from."""

Keep: TypeAlias = Literal["rows", "others"]
"""What of an earlier measurement stays: whole rows, or what the models beside the default came to."""


@dataclass(frozen=True)
class Regret:
    """The default and its alternatives on one set: test RMSE, in the ratings' own unit.

    Attributes
    ----------
    name, n_ratings
        The set.
    default, chosen, seconds
        Of the default, the model it chose, and what choosing and training took.
    alternatives
        Model → test RMSE, tuned on validation.
    """

    name: str
    n_ratings: int
    default: float
    chosen: str
    seconds: float
    alternatives: dict[str, float]

    @property
    def best(self) -> str:
        """The alternative with the lowest error."""
        return min(self.alternatives, key=self.alternatives.__getitem__)

    @property
    def regret(self) -> float:
        """How much worse the default is than the best alternative, a share; negative where it is better."""
        return self.default / self.alternatives[self.best] - 1

    def as_report(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {**asdict(self), "best": self.best, "regret": self.regret}

    @property
    def sentence(self) -> str:
        """One line for the screen."""
        return (
            f"{self.name}: {self.chosen} {self.default:.5g}, best of the others {self.best} "
            f"{self.alternatives[self.best]:.5g}, regret {100 * self.regret:+.2f} %"
        )


def measured_before(path: Path, config: TrainConfig) -> dict[str, Regret]:
    """Read the rows of an earlier measurement, by the names of their sets.

    Parameters
    ----------
    path
        The JSON file of `jobs.bench defaults`.
    config
        The options of this measurement, which that one's must be.

    Raises
    ------
    ConfigError
        If the file is not one, or of other options.
    """
    try:
        report = json.loads(path.read_text())
        rows = {
            one["name"]: Regret(**{name: one[name] for name in Regret.__dataclass_fields__})
            for one in report["results"]
        }
        before = report["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot read the measurement to keep: {type(error).__name__}",
            where=str(path),
            expected="the file that --json wrote",
            remedy="Leave --keep out",
        ) from None
    now = config.as_report()
    differing = [name for name in DECIDES if before.get(name) != now[name]]
    if differing:
        raise ConfigError(
            f"it was measured with {differing[0]} {before.get(differing[0])}",
            where=str(path),
            expected=f"{now[differing[0]]}, as now",
            remedy="Give the same options, or leave --keep out",
        )
    return rows


def set_names(data: str | Path | None) -> list[str]:
    """Return the names of all sets: the planted ones and, with `data`, what real ratings become."""
    return [*PLANTED, *NAMED, *(_VARIANTS if data is not None else ())]


def measure_defaults(
    names: Sequence[str],
    data: str | Path | None,
    config: TrainConfig,
    tell: Callable[[str], None],
    before: Mapping[str, Regret] = MappingProxyType({}),
    keep: Keep = "rows",
) -> Iterator[Regret]:
    """Measure one set after the other.

    Parameters
    ----------
    names, data
        The sets, of `set_names`, all if none is named; the real ratings.
    config
        Split, seed, rank and time budget of every model.
    tell
        Called with what is being done, and with what each set came to.
    before, keep
        Rows of an earlier measurement, by set, and what of them is not measured again: the whole row, or
        what the other models came to.

    Raises
    ------
    ConfigError
        If there is no set of such a name.
    DataError, DatasetError
        If the real ratings cannot be read.
    """
    known = set_names(data)
    names = names or known
    unknown = [name for name in names if name not in known]
    if unknown:
        more = "" if data else f"; with --data also {', '.join(_VARIANTS)}"
        raise ConfigError(
            f"found {', '.join(unknown)}", where="--only", expected=f"of {', '.join(known)}{more}"
        )
    real = _frames_of(read_table(data, ReadConfig())) if data is not None else None
    with connect(ClusterConfig(dashboard_address=None)) as cluster:
        for name in names:
            if name in before and keep == "rows":
                yield before[name]
                continue
            update = {"split": "time"} if name == BY_TIME else {}
            with open_ratings(*_source_of(name, real)) as store:
                others = before[name].alternatives if name in before else None
                found = _measure(cluster, store, name, config.model_copy(update=update), tell, others)
            tell(found.sentence)
            yield found


def _source_of(
    name: str, real: tuple[pd.DataFrame, pd.DataFrame | None] | None
) -> tuple[RatingsSource, ReadConfig, pd.DataFrame | None]:
    """Return what `open_ratings` is to open for a set."""
    if name in NAMED:
        return name, ReadConfig(), None
    if name in PLANTED:
        planted = PLANTED[name]()
        return planted.frame, ReadConfig(), planted.catalogue
    assert real is not None
    return _VARIANTS[name](real[0]), ReadConfig(), real[1]


def _measure(
    cluster: Cluster,
    store: RatingsStore,
    name: str,
    config: TrainConfig,
    tell: Callable[[str], None],
    alternatives: dict[str, float] | None,
) -> Regret:
    tell(f"{name}: {store.n_ratings:,} ratings, the default …")
    started = time.perf_counter()
    report = fit(store, config, cluster.client).report
    seconds = time.perf_counter() - started
    why = report["selection"]["why"]
    tell(f"{name}: {report['config']['model']}, {report['test_rmse']:.5f} in {seconds:.0f} s ({why})")
    if alternatives is None:
        tell(f"{name}: the others …")
        alternatives = {
            str(tuned.model): float(fit(store, tuned, cluster.client).report["test_rmse"])
            for tuned in TunedModels(cluster, store, config).configs()
        }
    default, chosen = float(report["test_rmse"]), str(report["config"]["model"])
    return Regret(name, store.n_ratings, default, chosen, seconds, alternatives)


def _frames_of(table: RatingsTable) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return ratings, and what their items are, as tables that any of them could have come in."""
    frame = pd.DataFrame(
        {
            "user": table.user_ids.take(pa.array(table.users)).to_pandas(),
            "item": table.item_ids.take(pa.array(table.items)).to_pandas(),
            "rating": table.values.astype(np.float64),
        }
    )
    if table.timestamps is not None:
        frame["timestamp"] = table.timestamps
    if table.catalogue is None:
        return frame, None
    items = table.catalogue.select(["title", "genres"]).to_pandas()
    items["genres"] = ["|".join(genres) for genres in items["genres"]]
    return frame, items.assign(item=table.item_ids.to_pandas())


def _few_users(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["user"].isin(frame["user"].drop_duplicates().iloc[:N_FEW_USERS])]


def _times(factor: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(rating=frame["rating"] * factor)


def _thumbs(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rating=(frame["rating"] >= 4).astype(np.float64))


def _ranks(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rating=frame["rating"].rank(pct=True))


_VARIANTS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "real": lambda frame: frame,
    "100-users": _few_users,
    BY_TIME: lambda frame: frame,
    "times-0.2": _times(0.2),
    "times-20": _times(20.0),
    "thumbs": _thumbs,
    "ranks": _ranks,
}
"""Name → what it makes of real ratings; the last fifth by time is a matter of the split."""
