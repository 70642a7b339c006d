"""`python -m jobs.eda`: what there is to know about ratings before a model is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskals.config import ReadAsConfig
from jobs._command import field_options, given, one_source, shared_options
from jobs._signals import Command
from jobs._terminal import say


@click.command(cls=Command)
@click.option("--data", type=click.Path(path_type=Path), help="Ratings: a folder, a file or a store.")
@click.option("--dataset", help="Ratings by name: ml-latest-small … ml-32m, synthetic-1m …")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the report, figures and numbers."
)
@click.option("--overwrite", is_flag=True, help="Replace the exploration that --out already holds.")
@field_options(ReadAsConfig)
@shared_options()
def main(data: Path | None, dataset: str | None, out: Path, *, overwrite: bool, **options: Any) -> None:
    """Explore ratings: an HTML report, its figures as PNG and SVG, and eda.json with the numbers."""
    config = ReadAsConfig.parse(given(options))
    source = one_source(data, dataset)
    from daskals.plots.requirements import require

    for library in ("matplotlib", "wordcloud"):
        require(library, "plots")
    from daskals.analysis.eda import explore
    from daskals.ingest import resolve_store
    from daskals.plots.eda import write_exploration
    from jobs._result_folder import result_folder

    with result_folder(out, "eda.json", overwrite=overwrite) as folder:
        numbers = explore(resolve_store(source, config))
        write_exploration(numbers, folder, Path(source).name)
    table = numbers["table"]
    say(
        f"{table['n_ratings']:,} ratings, {table['n_users']:,} users, "
        f"{table['n_rated_items']:,} rated items, mean {table['mean']:.4f}, "
        f"sparsity {table['sparsity_percent']:.2f} %\n"
        f"saved {out / 'report.html'}"
    )


if __name__ == "__main__":
    main()
