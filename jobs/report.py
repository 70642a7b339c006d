"""`python -m jobs.report MODEL`: the training report with its figures."""

from __future__ import annotations

from pathlib import Path

import click

from jobs._command import model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say


@click.command(cls=Command)
@model_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report; default: MODEL/training, none for a registry.",
)
@click.option(
    "--search",
    type=click.Path(path_type=Path),
    help="Table of a search's trials (Parquet or CSV), for the K curve and the grid.",
)
@click.option(
    "--bench", type=click.Path(path_type=Path), help="Measurement that `daskals bench` wrote with --json."
)
@click.option("--overwrite", is_flag=True, help="Replace the report that --out already holds.")
@shared_options()
def main(model: str, out: Path | None, search: Path | None, bench: Path | None, *, overwrite: bool) -> None:
    """Report on MODEL's training: curves, accuracy by bucket, and the search and speed if named."""
    from daskals.plots.requirements import require

    require("matplotlib", "plots")
    from daskals.analysis.search import read_trials
    from daskals.analysis.training import describe_run, read_speeds
    from daskals.plots.training import write_training
    from daskals.registry.open_model import open_model
    from jobs._result_folder import report_folder, result_folder

    trials = None if search is None else read_trials(search)
    speeds = None if bench is None else read_speeds(bench)
    target = report_folder(model, out, "training")
    with open_model(model) as found, result_folder(target, "training.json", overwrite=overwrite) as folder:
        numbers = describe_run(found.report, found.model, trials, speeds)
        write_training(numbers, folder, found.name)
    say(f"saved {target / 'report.html'}")


if __name__ == "__main__":
    main()
