"""`python -m jobs.similar MODEL`: the items most like each item, or like one title."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ClusterConfig
from daskals.ratings.shown_text import on_terminal
from jobs._command import field_options, given, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.model.fitted import Model
    from daskals.store.atomic_folder import Existing


@click.command(cls=Command)
@model_argument
@click.option("--item", help="Print the neighbours of one item, an id or a title, instead of writing all.")
@click.option("--out", type=click.Path(path_type=Path), default="similar", show_default=True,
              help="Folder of Parquet parts to write: item, rank, similar_item, similarity.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the folder that is there.")
@click.option("-n", "--n", "n", type=int, default=10, show_default=True, help="Length of a list.")
@click.option("--min-ratings", type=int, default=0, help="Training ratings a neighbour must have.")
@field_options(ClusterConfig)
@shared_options(json_file="Write an item's table as JSON too.")
def main(model: str, item: str | None, n: int, **options: Any) -> None:
    """List the items most like each other: alike in taste, and chosen by the same people.

    Taste is the cosine of what the model predicts people like of two items; that the same people chose them
    is the correlation of who did, where the model has learnt the order of lists. `daskals evaluate
    --similar` tells how good such lists are.
    """
    config = ClusterConfig.parse(given({name: options[name] for name in ClusterConfig.model_fields}))
    from daskals.registry.open_model import open_model

    with open_model(model) as found:
        if item is not None:
            _print_one(found.model, item, n, options)
        else:
            _write_all(found.model, found.folder, n, {**options, "cluster": config})


def _print_one(model: Model, item: str, n: int, options: dict[str, Any]) -> None:
    from daskals.model.filters import Filters
    from jobs._item_tables import print_items, records
    from jobs._json_file import write_json

    row = model.find_item(item)
    say(f"most like {on_terminal(model.item_name(row))}")
    table = model.similar_items(
        model.item_ids[row].as_py(), n, filters=Filters(min_ratings=options["min_ratings"])
    )
    print_items(table, "similarity", model.counted_as)
    if options["json_file"] is not None:
        write_json(options["json_file"], {"item": model.item_name(row), "similar": records(table)})
        say(f"saved {options['json_file']}")


def _write_all(model: Model, folder: Path, n: int, options: dict[str, Any]) -> None:
    from daskals.cluster.connect import connect
    from daskals.model.filters import Filters
    from daskals.serving.lists import ListRequest, recommend_all
    from jobs._part_progress import PartProgress

    filters = Filters(min_ratings=options["min_ratings"])
    request = ListRequest(str(folder), model.list_version(), n, filters=filters, neighbours=True)
    existing: Existing = "replace" if options["overwrite"] else "refuse"
    with connect(options["cluster"]) as cluster, PartProgress("items") as progress:
        lines = recommend_all(
            cluster, request, options["out"], existing=existing, progress=progress, model=model
        )
    say(f"{lines:,} neighbours of {progress.total:,} items in {progress.seconds:.1f} s")
    say(f"saved {options['out']}")


if __name__ == "__main__":
    main()
