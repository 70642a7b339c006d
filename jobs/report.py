"""`python -m jobs.report RUN`: the training report with its figures."""

from __future__ import annotations

from pathlib import Path

import click

from jobs._command import guarded


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report; default: RUN/training.")
@click.option(
    "--search",
    type=click.Path(path_type=Path),
    help="Table of a search's trials (Parquet or CSV), for the K curve and the grid.",
)
@click.option(
    "--bench", type=click.Path(path_type=Path), help="Measurement that jobs.bench wrote with --json."
)
@click.option("--overwrite", is_flag=True, help="Replace the report that --out already holds.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@guarded
def main(
    run: Path,
    out: Path | None,
    search: Path | None,
    bench: Path | None,
    *,
    overwrite: bool,
    debug: bool,  # noqa: ARG001
) -> None:
    """Report on RUN: objective and RMSE curves, accuracy by bucket, and the search and speed if named."""
    from daskals.plots.requirements import require

    require("matplotlib", "plots")
    from daskals.analysis.search import read_trials
    from daskals.analysis.training import describe_run, read_report, read_speeds
    from daskals.model.fitted import Model
    from daskals.plots.training import write_training
    from jobs._folder import result_folder

    report = read_report(run)
    trials = None if search is None else read_trials(search)
    speeds = None if bench is None else read_speeds(bench)
    target = out or run / "training"
    with result_folder(target, "training.json", overwrite=overwrite) as folder:
        numbers = describe_run(report, Model.load(run), trials, speeds)
        write_training(numbers, folder, run.resolve().name)
    click.echo(f"saved {target / 'report.html'}")


if __name__ == "__main__":
    main()
