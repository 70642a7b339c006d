"""`python -m jobs.bench epoch|scaling|ingest|evaluate|topk`: measurements, one table, one JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.bench.config import BenchConfig
from jobs._command import field_options, given, shared_options

if TYPE_CHECKING:
    from daskals.bench.epoch import Result
    from daskals.bench.run import Bench

OPTIONS = (
    "dataset",
    "data",
    "rank",
    "epochs",
    "threads",
    "cpu",
    "test_fraction",
    "seed",
    "lambda_",
    "gamma",
    "tau",
)


def bench_command(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a benchmark with what all of them take."""
    shared = shared_options(json_file="File for machine, data and results.")
    return field_options(BenchConfig, OPTIONS)(shared(function))


def run_bench(
    command: str,
    options: dict[str, Any],
    measure: Callable[[Bench], list[Result]],
    figure: Path | None = None,
) -> None:
    """Check the options, then bring in what they need (--help waits for nothing), measure and report."""
    json_file = options.pop("json_file")
    config = BenchConfig.parse(given(options))
    from daskals.kernels.toolkit.target import select_target

    select_target(config.cpu)  # before numba is imported
    from daskals.bench.run import Bench, Outputs, refuse_failures
    from jobs._bench_table import print_report

    outputs = Outputs(json_file, figure)
    bench = Bench.open(command, config, lambda text: click.echo(text, err=True))
    report = bench.report(measure(bench))
    print_report(report)
    outputs.save(report)
    refuse_failures(report["results"])


@click.group()
def main() -> None:
    """Measure daskals, paper 1's own tiers and comparable systems on the same data and machine.

    Every system runs in a process of its own with fixed threads. Compilation, loading and conversion are
    not in the seconds; the median of the epochs counts.
    """


@main.command()
@click.option("--peers", is_flag=True, help="Also measure implicit, cmfrec and Spark, where installed.")
@click.option("--only", metavar="NAMES", help="Measure only these systems, with commas between.")
@click.option("--figure", type=click.Path(path_type=Path), help="File for paper 1's Figure 6.")
@bench_command
def epoch(*, peers: bool, only: str | None, figure: Path | None, **options: Any) -> None:
    """Time an epoch of every system."""
    from daskals.bench.systems import choose

    systems = choose(only, peers=peers)
    run_bench("epoch", options, lambda bench: bench.epoch(systems), figure)


@main.command()
@bench_command
def scaling(**options: Any) -> None:
    """Time an epoch on 1, 2, 4 … threads and processes, and print the efficiency."""
    run_bench("scaling", options, lambda bench: bench.scaling())


@main.command()
@bench_command
def ingest(**options: Any) -> None:
    """Time making a store from a CSV file of the ratings, which is written first."""
    run_bench("ingest", options, lambda bench: bench.ingest())


@main.command()
@bench_command
def evaluate(**options: Any) -> None:
    """Time the RMSE of the test ratings."""
    run_bench("evaluate", options, lambda bench: bench.evaluate())


@main.command()
@click.option("--peers", is_flag=True, help="Also measure implicit, where installed.")
@bench_command
def topk(*, peers: bool, **options: Any) -> None:
    """Time everybody's ten best items, what they have rated left out."""
    run_bench("topk", options, lambda bench: bench.topk(peers=peers))


if __name__ == "__main__":
    main()
