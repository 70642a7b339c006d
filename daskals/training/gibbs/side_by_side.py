"""Several Gibbs chains of one configuration, each from a seed of its own, as one step of the training loop.

Their sweeps are submitted together, over the same placed ratings: workers with threads to spare draw them
side by side, others one after another. Nothing of a chain depends on another, so that each is, to the bit,
what it is alone from its seed, and the first is the one that a run without others has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from daskals.config import TrainConfig
from daskals.training.events import EpochFinished
from daskals.training.gibbs.chain import Chain, fetch_tally
from daskals.training.gibbs.rows import Tally
from daskals.training.gibbs.state import GibbsState
from daskals.training.gibbs.step import CHECKPOINT_SWEEPS, STATE_SWEEPS, Alone, GibbsStep, Posterior
from daskals.training.loop import End, Epoch
from daskals.training.problem import Problem

Position: TypeAlias = tuple[Chain, ...]


def chain_configs(config: TrainConfig) -> list[TrainConfig]:
    """Return the options of each chain: its seed, and its share of the samples that are kept."""
    if config.chains == 1:
        return [config]
    kept = config.keep_samples // config.chains
    alone = {"chains": 1, "keep_samples": kept, "monitor_test": False}
    return [
        config.model_copy(update={**alone, "seed": chain_seed(config.seed, number)})
        for number in range(config.chains)
    ]


def chain_seed(seed: int, number: int) -> int:
    """Return the seed of one of several chains: the run's own of the first."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@dataclass(frozen=True)
class ChainsState:
    """What a sweep of all chains leaves: the history of all, and each chain's own state."""

    history: tuple[EpochFinished, ...]
    chains: tuple[GibbsState, ...]

    @property
    def sweep(self) -> int:
        """Number of sweeps done."""
        return len(self.history)

    def attributes(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        history = [asdict(record) for record in self.history]
        return {"history": history, "chains": [chain.attributes() for chain in self.chains]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a checkpoint stores them."""
        return {
            f"{_prefix(number)}{name}": values
            for number, chain in enumerate(self.chains)
            for name, values in chain.arrays().items()
        }

    @classmethod
    def from_stored(cls, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build a state from what a checkpoint stored; raise KeyError where that lacks something."""
        chains = []
        for number, told in enumerate(attributes["chains"]):
            prefix = _prefix(number)
            own = {
                name.removeprefix(prefix): values
                for name, values in arrays.items()
                if name.startswith(prefix)
            }
            chains.append(GibbsState.from_stored(told, own))
        return cls(tuple(EpochFinished(**record) for record in attributes["history"]), tuple(chains))


def stored_state(
    attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> GibbsState | ChainsState:
    """Build the state of one chain or of several, whichever it was; raises KeyError as these do."""
    if "chains" in attributes:
        return ChainsState.from_stored(attributes, arrays)
    return GibbsState.from_stored(attributes, arrays)


def _prefix(number: int) -> str:
    return f"chain-{number}-"


class SideBySide:
    """Chains as one step; a `loop.Step`. `steps` are those of each, of configurations of `chain_configs`."""

    phase = "sample"
    state_every = STATE_SWEEPS
    tol = 0.0
    patience: int | None = None

    def __init__(self, problem: Problem, steps: Sequence[GibbsStep]) -> None:
        self._problem, self._steps = problem, steps
        self.epochs = problem.config.sweeps
        self.checkpoint_epochs = CHECKPOINT_SWEEPS
        self.is_small = problem.is_small

    def place(self, key: str, *, again: bool) -> None:
        """Load ratings and features, once for all."""
        self._steps[0].place(key, again=again)
        for step in self._steps[1:]:
            step.share(self._steps[0])

    def init(self, key: str) -> tuple[Position, ChainsState]:
        """Take each chain's short ALS as its state before the first sweep."""
        begun = [step.init(own) for step, own in zip(self._steps, self._keys(key), strict=True)]
        return tuple(chain for chain, _ in begun), ChainsState((), tuple(state for _, state in begun))

    def hand_out(self, state: ChainsState, key: str) -> Position:
        """Put all states on the cluster."""
        own = zip(self._steps, state.chains, self._keys(key), strict=True)
        return tuple(step.hand_out(chain, its_key) for step, chain, its_key in own)

    def submit(self, position: Position, epoch: Epoch) -> Position:
        """Start a sweep of each."""
        own = zip(self._steps, position, self._epochs(epoch), strict=True)
        return tuple(step.submit(chain, its_epoch) for step, chain, its_epoch in own)

    def finish(self, position: Position, state: ChainsState, epoch: Epoch, started: float) -> ChainsState:
        """Await a sweep of each; add the record of all."""
        own = zip(self._steps, position, state.chains, self._epochs(epoch), strict=True)
        chains = tuple(
            step.finish(chain, its_state, its_epoch, started) for step, chain, its_state, its_epoch in own
        )
        seconds = time.perf_counter() - started
        record = replace(
            mean_record([chain.history[-1] for chain in chains]),
            epochs=self.epochs,
            test_rmse=self._monitored(position, chains, epoch.number),
            seconds=seconds,
            ratings_per_second=self._problem.split.n_train / seconds,
        )
        return ChainsState((*state.history, record), chains)

    def _monitored(self, position: Position, chains: Sequence[GibbsState], done: int) -> float | None:
        config, cluster = self._problem.config, self._problem.cluster
        if not config.monitor_test or done <= config.burn_in:
            return None
        tally = added([fetch_tally(cluster, chain) for chain in position])
        n, noise = len(chains) * (done - config.burn_in), sum(chain.noise_total for chain in chains)
        figures = self._steps[0].figures(tally, n, noise)
        return None if figures is None else self._problem.standard.deviation * figures.rmse

    def take_home(self, position: Position, state: ChainsState, key: str) -> ChainsState:
        """Fetch what the next sweep of each depends on."""
        own = zip(self._steps, position, state.chains, self._keys(key), strict=True)
        return replace(
            state, chains=tuple(step.take_home(chain, its, its_key) for step, chain, its, its_key in own)
        )

    def conclude(self, end: End[Position, ChainsState]) -> Posterior:
        """Return the samples of all, one chain's after another's, and the figures of all their sweeps."""
        own = zip(self._steps, end.position, end.state.chains, self._keys(end.key), strict=True)
        found = [step.conclude(End(chain, state, key)) for step, chain, state, key in own]
        chains = end.state.chains
        n = len(chains) * (self.epochs - self._problem.config.burn_in)
        noise = sum(chain.noise_total for chain in chains)
        predictive = self._steps[0].figures(added([chain.tally for chain in chains]), n, noise)
        deviation = self._problem.standard.deviation
        configs = chain_configs(self._problem.config)
        return replace(
            found[0],
            trained=replace(found[0].trained, history=end.state.history),
            samples=[sample for one in found for sample in one.samples],
            noise_variance=noise / n * deviation**2,
            predictive=None if predictive is None else predictive.as_rated(deviation),
            chains=tuple(
                Alone(
                    config.seed,
                    one.trained.history,
                    one.noise_variance,
                    None if one.predictive is None else one.predictive.rmse,
                )
                for config, one in zip(configs, found, strict=True)
            ),
        )

    def _keys(self, key: str) -> list[str]:
        return [f"{key}-{_prefix(number)}x" for number in range(len(self._steps))]

    def _epochs(self, epoch: Epoch) -> list[Epoch]:
        return [Epoch(epoch.number, key) for key in self._keys(epoch.key)]


def added(tallies: Sequence[Tally | None]) -> Tally | None:
    """Add the predictions of several chains up; None where there are none."""
    there = [tally for tally in tallies if tally is not None]
    if not there:
        return None
    return Tally(
        np.sum([tally.total for tally in there], axis=0), np.sum([tally.squares for tally in there], axis=0)
    )


def mean_record(records: Sequence[EpochFinished]) -> EpochFinished:
    """Return what chains recorded of a sweep in the mean: of the noise that of its variance."""
    noise = [1.0 / record.noise_precision for record in records if record.noise_precision]
    squares = [record.train_rmse**2 for record in records if record.train_rmse is not None]
    etas = [record.eta for record in records if record.eta is not None]
    return replace(
        records[0],
        objective=float(np.mean([record.objective for record in records])),
        train_rmse=math.sqrt(float(np.mean(squares))) if squares else None,
        noise_precision=1.0 / float(np.mean(noise)) if noise else None,
        eta={side: float(np.mean([eta[side] for eta in etas])) for side in etas[0]} if etas else None,
    )
