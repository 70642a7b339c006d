"""`python -m jobs.recommend MODEL`: the best items for everybody, for some users, or for one new person."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from daskals.config import ClusterConfig
from daskals.errors import ConfigError
from daskals.ratings.shown_text import on_terminal
from jobs._command import field_options, given, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.model.filters import Filters
    from daskals.model.fitted import Model
    from daskals.model.list_order import Scoring
    from daskals.model.ordered import ListOrder
    from daskals.model.profile import Profile
    from daskals.store.atomic_folder import Existing

OUT = Path("recommendations")
"""Where the lists of many users go unless a folder is named."""


@click.command(cls=Command)
@model_argument
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder of Parquet parts to write: user, rank, item, score, stars; default: none for "
              "--user, else recommendations.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the folder that is there.")
@click.option("-n", "--n", "n", type=int, default=10, show_default=True, help="Length of a list.")
@click.option("--users", type=click.Path(path_type=Path),
              help="File of users to list (CSV or Parquet, column user); default: all.")  # fmt: skip
@click.option("--user", "single", multiple=True, help="A user to list; may be repeated.")
@click.option("--rate", multiple=True, metavar="TITLE=RATING",
              help="A rating of somebody new, who gets a table; may be repeated.")  # fmt: skip
@click.option("--ratings", type=click.Path(path_type=Path),
              help="File of somebody new's ratings (CSV or Parquet: item or title, rating), or their export "
              "from Letterboxd, IMDb or MovieLens.")  # fmt: skip
@click.option("--order", type=click.Choice(["affinity", "rating"]),
              help="What people choose, or predicted rating; default: affinity, if learnt.")  # fmt: skip
@click.option("--diversity", type=float, default=0.0, show_default=True,
              help="How much the items of a list by affinity shall differ, 0 to 1.")  # fmt: skip
@click.option(
    "--as-of",
    metavar="DATE",
    help="Day that the lists are of, with a model of --time-bins; default: the latest of training.",
)
@click.option("--leave-out", type=click.Choice(["all", "train", "none"]), default="all", show_default=True,
              help="Rated items not to list: all, those of the training part, or none.")  # fmt: skip
@click.option("--titles", is_flag=True, help="Write titles into the Parquet files too.")
@click.option("--alpha", type=float, help="Weight α of popularity beside taste (paper 2, Eq. 10).")
@click.option("--bias-weight", type=float, help="Weight of an item's bias (paper 1, Eq. 9).")
@click.option("--min-ratings", type=int, default=0, help="Training ratings an item must have.")
@click.option("--genres", default="", metavar="A,B,…", help="Genres of which an item must have one.")
@click.option(
    "--years", default="", metavar="FROM-TO", help="Years of release, both included; either may be missing."
)
@click.option("--allow", multiple=True, metavar="ITEM", help="An id or title that alone may be listed.")
@click.option("--deny", multiple=True, metavar="ITEM", help="An id or title never to list.")
@click.option("--include-seen", is_flag=True, help="Also list what a user has rated: --leave-out none.")
@field_options(ClusterConfig)
@shared_options(json_file="Write a person's table as JSON too.")
def main(model: str, rate: tuple[str, ...], ratings: Path | None, **options: Any) -> None:
    """Recommend items with MODEL.

    Without --rate or --ratings: the best items of all users (or of --users, --user) as a folder of Parquet
    files. With them: a table for a person who is not in the model.
    """
    config = ClusterConfig.parse(given({name: options[name] for name in ClusterConfig.model_fields}))
    from daskals.model.list_order import Scoring
    from daskals.registry.open_model import open_model

    scoring, filters = Scoring(options["alpha"], options["bias_weight"]), _filters(options)
    if options["include_seen"]:
        options["leave_out"] = "none"
    with open_model(model) as found:
        options["order"] = _settled(found.model, options["order"], scoring)
        if rate or ratings is not None:
            dated = found.model if options["as_of"] is None else found.model.as_of(options["as_of"])
            _for_one(dated, (rate, ratings), scoring, filters, options)
        else:
            _for_many(found.model, found.folder, scoring, filters, {**options, "cluster": config})


def _settled(model: Model, asked: ListOrder | None, scoring: Scoring) -> ListOrder:
    """Return the order of the lists; say it where an old model has learnt none."""
    from daskals.model.list_order import Scoring
    from daskals.model.ordered import OLD_MODEL

    if asked is None and scoring == Scoring() and model.is_older_than_orders:
        say(OLD_MODEL, err=True)
        return "rating"
    return model.list_order(asked, scoring)


def _filters(options: dict[str, Any]) -> Filters:
    from daskals.model.filters import Filters

    return Filters(
        options["min_ratings"],
        tuple(name.strip() for name in options["genres"].split(",") if name.strip()),
        _years(options["years"]),
        options["allow"] or None,
        options["deny"],
    )


def _years(text: str) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    first, dash, last = text.partition("-")
    if not all(part == "" or part.isdecimal() for part in (first, last)):
        raise ConfigError(
            f"found {text!r}", where="--years", expected="FROM-TO, as 1990-1999, 1990- or -1999"
        )
    low = int(first) if first else None
    return low, (int(last) if last else None) if dash else low


def _for_one(
    model: Model,
    ratings: tuple[tuple[str, ...], Path | None],
    scoring: Scoring,
    filters: Filters,
    options: dict[str, Any],
) -> None:
    from daskals.model.new_users import popular_by_genre
    from jobs._item_tables import print_items, records
    from jobs._json_file import write_json

    person, taken = _placed(model, *ratings)
    for title, rating in taken:
        say(f"rated {rating:g}: {on_terminal(title)}")
    if person.is_empty:
        said = "most rated" if model.predicts_ratings else "most chosen"
        say(f"no ratings were given: these are the {said} titles of each genre")
        table = popular_by_genre(model, filters=filters)
    else:
        table = model.recommend(
            person,
            options["n"],
            order=options["order"],
            alpha=scoring.alpha,
            bias_weight=scoring.bias_weight,
            filters=filters,
            diversity=options["diversity"],
            include_seen=options["leave_out"] == "none",
        )
    print_items(table, "score", model.counted_as)
    if options["json_file"] is not None:
        content = {
            "ratings": [{"title": title, "rating": rating} for title, rating in taken],
            "order": options["order"],
            "alpha": scoring.alpha,
            "bias_weight": scoring.bias_weight,
            "popular_by_genre": person.is_empty,
            "recommendations": records(table),
        }
        write_json(options["json_file"], content)
        say(f"saved {options['json_file']}")


class _Placed(NamedTuple):
    """Somebody new, and the titles that they rated, each with its rating."""

    person: Profile
    taken: list[tuple[str, float]]


def _placed(model: Model, texts: tuple[str, ...], path: Path | None) -> _Placed:
    """Fold in whose ratings are typed or in a file; say what was taken for what."""
    from daskals.model.new_users import parse_typed_ratings

    if path is not None:
        if texts:
            raise ConfigError("found together with --rate", where="--ratings", expected="one of the two")
        person = model.fold_in(path)
        rated = zip(person.rated.tolist(), person.ratings.tolist(), strict=True)
        return _Placed(person, [(model.item_name(row), rating) for row, rating in rated])
    understood = parse_typed_ratings(model, texts)
    for one in understood:
        if not one.is_exact:
            say(f"{one.asked!r} is taken for {on_terminal(one.title)}")
    keys = [(model.item_ids[one.row].as_py(), one.rating) for one in understood]
    return _Placed(model.fold_in(keys), [(one.title, one.rating) for one in understood])


def _for_many(
    model: Model, folder: Path, scoring: Scoring, filters: Filters, options: dict[str, Any]
) -> None:
    from daskals.cluster.connect import connect
    from daskals.serving.lists import ListRequest, recommend_all
    from jobs._part_progress import PartProgress
    from jobs._user_rows import user_rows

    rows = user_rows(model, options["users"], options["single"])
    request = ListRequest(
        str(folder),
        model.list_version(),
        options["n"],
        scoring,
        filters,
        order=options["order"],
        leave_out=options["leave_out"],
        titles=options["titles"],
        diversity=options["diversity"],
        as_of=options["as_of"],
    )
    existing: Existing = "replace" if options["overwrite"] else "refuse"
    only_shown = options["out"] is None and bool(options["single"])
    with _folder_of_lists(options["out"], only_shown=only_shown) as out:
        with connect(options["cluster"]) as cluster, PartProgress("users") as progress:
            lines = recommend_all(
                cluster, request, out, rows=rows, existing=existing, progress=progress, model=model
            )
        if options["single"]:
            _print_lists(model, out)
        users = "user" if progress.total == 1 else "users"
        say(f"{lines:,} recommendations for {progress.total:,} {users} in {progress.seconds:.1f} s")
        if not only_shown:
            say(f"saved {out}")


@contextmanager
def _folder_of_lists(out: Path | None, *, only_shown: bool) -> Iterator[Path]:
    """Yield where lists go: a folder that is gone afterwards where they are asked for to be read here."""
    if not only_shown:
        yield out or OUT
        return
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        yield Path(folder) / "lists"


def _print_lists(model: Model, folder: Path) -> None:
    """Print the lists of the users that were named one by one."""
    import numpy as np
    import pyarrow.parquet as pq

    from daskals.model.tables import as_output, item_table
    from jobs._item_tables import print_items

    written = pq.read_table(folder).to_pandas()
    for user, own in written.groupby("user", sort=False):
        say(f"user {on_terminal(user)}:")
        table = item_table(
            model.rows_of("item", own["item"].tolist()),
            "score",
            own["score"].to_numpy(np.float32),
            item_ids=model.item_ids,
            counts=model.item_counts,
            catalogue=model.catalogue,
            beside={name: own[name].to_numpy(np.float32) for name in ("stars",) if name in own.columns},
        )
        print_items(as_output(table, "pandas"), "score", model.counted_as)


if __name__ == "__main__":
    main()
