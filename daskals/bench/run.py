"""Run of one benchmark from options to report; what `jobs.bench` calls."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskals.bench.config import BenchConfig
from daskals.bench.contract import Assignment
from daskals.bench.data import describe_data, open_split
from daskals.bench.epoch import Result, measure_systems, result_of
from daskals.bench.figure import check_figure, draw_figure
from daskals.bench.ingestion import measure_ingestion
from daskals.bench.isolation import MeasurementError
from daskals.bench.machine import describe_machine
from daskals.bench.report import check_writable, write_json
from daskals.bench.scaling import measure_scaling
from daskals.bench.systems import EVALUATIONS, INGESTION, SELECTIONS, System
from daskals.errors import DaskalsError
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split


@dataclass(frozen=True)
class Bench:
    """A benchmark whose options are checked and whose data are there.

    Attributes
    ----------
    command, config
        `epoch`, `profile`, `scaling`, `ingest`, `evaluate` or `topk`; its options.
    store, split
        Its ratings.
    machine, tell
        What it runs on; called with what is being done, as it begins.
    """

    command: str
    config: BenchConfig
    store: RatingsStore
    split: Split
    machine: dict[str, Any]
    tell: Callable[[str], None]

    @classmethod
    def open(cls, command: str, config: BenchConfig, tell: Callable[[str], None]) -> Bench:
        """Open the ratings, or make their store, and measure the machine's peak.

        Raises DaskalsError if the ratings cannot be had, or the peak cannot be measured.
        """
        tell(f"{config.source} …")
        store, split = open_split(config.source, config.training())
        tell("the machine's peak …")
        try:
            machine = describe_machine(config.n_threads)
        except MeasurementError as error:
            raise DaskalsError(str(error), where="the machine's peak") from None
        return cls(command, config, store, split, machine, tell)

    @property
    def assignment(self) -> Assignment:
        """What every system is asked, the system's name apart."""
        config = self.config.training()
        return Assignment("", self.store.path, self.split.key, config, self.config.n_threads)

    def _shape(self, n_ratings: int) -> dict[str, int]:
        return {"n_ratings": n_ratings, "n_rows": self.store.n_users + self.store.n_items}

    def epoch(self, systems: Sequence[System], against: Path | None = None) -> list[Result]:
        """Measure an epoch of each system, daskals' own also by the build in the folder `against`."""
        return self._measure(systems, self.split.n_train, against)

    def evaluate(self) -> list[Result]:
        """Measure a pass over the test ratings."""
        return self._measure(list(EVALUATIONS.values()), self.split.n_test)

    def _measure(
        self, systems: Sequence[System], n_ratings: int, against: Path | None = None
    ) -> list[Result]:
        peak, shape = self.machine["peak_gflops"], self._shape(n_ratings)
        return measure_systems(systems, self.assignment, shape, peak, self.tell, against)

    def topk(self, *, peers: bool) -> list[Result]:
        """Measure everybody's ten best items; each result has its median `pairs_per_second`."""
        systems = [system for system in SELECTIONS.values() if peers or system.group != "peer"]
        results = self._measure(systems, self.split.n_train)
        for one in results:
            rates = one["extra"].get("pairs_per_second")
            # a pass goes over pairs, not over ratings
            one["ratings_per_second"] = None
            one["pairs_per_second"] = statistics.median(rates) if rates else None
        return results

    def scaling(self) -> list[Result]:
        """Measure an epoch on 1, 2, 4 … threads and processes."""
        return measure_scaling(self.assignment, self._shape(self.split.n_train), self.tell)

    def ingest(self) -> list[Result]:
        """Measure making a store from CSV."""
        self.tell("writing the CSV file, then daskals-ingest …")

        def run() -> Any:
            return measure_ingestion(self.store, self.config.epochs, self.config.n_threads)

        return [result_of(INGESTION, run, self._shape(self.store.n_ratings), self.machine["peak_gflops"])]

    def report(self, results: list[Result]) -> dict[str, Any]:
        """Return machine, data and results, ready for JSON."""
        return {
            "command": self.command,
            "rank": self.config.rank,
            "epochs": self.config.epochs,
            "config": self.config.training().as_report(),
            "machine": self.machine,
            "data": describe_data(self.config.source, self.store, self.split),
            "results": results,
        }


@dataclass(frozen=True)
class Outputs:
    """Where a report goes beside the screen, if anywhere.

    Raises
    ------
    OutputError
        If a file cannot be written there, as far as can be told before.
    ConfigError
        If the figure could not be drawn.
    """

    json_file: Path | None = None
    figure: Path | None = None

    def __post_init__(self) -> None:
        check_writable(self.json_file, "--json")
        check_writable(self.figure, "--figure")
        check_figure(self.figure)

    def save(self, report: dict[str, Any]) -> None:
        """Write the report and draw the figure. Raises OutputError if a file cannot be written."""
        if self.json_file is not None:
            write_json(report, self.json_file)
        if self.figure is not None:
            machine, data = report["machine"], report["data"]
            title = (
                f"{data['source']}, {data['n_train']:,} ratings, K = {report['rank']}, "
                f"{machine['threads']} threads of {machine['cpu']}"
            )
            draw_figure(report["results"], title, self.figure)


def refuse_failures(results: Sequence[Result]) -> None:
    """Raise DaskalsError if a system failed; to be called once the report is out."""
    failed = [one for one in results if one["status"] == "failed"]
    if failed:
        causes = "; ".join(f"{one['name']}: {one['note']}" for one in failed)
        raise DaskalsError(f"{len(failed)} of {len(results)} measurements failed ({causes})")
