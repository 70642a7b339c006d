"""`python -m jobs.ingest SOURCE STORE`: from a ratings file to a store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from daskals.config import ReadConfig
from jobs._command import field_options, given, guarded


@click.command()
@click.argument("source")
@click.argument("store", type=click.Path(path_type=Path))
@field_options(ReadConfig)
@click.option("--overwrite", is_flag=True, help="Replace the store that is there.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@guarded
def main(source: str, store: Path, *, overwrite: bool, debug: bool, **options: Any) -> None:  # noqa: ARG001
    """Read SOURCE, a ratings file, a folder or a data set's name, and write it as STORE."""
    config = ReadConfig.parse(given(options))
    from daskals.ingest import ingest

    started = time.perf_counter()
    made = ingest(source, store, config, overwrite="replace" if overwrite else "refuse")
    click.echo(
        f"{made.n_ratings:,} ratings of {made.n_users:,} users and {made.n_rated_items:,} rated items "
        f"({made.n_items:,} listed), {made.duplicates:,} duplicates, "
        f"{sum(made.dropped.values()):,} rows dropped, {time.perf_counter() - started:.1f} s"
    )
    for reason, count in made.dropped.items():
        click.echo(f"dropped {count:,}: {reason}")
    click.echo(f"saved {store}")


if __name__ == "__main__":
    main()
