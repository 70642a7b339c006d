"""The race of solvers to one objective: its bookkeeping, and what its runners leave."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partialmethod

import numpy as np
import pytest

from daskals.bench import solvers
from daskals.bench.data import BenchData
from daskals.bench.own import KernelEpochs, starting_rows
from daskals.bench.solvers import LONGEST, ImplicitEpochs, LibraryEpochs, Track, measure_solvers, race
from daskals.errors import ConfigError
from daskals.kernels.half_step.gradients import UNRELAXED
from daskals.model.implicit import ImplicitSpec
from daskals.types import SIDES
from tests.cases import naive
from tests.cases.bench_cases import CONFIG

BLOCKS = CONFIG.model_copy(update={"model": "als", "rank": 33, "solver": "blocks"})
GRADIENTS = BLOCKS.model_copy(update={"solver": "gradients"})


class Falling:
    """A runner whose objectives are known."""

    def __init__(self, *objectives: float) -> None:
        self.left, self.objective = list(objectives), np.inf

    def epoch(self) -> None:
        self.objective = self.left.pop(0) if self.left else self.objective

    def test_rmse(self) -> float:
        return self.objective / 10


def test_a_race_ends_where_the_first_was():
    tracks = [Track("joint", Falling(10, 5)), Track("blocks", Falling(20, 8, 5.2, 5.004, 4))]
    first, second = race(tracks, 2)
    assert first["goal"] == second["goal"] == 5
    assert first["reached"]["epochs"] == 2
    assert second["reached"]["epochs"] == 4
    assert second["reached"]["test_rmse"] == pytest.approx(0.5004)
    assert second["objectives"] == [20, 8, 5.2, 5.004]
    assert second["reached"]["seconds"] == pytest.approx(sum(tracks[1].laps.seconds))


def test_a_runner_that_never_comes_there_is_left_behind():
    _, second = race([Track("joint", Falling(5)), Track("blocks", Falling(9))], 1)
    assert second["reached"] is None
    assert len(second["objectives"]) == LONGEST


def test_a_race_ends_by_the_clock(monkeypatch):
    monkeypatch.setattr(solvers, "MOST_SECONDS", 0.0)
    first, second = race([Track("joint", Falling(10, 5)), Track("blocks", Falling(20, 15, 5))], 2)
    assert (first["objectives"], second["objectives"]) == ([10], [20])
    assert first["reached"]["epochs"] == 1
    assert second["reached"] is None


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured to use:RuntimeWarning")  # the library's advice
@pytest.mark.parametrize("use_cg", [True, False], ids=["cg", "cholesky"])
def test_the_librarys_epochs_are_of_the_same_objective(small_data: BenchData, use_cg):
    pytest.importorskip("implicit", reason="is of the extra [bench]")
    update = {"model": "ials", "rank": 8, "zeros": "unobserved", "unobserved_weight": 0.999, "tau": 0.1}
    config = CONFIG.model_copy(update=update)
    library = LibraryEpochs(small_data, config, 1, use_cg=use_cg)
    with ThreadPoolExecutor(1) as pool:
        own = ImplicitEpochs(small_data, config, pool)
        for _ in range(3 if use_cg else 1):
            own.epoch()
            library.epoch()
    # an exact epoch from the same start is the same one; conjugate gradients come near it
    assert library.objective == pytest.approx(own.objective, rel=0.05 if use_cg else 1e-4)


@pytest.mark.parametrize(
    ("config", "twin"),
    [(BLOCKS, naive.solve_slices), (GRADIENTS, naive.improve_by_gradients)],
    ids=["blocks", "gradients"],
)
def test_epochs_that_improve_leave_the_twins_objective(small_data: BenchData, config, twin):
    with ThreadPoolExecutor(1) as pool:
        epochs = KernelEpochs(small_data, config, pool)
        epochs.epoch()
    rows = {side: starting_rows(small_data, side, config) for side in SIDES}
    given, stats = {"rank": 33, "mean": small_data.mean, "ridge": config.ridge}, {}
    for side, other in (("user", "item"), ("item", "user")):
        rows[side], stats[side] = twin(small_data.side(side), rows[other], rows[side], **given)
    expected = stats["item"].sse + stats["item"].penalty + stats["user"].penalty
    assert epochs.objective == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("config", [BLOCKS, GRADIENTS], ids=["blocks", "gradients"])
def test_implicit_epochs_that_improve_lower_the_objective(small_data: BenchData, config):
    update = {"model": "ials", "zeros": "unobserved", "unobserved_weight": 0.9, "tau": 0.1}
    with ThreadPoolExecutor(1) as pool:
        epochs = ImplicitEpochs(small_data, config.model_copy(update=update), pool)
        found = []
        for _ in range(3):
            epochs.epoch()
            found.append(epochs.objective)
    assert found[0] > found[1] > found[2] > 0


def test_rows_of_counts_that_go_beyond_their_lowest_point_are_there_sooner(
    small_data: BenchData, monkeypatch
):
    update = {"model": "ials", "zeros": "unobserved", "unobserved_weight": 0.9, "tau": 0.1}
    with ThreadPoolExecutor(1) as pool:

        def objective_after(epochs: int) -> float:
            taken = ImplicitEpochs(small_data, GRADIENTS.model_copy(update=update), pool)
            for _ in range(epochs):
                taken.epoch()
            return taken.objective

        relaxed = objective_after(8)
        monkeypatch.setattr(ImplicitSpec, "improve", partialmethod(ImplicitSpec.improve, course=UNRELAXED))
        assert relaxed < objective_after(10)


def test_peers_learn_from_counts_alone():
    with pytest.raises(ConfigError) as caught:
        measure_solvers(None, implicit=False, peers=True)
    assert "found --peers; expected --implicit beside it" in caught.value.for_command()
