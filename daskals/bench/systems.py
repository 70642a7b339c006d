"""Systems that can be measured, by name; each is imported in the process that runs it only."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from daskals.errors import ConfigError

if TYPE_CHECKING:
    from daskals.bench.contract import Assignment, Outcome
    from daskals.bench.data import BenchData

Group: TypeAlias = Literal["paper", "daskals", "peer"]


@dataclass(frozen=True)
class System:
    """Something that trains the model of a benchmark.

    Attributes
    ----------
    name, group
        Its name on the command line and in reports; whose it is.
    home
        `module:function`; the function takes (BenchData, Assignment) and returns an Outcome.
    needs
        Top-level modules that must be installed, beside what daskals needs.
    programs
        Programs that must be on the path.
    """

    name: str
    group: Group
    home: str
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Return what keeps this system from running here, None if nothing does."""
        for needed in self.needs:
            if importlib.util.find_spec(needed) is None:
                return f"{needed} is not installed"
        for program in self.programs:
            if shutil.which(program) is None:
                return f"{program} is not on the path"
        return None

    def require(self) -> None:
        """Raise ConfigError if something keeps this peer from running here."""
        if (missing := self.missing()) is not None:
            raise ConfigError(
                missing, where="--peers", remedy="Install it with: pip install 'daskals[bench]'"
            )

    def load(self) -> Callable[[BenchData, Assignment], Outcome]:
        """Import the system's function."""
        module, _, function = self.home.partition(":")
        loaded: Callable[[BenchData, Assignment], Outcome] = getattr(
            importlib.import_module(module), function
        )
        return loaded


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System("paper-naive", "paper", "daskals.bench.interpreted:run_naive"),
        System("paper-dual-csr", "paper", "daskals.bench.interpreted:run_dual_csr"),
        System("paper-jit-sequential", "paper", "daskals.bench.tiers:run_sequential"),
        System("paper-jit-parallel", "paper", "daskals.bench.tiers:run_parallel"),
        System("paper-jit-balanced", "paper", "daskals.bench.tiers:run_balanced"),
        System("implicit-cg", "peer", "daskals.bench.peers:run_implicit_cg", ("implicit",)),
        System("implicit-cholesky", "peer", "daskals.bench.peers:run_implicit_cholesky", ("implicit",)),
        System("cmfrec-cg", "peer", "daskals.bench.peers:run_cmfrec_cg", ("cmfrec",)),
        System("cmfrec-cholesky", "peer", "daskals.bench.peers:run_cmfrec_cholesky", ("cmfrec",)),
        System("spark", "peer", "daskals.bench.peers:run_spark", ("pyspark",), ("java",)),
        System("daskals-kernel", "daskals", "daskals.bench.own:run_kernel"),
        System("daskals-numba-parallel", "daskals", "daskals.bench.own:run_numba_parallel"),
        System("daskals-dask", "daskals", "daskals.bench.own:run_dask"),
        System("daskals-hierarchical", "daskals", "daskals.bench.own:run_hierarchical"),
        System("daskals-days", "daskals", "daskals.bench.own:run_days"),
        System("daskals-bayes", "daskals", "daskals.bench.own:run_bayes"),
    )
}  # fmt: skip

EVALUATIONS: dict[str, System] = {
    system.name: system
    for system in (
        System("paper-evaluate", "paper", "daskals.bench.evaluate:run_paper"),
        System("daskals-evaluate", "daskals", "daskals.bench.evaluate:run_daskals"),
    )
}
"""What predicts the test ratings; measured like a system, with a pass over them for an epoch."""

SELECTIONS: dict[str, System] = {
    system.name: system
    for system in (
        System("daskals", "daskals", "daskals.bench.topk:run_daskals"),
        System("blas", "daskals", "daskals.bench.topk:run_blas"),
        System("implicit", "peer", "daskals.bench.topk:run_implicit", ("implicit",)),
    )
}
"""What finds everybody's best items; measured like a system, with a pass over all pairs for an epoch."""

SWEEPS: dict[str, System] = {
    system.name: system
    for system in (
        System("daskals-bayes", "daskals", "daskals.bench.sweeps:OwnSweeps"),
        System("myfm", "peer", "daskals.bench.peers:MyFMSweeps", ("myfm",)),
    )
}
"""What draws sweeps of a Gibbs sampler, side by side; each is made of (BenchData, TrainConfig)."""

INGESTION = System("daskals-ingest", "daskals", "daskals.bench.ingestion:time_ingestion")

REFERENCES = ("paper-jit-parallel", "paper-evaluate", "implicit")
"""Whose time the others' is compared with."""


def choose(only: str | None, *, peers: bool) -> list[System]:
    """Return the systems of a comma-separated list, or all of them, peers if asked for.

    Raises ConfigError if a name is not one of `SYSTEMS`.
    """
    if only is None:
        return [system for system in SYSTEMS.values() if peers or system.group != "peer"]
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown or not names:
        raise ConfigError(
            f"found {', '.join(unknown) or 'no name'}",
            where="--only",
            expected="names from " + ", ".join(SYSTEMS),
        )
    return [system for name, system in SYSTEMS.items() if name in names]


def check_build(folder: Path | None) -> None:
    """Raise ConfigError if a folder, where one is named, holds no other build to be measured beside this."""
    if folder is not None and not (folder / "daskals" / "bench").is_dir():
        raise ConfigError(
            f"no daskals in {folder}",
            where="--against",
            expected="a folder with another build, as a checkout of the version before",
        )


def find_system(name: str) -> System:
    """Return a system, an evaluation or a selection by its name."""
    return {**SYSTEMS, **EVALUATIONS, **SELECTIONS}[name]
