"""`python -m jobs.export MODEL`: vectors, features and dense predictions as Parquet, for other work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daskals.errors import ConfigError, DataError
from jobs._command import model_argument, shared_options

if TYPE_CHECKING:
    from daskals.model.fitted import Model
    from daskals.serving.export import Block
    from daskals.types import Int64, Side

CHOICE_HELP = "ids with commas between, top:N for the N with most ratings, or all"


@click.command()
@model_argument
@click.option("--out", type=click.Path(path_type=Path), default="export", show_default=True,
              help="Folder to write: users, items and genres as Parquet files.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the folder that is there.")
@click.option("--previous", metavar="MODEL", help="Earlier model: adds how far each row drifted.")
@click.option("--block-users", help=f"Users of a dense block of predictions: {CHOICE_HELP}.")
@click.option("--block-items", help=f"Items of a dense block of predictions: {CHOICE_HELP}.")
@shared_options()
def main(
    model: str,
    out: Path,
    previous: str | None,
    block_users: str | None,
    block_items: str | None,
    *,
    overwrite: bool,
) -> None:
    """Write what MODEL knows of users, items and genres, with features for churn, value and the like."""
    from daskals.registry.open_model import load_model, open_model
    from daskals.serving.export import export_model

    with open_model(model) as found:
        written = export_model(
            found.model,
            out,
            previous=None if previous is None else load_model(previous),
            block=_block(found.model, block_users, block_items),
            existing="replace" if overwrite else "refuse",
        )
    for name, lines in written.items():
        click.echo(f"{name}.parquet: {lines:,} lines")
    click.echo(f"saved {out}")


def _block(model: Model, users: str | None, items: str | None) -> Block | None:
    from daskals.serving.export import Block

    if users is None and items is None:
        return None
    if users is None or items is None:
        raise ConfigError(
            "found one of --block-users and --block-items", where="block", expected="both, or none"
        )
    return Block(_rows(model, "user", users), _rows(model, "item", items))


def _rows(model: Model, side: Side, text: str) -> Int64:
    import numpy as np

    counts = model.user_counts if side == "user" else model.item_counts
    if text == "all":
        return np.arange(len(counts))
    if text.startswith("top:"):
        number = text.removeprefix("top:")
        if not number.isdecimal() or int(number) < 1:
            raise ConfigError(f"found {text!r}", where=f"--block-{side}s", expected="top:N, N from 1 up")
        return np.sort(np.argsort(-counts, kind="stable")[: int(number)])
    ids = [part.strip() for part in text.split(",") if part.strip()]
    rows = model.rows_of(side, ids)
    if not ids or (rows < 0).any():
        unknown = ", ".join(key for key, row in zip(ids, rows, strict=True) if row < 0) or "nothing"
        raise DataError(f"found {unknown}", where=f"--block-{side}s", expected=f"{side} ids of the model")
    return rows


if __name__ == "__main__":
    main()
