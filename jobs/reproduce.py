"""`python -m jobs.reproduce nagi|salako`: the papers' runs, their figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskals.config import JobConfig
from jobs._command import field_options, given, shared_options
from jobs._signals import Command
from jobs._terminal import say

_OPTIONS = ["data", "dataset", "store_url", "workers", "threads_per_worker", "scheduler", "dashboard_address"]


@click.command(cls=Command)
@click.argument("paper", type=click.Choice(["nagi", "salako"]))
@field_options(JobConfig, _OPTIONS)
@click.option("--only", metavar="TEXT", help="Run only what has this text in its name.")
@shared_options(json_file="Also write the figures to a file.")
def main(paper: str, only: str | None, json_file: Path | None, **options: Any) -> None:
    """Train with a PAPER's split and hyperparameters, and print its published figures beside the measured.

    The papers' ratings are MovieLens 32M: name its folder with --data, or any other ratings to see the
    protocol run. Paper 1 (nagi) holds 0.1 of the ratings out, of ml-latest-small 0.2; paper 2 (salako) a
    fifth of every user's.
    """
    job = JobConfig.parse(given(options))
    from daskals.cluster.connect import connect
    from daskals.errors import ConfigError
    from daskals.experiments.papers import experiments, run_experiment
    from daskals.ingest import job_store
    from jobs._json_file import write_json

    store = job_store(job, "ml-32m")
    chosen = [one for one in experiments(paper, store.n_ratings) if only is None or only in one.name]
    if not chosen:
        names = ", ".join(one.name for one in experiments(paper, store.n_ratings))
        raise ConfigError(f"no run is called {only!r}", where="--only", expected=f"part of one of: {names}")
    results = []
    with connect(job) as cluster:
        for experiment in chosen:
            results.append(run_experiment(store, cluster, experiment))
            say(describe(results[-1]))
    if json_file is not None:
        write_json(json_file, {"paper": paper, "runs": results})


def describe(result: dict[str, Any]) -> str:
    """Return the lines that tell one run."""
    lines = [result["name"]]
    for name, value in result["measured"].items():
        published = result["published"].get(name)
        beside = "" if published is None else f"   published {published:.4f} ({result['where'][name]})"
        lines.append(f"  {name:<18} {value:.4f}{beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
