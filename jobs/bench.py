"""`python -m jobs.bench epoch|profile|scaling|solvers|sweep|lists|ingest|evaluate|topk|…`: tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.bench.config import BenchConfig, machine_cores
from daskals.config import TrainConfig
from daskals.errors import ConfigError
from jobs._command import field_options, given, list_lengths, model_argument, shared_options
from jobs._signals import Group
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.bench.defaults import Keep, Regret
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

USUAL_OF_SOLVERS = {"epochs": 10}
USUAL_OF_SWEEPS = {"model": "bayes", "threads": 1, "epochs": 20}
USUAL_OF_DEFAULTS = {"test_fraction": 0.2}
"""What these take instead of the defaults of a benchmark and of a training."""


def bench_command(
    function: Callable[..., None], usual: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """Decorate a benchmark with what all of them take."""
    shared = shared_options(json_file="File for machine, data and results.")
    return field_options(BenchConfig, OPTIONS, usual)(shared(function))


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
    bench = Bench.open(command, config, lambda text: say(text, err=True))
    report = bench.report(measure(bench))
    print_report(report)
    outputs.save(report)
    refuse_failures(report["results"])


@click.group(cls=Group)
def main() -> None:
    """Measure daskals, paper 1's own tiers and comparable systems on the same data and machine.

    Every system runs in a process of its own with fixed threads. Compilation, loading and conversion are
    not in the seconds; the median of the epochs counts.
    """


@main.command()
@click.option("--peers", is_flag=True, help="Also measure implicit, cmfrec and Spark, where installed.")
@click.option("--only", metavar="NAMES", help="Measure only these systems, with commas between.")
@click.option("--figure", type=click.Path(path_type=Path), help="File for paper 1's Figure 6.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Folder of another build, whose own systems are measured beside these.",
)
@bench_command
def epoch(
    *, peers: bool, only: str | None, figure: Path | None, against: Path | None, **options: Any
) -> None:
    """Time an epoch of every system."""
    from daskals.bench.systems import check_build, choose

    check_build(against)
    systems = choose(only, peers=peers)
    run_bench("epoch", options, lambda bench: bench.epoch(systems, against), figure)


@main.command()
@bench_command
def profile(**options: Any) -> None:
    """Tell where the CPU seconds of an epoch go, and what the machine's peak would allow."""
    json_file = options.pop("json_file")
    config = BenchConfig.parse(given(options))
    from daskals.kernels.toolkit.target import select_target

    select_target(config.cpu)  # before numba is imported
    from daskals.bench.profile import measure_profile
    from daskals.bench.run import Bench, Outputs
    from jobs._bench_table import print_profile

    outputs = Outputs(json_file)
    bench = Bench.open("profile", config, lambda text: say(text, err=True))
    report = bench.report([part._asdict() for part in measure_profile(bench)])
    print_profile(report)
    outputs.save(report)


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
@click.option(
    "--users", type=click.IntRange(1), default=20_000, show_default=True, help="Users of the model."
)
@click.option("--items", type=click.IntRange(60), default=84_432, show_default=True, help="Its items.")
@click.option("--rank", type=click.IntRange(1, 256), default=64, show_default=True, help="Its factors, K.")
@click.option("--connections", type=click.IntRange(1), default=64, show_default=True, help="At a time.")
@click.option("--seconds", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Of each kind.")
@shared_options(json_file="File for the machine and the results.")
def service(json_file: Path | None, **options: Any) -> None:
    """Count the requests a second of the HTTP service (extra [serve]), on a planted model."""
    from daskals.bench.config import machine_cores
    from daskals.bench.service import Load, measure_service
    from jobs._json_file import write_json

    found = measure_service(Load(**options), lambda text: say(text, err=True))
    for one in found:
        say(
            f"{one.kind}: {one.per_second:,.0f} requests/s, p50 {one.p50_ms:.0f} ms, "
            f"p99 {one.p99_ms:.0f} ms, {one.errors} errors of {one.requests:,}; "
            f"{one.cpu_ms:.2f} ms of the service's CPU a request"
        )
    if json_file is not None:
        results = [one._asdict() for one in found]
        write_json(json_file, {"cores": machine_cores(), "load": options, "results": results})


@main.command()
@click.option("--implicit", is_flag=True, help="Take ratings for counts, as --model ials does.")
@click.option("--peers", is_flag=True, help="Let the library implicit set the goal, with --implicit.")
@functools.partial(bench_command, usual=USUAL_OF_SOLVERS)
def solvers(*, implicit: bool, peers: bool, **options: Any) -> None:
    """Time the exact solve and those that improve rows at a rank, to the same objective."""
    json_file = options.pop("json_file")
    config = BenchConfig.parse({**USUAL_OF_SOLVERS, **given(options)})
    from daskals.kernels.toolkit.target import select_target

    select_target(config.cpu)  # before numba is imported
    from daskals.bench.run import Bench, Outputs
    from daskals.bench.solvers import measure_solvers
    from jobs._bench_table import print_race

    outputs = Outputs(json_file)
    bench = Bench.open("solvers", config, lambda text: say(text, err=True))
    report = bench.report(measure_solvers(bench, implicit=implicit, peers=peers))
    print_race(report)
    outputs.save(report)


@main.command()
@click.option("--peers", is_flag=True, help="Also measure myFM, in turn (extra [bench]).")
@field_options(BenchConfig, (*OPTIONS, "item_features", "user_features"), USUAL_OF_SWEEPS)
@shared_options(json_file="File for machine, data and results.")
def sweep(*, peers: bool, **options: Any) -> None:
    """Time a sweep of the Gibbs sampler, on one thread unless --threads says otherwise.

    Without --item-features it has the genres, where there are any. --epochs are sweeps here, of each of three
    chains.
    """
    from daskals.bench.systems import SWEEPS

    if peers:
        SWEEPS["myfm"].require()

    def measure(bench: Bench) -> list[Result]:
        from daskals.bench.sweeps import measure_sweeps

        return measure_sweeps(bench, peers=peers)

    run_bench("sweep", {**USUAL_OF_SWEEPS, **given(options), "json_file": options["json_file"]}, measure)


@main.command()
@model_argument
@click.option("--k", default="10,20", show_default=True, metavar="N[,N…]", help="Lengths of lists.")
@click.option(
    "--relevant", type=float, help="Lowest rating that is liked; default: what 3.5 is on half stars."
)
@click.option("--threads", type=click.IntRange(1), help="Threads of the library; default: all cores.")
@shared_options(json_file="File for the figures.")
def lists(model: str, k: str, relevant: float | None, threads: int | None, json_file: Path | None) -> None:
    """Hold MODEL's lists against the library implicit at eight settings, user by user (extra [bench]).

    On the model's own split. The library learns from what was liked in training; the setting that is best for
    the test part is the one that the served lists are held against.
    """
    from daskals.bench.lists import measure_lists
    from daskals.config import ReadConfig
    from daskals.fitting.evaluate import own_ratings
    from daskals.registry.open_model import load_model
    from jobs._bench_table import print_lists
    from jobs._json_file import write_json

    loaded, lengths = load_model(model), list_lengths(k)
    with own_ratings(loaded, None, ReadConfig()) as (store, split):
        found = measure_lists(
            loaded,
            store,
            split,
            ks=lengths,
            relevant=relevant,
            threads=threads or machine_cores(),
            tell=functools.partial(say, err=True),
        )
    print_lists(found)
    if json_file is not None:
        write_json(json_file, found)


@main.command()
@click.option("--peers", is_flag=True, help="Also measure implicit, where installed.")
@bench_command
def topk(*, peers: bool, **options: Any) -> None:
    """Time everybody's ten best items, what they have rated left out."""
    run_bench("topk", options, lambda bench: bench.topk(peers=peers))


@main.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="Real ratings, for seven sets beside the planted ones."
)
@click.option("--only", metavar="NAMES", help="Measure only these sets, with commas between.")
@click.option(
    "--keep",
    type=click.Choice(["rows", "others"]),
    help="Go on with the file of --json: keep its rows, or only what the other models came to there, so that "
    "just the default is measured anew.",
)
@field_options(TrainConfig, ("rank", "test_fraction", "seed", "time_budget"), USUAL_OF_DEFAULTS)
@shared_options(json_file="File for the figures.")
def defaults(
    *,
    data: Path | None,
    only: str | None,
    keep: Keep | None,
    json_file: Path | None,
    **options: Any,
) -> None:
    """Hold the default model against this project's own models, each tuned on validation.

    On planted sets that differ in shape, and on what real ratings become in other units. RMSE of the test
    part; the regret is how much worse the default is than the best of the others.
    """
    # an order is not measured here
    config = TrainConfig.parse({**USUAL_OF_DEFAULTS, **given(options), "order": "rating"})
    from daskals.bench.defaults import measure_defaults, measured_before
    from daskals.bench.machine import describe_host
    from daskals.bench.report import check_writable, write_json
    from jobs._bench_table import print_regrets

    check_writable(json_file, "--json")
    names = [] if only is None else [name.strip() for name in only.split(",")]
    before: dict[str, Regret] = {}
    if keep is not None and json_file is None:
        raise ConfigError("found --keep without --json", where="--keep", expected="the file to go on with")
    if keep is not None and json_file is not None and json_file.exists():
        before = measured_before(json_file, config)
    found = dict(before)
    tell = functools.partial(say, err=True)
    for one in measure_defaults(names, data, config, tell, before, keep or "rows"):
        found[one.name] = one
        if json_file is not None:  # after every set: a long measurement that is stopped keeps what it has
            report = {
                "command": "defaults",
                "config": config.as_report(),
                "machine": describe_host(machine_cores()),
            }
            write_json({**report, "results": [row.as_report() for row in found.values()]}, json_file)
    print_regrets(list(found.values()))


if __name__ == "__main__":
    main()
