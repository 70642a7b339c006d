"""Compilation of a training's kernels by other processes, while the first one reads, trains and chooses.

Numba compiles one kernel at a time in a process, however many threads ask for one. What other processes
compile goes to the cache on disk (`kernels.toolkit.cache`), and the first one reads it there. They begin with
what it needs last, and go towards what it needs first until they meet it; what somebody else compiles
already they leave out. No kernel is compiled twice (`kernels.toolkit.claims`), and the first process waits
for another where that compiles the very kernel that it needs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from daskals.config import TrainConfig
from daskals.fitting.choice import learns
from daskals.kernels import warm_up
from daskals.kernels.toolkit.cache import mark_of
from daskals.kernels.toolkit.claims import CLAIMS, TakenError
from daskals.kernels.toolkit.jit import PLAIN

MOST_PROCESSES = 3
"""Processes that help at most: each loads the libraries first, and what is left to compile soon runs out."""

SCALE = 10
"""Ratings that a scale is taken to have: how many makes no difference."""

USERS, RATINGS = 700, 8
"""People, and ratings of each, that an order is learnt from: enough for its weights to be chosen."""

FEW, MANY = 40, 720
"""Items of them: less and more than there are people."""

KINDS = ("als", "hierarchical", "bayes", "auto")
"""What there is a plan for."""

Step = Callable[[], object]


def kind_of(config: TrainConfig) -> str | None:
    """Return which plan a configuration takes, None where there is none for it."""
    if learns(config):
        return "auto"
    plain = config.taken_solver == "joint" and config.time_bins == "none" and config.half_life is None
    return config.model if plain and config.model in KINDS[:3] else None


@contextmanager
def compiled_ahead(kind: str, rank: int, processes: int) -> Iterator[None]:
    """Let processes compile what a kind of training takes at a rank, unless that was done; end them after."""
    with ExitStack() as stack:
        if not PLAIN and not _mark(kind, rank).exists():
            for _ in range(min(processes, MOST_PROCESSES)):
                stack.callback(_end, _start(kind, rank))
        yield


def _start(kind: str, rank: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own interpreter, our own module
        [sys.executable, "-m", __name__, kind, str(rank)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def compile_here(kind: str, rank: int) -> None:
    """Compile in this process, the last step first, and leave a mark beside the kernels that says so."""
    CLAIMS.is_patient = False
    for step in reversed(steps(kind, rank)):
        with suppress(TakenError):
            step()
    mark = _mark(kind, rank)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def steps(kind: str, rank: int) -> list[Step]:
    """Return what a kind of training compiles after its ratings are read, as it needs it."""
    featured = kind != "als"
    found: list[Step] = [partial(warm_up.timed_warm_up, rank, SCALE)]
    if kind in ("bayes", "auto"):
        found += _sampler_steps(rank, several=kind == "auto")
    if featured:
        found += [partial(warm_up.timed_warm_up, rank, SCALE, features=True)]
    found += [warm_up.warm_up_parts, partial(warm_up.timed_warm_up, 0, SCALE)]
    if kind in ("bayes", "auto"):
        found += [warm_up.warm_up_samples]
    return [*found, *_order_steps(MANY), *_order_steps(FEW)]


def _sampler_steps(rank: int, *, several: bool) -> list[Step]:
    from daskals.kernels.gibbs.censored import Ends
    from daskals.training.compiling import warm_up_sampler

    ends = Ends(0.5, 5.0, 0.75, 4.75)
    plain = partial(warm_up_sampler, rank, SCALE, features=True)
    others = [partial(plain, None, many=True), partial(plain, None, timed=True), partial(plain, ends)]
    return [partial(plain, None), *(others if several else [])]


def _order_steps(n_items: int) -> list[Step]:
    """Return what the order of lists is chosen and learnt by, from ratings of as many items.

    Few items are regressed on one another by items, more than there are people by people.
    """
    from daskals.fitting import order, order_choice
    from daskals.fitting.order_data import gather_interactions
    from daskals.model.order.learnt import Order, OrderSettings
    from daskals.types import RatingsBlock

    indptr = np.arange(0, RATINGS * USERS + 1, RATINGS)
    indices = (np.arange(indptr[-1]) % n_items).astype(np.int32)
    scale = np.array([1.0, 5.0], np.float32)
    block = RatingsBlock(0, indptr, indices, np.ones(indptr[-1], np.uint8), scale)
    genres, limits, settings = np.asfortranarray(np.eye(n_items, 2)), (1.0, 5.0), OrderSettings()
    held = order_choice.hold_out(block, np.ones(len(indices), np.float32), n_items, 0)
    assert held is not None, "there are enough people"

    def learn(known: RatingsBlock, *, with_companions: bool) -> Order:
        data = gather_interactions(known, n_items, genres, limits, settings.unliked)
        when = np.zeros(USERS, np.int64)
        return order.learn_order(data, settings, 1e9, with_companions=with_companions, when=when)

    def choose() -> object:
        apart = learn(held.train, with_companions=False)
        return order_choice.choose_settings(apart, held, genres, limits, {})

    return [choose, partial(learn, block, with_companions=True)]


def _mark(kind: str, rank: int) -> Path:
    """Return the file that says that a kind's kernels are compiled."""
    return mark_of(f"ahead {kind} {rank} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}")


if __name__ == "__main__":
    compile_here(sys.argv[1], int(sys.argv[2]))
