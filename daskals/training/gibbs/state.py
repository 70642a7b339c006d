"""The state of a Gibbs chain between two sweeps, held by the driving process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from daskals.model.samples import column_units, rounded
from daskals.training.events import EpochFinished
from daskals.training.gibbs.posterior import SidePrior
from daskals.training.gibbs.rows import Tally
from daskals.types import AS_RATED, SIDES, FactorRows, Float32, Float64, Side, Standard


class Sample(NamedTuple):
    """A kept sweep, centred: see `centring` and `daskals.model.samples.Samples`.

    Attributes
    ----------
    users, items
        float32, shape (rows, rank + 1): [factors, bias].
    mean
        float64, shape (1,): global mean.
    user_precision, item_precision
        Λ of each side.
    user_weights, item_weights
        W of each side, float32, shape (features, rank + 1).
    times, time_precision
        Rows and Λ of the third side; None where there is none.
    time_weights
        W of its features, float32, shape (features, rank + 1); None where it has none.
    """

    users: Float32
    items: Float32
    mean: Float64
    user_precision: Float64
    item_precision: Float64
    user_weights: Float32
    item_weights: Float32
    times: Float32 | None = None
    time_precision: Float64 | None = None
    time_weights: Float32 | None = None

    def as_rated(self, standard: Standard) -> Sample:
        """Return a sample of ratings as `standard` measures them in rating units, its rows rounded before."""
        users, items = rounded(self.users), rounded(self.items)
        times = None if self.times is None else rounded(self.times)
        if standard == AS_RATED:
            return self._replace(users=users, items=items, times=times)
        rank, sigma = self.users.shape[1] - 1, standard.deviation
        grown = column_units(rank, sigma)
        rows, shrunk = grown.astype(np.float32), np.outer(1.0 / grown, 1.0 / grown)
        return Sample(
            users=users * rows,
            items=items * rows,
            mean=standard.centre + sigma * self.mean,
            user_precision=self.user_precision * shrunk,
            item_precision=self.item_precision * shrunk,
            user_weights=self.user_weights * rows,
            item_weights=self.item_weights * rows,
            times=None if times is None else times * rows,
            time_precision=None if self.time_precision is None else self.time_precision * shrunk,
            time_weights=None if self.time_weights is None else self.time_weights * rows,
        )


_OF_TIMES = ("times", "time_precision", "time_weights")


@dataclass(frozen=True)
class GibbsState:
    """What a sweep leaves to the next, and what the chain has gathered.

    Attributes
    ----------
    history, rows
        The sweeps so far; factor rows of all sides.
    priors, alpha
        Priors of all sides; noise precision.
    samples
        The kept samples so far, oldest first.
    tally
        Predictions of the test ratings in user order, added up since the burn-in; None before.
    noise_total
        Σ 1/α since the burn-in.
    """

    history: tuple[EpochFinished, ...]
    rows: dict[Side, FactorRows]
    priors: dict[Side, SidePrior]
    alpha: float
    samples: list[Sample]
    tally: Tally | None
    noise_total: float

    @property
    def sweep(self) -> int:
        """Number of sweeps done."""
        return len(self.history)

    def attributes(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "history": [asdict(record) for record in self.history],
            "alpha": self.alpha,
            "noise_total": self.noise_total,
            "eta": {side: prior.eta for side, prior in self.priors.items()},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a checkpoint stores them."""
        named: dict[str, NDArray[Any]] = {}
        for side, prior in self.priors.items():
            named[f"{side}s/rows"] = self.rows[side]
            named[f"{side}s/mean"] = prior.mean
            named[f"{side}s/precision"] = prior.precision
            named[f"{side}s/weights"] = prior.weights
            if len(prior.own):
                named[f"{side}s/own"] = prior.own
        for number, sample in enumerate(self.samples):
            kept = {name: values for name, values in sample._asdict().items() if values is not None}
            named |= {f"samples/{name}-{number}": values for name, values in kept.items()}
        if self.tally is not None:
            named |= {"tally/total": self.tally.total, "tally/squares": self.tally.squares}
        return named

    @classmethod
    def from_stored(cls, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build a state from what a checkpoint stored; raise KeyError where that lacks something."""
        sides: tuple[Side, ...] = (*SIDES, "time") if "times/rows" in arrays else SIDES
        n_samples = sum(name.startswith("samples/users-") for name in arrays)
        return cls(
            history=tuple(EpochFinished(**record) for record in attributes["history"]),
            rows={side: arrays[f"{side}s/rows"] for side in sides},
            priors={
                side: SidePrior(
                    arrays[f"{side}s/mean"],
                    arrays[f"{side}s/precision"],
                    arrays[f"{side}s/weights"],
                    float(attributes["eta"][side]),
                    arrays.get(f"{side}s/own", np.empty(0)),
                )
                for side in sides
            },
            alpha=float(attributes["alpha"]),
            samples=[_sample_of(arrays, number) for number in range(n_samples)],
            tally=Tally(arrays["tally/total"], arrays["tally/squares"]) if "tally/total" in arrays else None,
            noise_total=float(attributes["noise_total"]),
        )


def _sample_of(arrays: Mapping[str, NDArray[Any]], number: int) -> Sample:
    of_times = [name for name in _OF_TIMES if f"samples/{name}-{number}" in arrays]
    names = [name for name in Sample._fields if name not in _OF_TIMES] + of_times
    return Sample(**{name: arrays[f"samples/{name}-{number}"] for name in names})


def kept_sweeps(sweeps: int, burn_in: int, keep: int) -> frozenset[int]:
    """Return the sweeps whose samples are kept: `keep` of those after the burn-in, evenly, with the last."""
    after = sweeps - burn_in
    chosen = np.ceil(np.arange(1, min(keep, after) + 1) * after / min(keep, after)).astype(int)
    return frozenset(int(burn_in + n - 1) for n in chosen)
