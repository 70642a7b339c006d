"""`python -m jobs.predict MODEL PAIRS`: predicted ratings of given pairs, as Parquet."""

from __future__ import annotations

from pathlib import Path

import click

from daskals.config import ReadConfig
from jobs._command import field_options, given, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say


@click.command(cls=Command)
@model_argument
@click.argument("pairs", type=click.Path(path_type=Path))
@field_options(ReadConfig, ["columns"])
@click.option("--out", type=click.Path(path_type=Path), default="predictions.parquet", show_default=True,
              help="Parquet file to write.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
@click.option("--as-of", metavar="DATE",
              help="Day that ratings are predicted for, with a model of --time-bins; default: the latest of "
              "training.")  # fmt: skip
@click.option("--clip", is_flag=True, help="Keep predictions within the rating scale.")
@shared_options()
def main(
    model: str,
    pairs: Path,
    columns: str | None,
    out: Path,
    as_of: str | None,
    *,
    overwrite: bool,
    clip: bool,
) -> None:
    """Predict the rating of each pair in PAIRS (CSV, TSV or Parquet with a user and an item column).

    The result has the pairs in their order with `prediction`, `known_user` and `known_item`.
    """
    config = ReadConfig.parse(given({"columns": columns}))
    from daskals.registry.open_model import load_model
    from daskals.serving.predictions import predict_file

    known, total = predict_file(
        load_model(model),
        pairs,
        out,
        config,
        clip=clip,
        existing="replace" if overwrite else "refuse",
        as_of=as_of,
    )
    say(f"{total:,} pairs predicted, {known:,} of them with user and item known\nsaved {out}")


if __name__ == "__main__":
    main()
