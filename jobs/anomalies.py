"""`python -m jobs.anomalies MODEL`: users, items and groups that do not fit, and why."""

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
    help="Folder of the report; default: MODEL/anomalies, none for a registry.",
)
@click.option(
    "--level",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of each list that may be false alarms.",
)
@click.option(
    "--filter",
    "filters",
    is_flag=False,
    flag_value="shilling",
    metavar="[LISTS]",
    help="Also write cleaned.csv without the ratings of flagged users, and removed.csv: shilling (alone, the "
    "default), users, shared, with commas between.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the permutation tests.")
@click.option("--overwrite", is_flag=True, help="Replace the anomalies that --out already holds.")
@shared_options()
def main(
    model: str, out: Path | None, level: float, filters: str | None, seed: int, *, overwrite: bool
) -> None:
    """Look for what does not fit in the ratings MODEL was trained on.

    OUT has report.html, anomalies.json, and users, items, residuals and findings as Parquet.
    """
    from daskals.plots.requirements import require

    require("matplotlib", "plots")
    from daskals.analysis.anomalies.find import LISTS, find_anomalies
    from daskals.analysis.anomalies.tables import read_filters, write_cleaned, write_tables
    from daskals.analysis.anomalies.words import describe_anomalies
    from daskals.analysis.missing import is_missing
    from daskals.plots.anomalies import HEADINGS, write_anomalies
    from daskals.registry.open_model import open_model
    from jobs._result_folder import report_folder, result_folder

    names = None if filters is None else read_filters(filters)
    target = report_folder(model, out, "anomalies")
    with open_model(model) as opened, result_folder(target, "anomalies.json", overwrite=overwrite) as folder:
        found = find_anomalies(opened.model, level, seed)
        numbers = describe_anomalies(found)
        write_tables(found, numbers, folder)
        write_anomalies(found, numbers, folder, opened.name)
        n_removed = None if names is None else write_cleaned(found, names, folder)
    for name in LISTS:
        section = numbers[name]
        if is_missing(section):
            say(f"{HEADINGS[name]}: not looked for, {section['missing']}")
        else:
            say(
                f"{HEADINGS[name]}: {section['flagged']:,} of {section['tested']:,} tested, "
                f"{section['undecided']:,} undecided"
            )
    if n_removed is not None:
        say(f"{n_removed:,} ratings left out of {target / 'cleaned.csv'}")
    say(f"saved {target / 'report.html'}")


if __name__ == "__main__":
    main()
