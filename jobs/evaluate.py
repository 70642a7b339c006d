"""`python -m jobs.evaluate MODEL`: the error figures of a saved model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from daskals.config import ReadConfig
from jobs._command import field_options, given, guarded


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data", help="Ratings to compare with; default: those the model was trained on, by its split."
)
@field_options(ReadConfig)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures to a file."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@guarded
def main(model: Path, data: str | None, json_file: Path | None, *, debug: bool, **options: Any) -> None:  # noqa: ARG001
    """Compare MODEL, a run or its model folder, with ratings that are known.

    On the ratings it was trained on, the figures are those of the run's report, split and all. On other
    ratings all of them count as test ratings, matched by original ids.
    """
    config = ReadConfig.parse(given(options))
    from daskals.evaluation import evaluate
    from daskals.model import Model
    from jobs._files import write_json

    figures = evaluate(Model.load(model), data, config)
    if json_file is not None:
        write_json(json_file, figures)
    click.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
