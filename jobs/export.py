"""`python -m jobs.export MODEL`: vectors, for stores of vectors too, features and dense predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.errors import ConfigError, DataError
from jobs._command import model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.model.fitted import Model
    from daskals.serving.export import Block
    from daskals.serving.vectors import VectorFormat
    from daskals.store.atomic_folder import Existing
    from daskals.types import Int64, Side

RECALL_USERS = 1000
"""Users whose lists are asked for, spread over all."""

RECALL_LENGTH = 10

CHOICE_HELP = "ids with commas between, top:N for the N with most ratings, or all"


@click.command(cls=Command)
@model_argument
@click.option("--out", type=click.Path(path_type=Path), default="export", show_default=True,
              help="Folder to write: users, items and genres as Parquet files, or vectors.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the folder that is there.")
@click.option("--previous", metavar="MODEL", help="Earlier model: adds how far each row drifted.")
@click.option("--block-users", help=f"Users of a dense block of predictions: {CHOICE_HELP}.")
@click.option("--block-items", help=f"Items of a dense block of predictions: {CHOICE_HELP}.")
@click.option("--vectors", is_flag=True,
              help="Write vectors alone; by inner product they order as predicted ratings do.")  # fmt: skip
@click.option(
    "--cosine", is_flag=True, help="With --vectors: of length 1, for stores that know cosines alone."
)
@click.option("--format", "formats", default="parquet,npy", show_default=True, metavar="A,B,…",
              help="With --vectors: of parquet, npy, and sql (COPY, for pgvector).")  # fmt: skip
@click.option("--recall", is_flag=True,
              help="With --vectors: tell how much of the exact lists each library here finds.")  # fmt: skip
@shared_options()
def main(model: str, out: Path, *, vectors: bool, recall: bool, **options: Any) -> None:
    """Write what MODEL knows of users, items and genres, with features for churn, value and the like.

    With --vectors: the vectors of users and items for faiss, pgvector or any other store of vectors.
    """
    if recall and (not vectors or options["cosine"]):
        raise ConfigError(
            "found without --vectors, or with --cosine", where="--recall", expected="--vectors alone"
        )
    from daskals.registry.open_model import load_model, open_model
    from daskals.serving.export import export_model
    from daskals.serving.vectors import export_vectors

    existing: Existing = "replace" if options["overwrite"] else "refuse"
    formats = _formats(options, asked=vectors)
    with open_model(model) as found:
        if vectors:
            written = export_vectors(
                found.model, out, cosine=options["cosine"], formats=formats, existing=existing
            )
        else:
            previous = options["previous"]
            tables = export_model(
                found.model,
                out,
                previous=None if previous is None else load_model(previous),
                block=_block(found.model, options["block_users"], options["block_items"]),
                existing=existing,
            )
            written = {f"{name}.parquet": lines for name, lines in tables.items()}
    for name, lines in written.items():
        say(f"{name}: {lines:,} lines")
    say(f"saved {out}")
    if recall:
        _tell_recall(found.model)


def _tell_recall(model: Model) -> None:
    import numpy as np

    from daskals.serving.index_recall import measure_recall
    from daskals.serving.vectors import rating_vectors
    from jobs._recall_table import print_recalls

    n_users = len(model.user_ids)
    users = np.unique(np.linspace(0, n_users - 1, min(n_users, RECALL_USERS)).astype(np.int64))
    found, absent = measure_recall(rating_vectors(model), users, RECALL_LENGTH)
    print_recalls(found, RECALL_LENGTH)
    if absent:
        say(f"not installed: {', '.join(name.partition('.')[0] for name in absent)}")


def _formats(options: dict[str, Any], *, asked: bool) -> list[VectorFormat]:
    """Return the formats of vectors; refuse options of the other kind of export."""
    from daskals.serving.vectors import VECTOR_FORMATS

    tables = [name for name in ("previous", "block_users", "block_items") if options[name] is not None]
    if asked and tables:
        flag = tables[0].replace("_", "-")
        raise ConfigError(f"found together with --{flag}", where="--vectors", expected="one of the two")
    if not asked and options["cosine"]:
        raise ConfigError("found without --vectors", where="--cosine", expected="both")
    names = [name.strip() for name in options["formats"].split(",")]
    known = [name for name in VECTOR_FORMATS if name in names]
    if len(known) < len(set(names)) or not known:
        raise ConfigError(
            f"found {options['formats']!r}", where="--format", expected=f"some of {','.join(VECTOR_FORMATS)}"
        )
    return known


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
