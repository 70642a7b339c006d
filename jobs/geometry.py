"""`python -m jobs.geometry MODEL`: the map of a model's items, and what their places mean."""

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
    help="Folder of the report; default: MODEL/geometry, none for a registry.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="TITLE",
    help="Title or id to name on the map; may be repeated.",
)
@click.option(
    "--min-ratings",
    type=click.IntRange(min=1),
    help="Ratings an item needs to be ranked by polarity.  [default: 1000, fewer on small data]",
)
@click.option(
    "--over-time", is_flag=True, help="Also draw how genres and titles move, of a model with --time-bins."
)
@click.option("--overwrite", is_flag=True, help="Replace the geometry that --out already holds.")
@shared_options()
def main(
    model: str,
    out: Path | None,
    labels: tuple[str, ...],
    min_ratings: int | None,
    *,
    over_time: bool,
    overwrite: bool,
) -> None:
    """Map the items of MODEL: genres, neighbours, polarity and densities."""
    from daskals.plots.requirements import require

    require("matplotlib", "plots")
    from daskals.analysis.geometry import describe_geometry
    from daskals.analysis.missing import is_missing
    from daskals.plots.geometry import write_geometry
    from daskals.plots.movement import spread_line
    from daskals.registry.open_model import open_model
    from jobs._result_folder import report_folder, result_folder

    target = report_folder(model, out, "geometry")
    with open_model(model) as found, result_folder(target, "geometry.json", overwrite=overwrite) as folder:
        numbers = describe_geometry(found.model, labels, min_ratings, over_time=over_time)
        write_geometry(numbers, folder, found.name)
    near = numbers["neighbours"]
    if is_missing(near):
        say(f"genre agreement of neighbours: {near['missing']}")
    else:
        like, like_p = near["chance_like_popularity"], near["p_value_like_popularity"]
        say(
            f"{near['neighbours']} nearest items share a genre in {100 * near['agreement']:.1f} % of pairs, "
            f"{100 * near['chance']:.1f} % by chance (p = {near['p_value']:.3f}); "
            f"among items of like popularity {100 * like:.1f} % (p = {like_p:.3f})"
        )
    if over_time:
        say(spread_line(numbers["movement"]))
    say(f"saved {target / 'report.html'}")


if __name__ == "__main__":
    main()
