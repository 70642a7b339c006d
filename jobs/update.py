"""`python -m jobs.update MODEL RATINGS`: new and changed ratings taken into a model without a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ReadConfig
from daskals.errors import ConfigError
from jobs._command import field_options, given, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.model.fitted import Model


@click.command(cls=Command)
@model_argument
@click.argument("ratings", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new model.")
@click.option("--overwrite", is_flag=True, help="Replace the folder that is there.")
@click.option("--alias", "aliases", multiple=True, metavar="champion|challenger",
              help="Of a registry: the alias of the new version; may be repeated.")  # fmt: skip
@field_options(ReadConfig, ["columns", "no_header", "duplicates", "invalid", "leave_out_ratings"])
@shared_options()
def main(
    model: str,
    ratings: Path,
    out: Path | None,
    aliases: tuple[str, ...],
    *,
    overwrite: bool,
    **options: Any,
) -> None:
    """Take RATINGS into MODEL: people and items that they touch, new ones too, are solved anew.

    The new model is written to --out, or published as a version of the registry that MODEL is, with its
    parent. Everybody else keeps their row; train anew, or run the nightly job, to learn from all ratings.
    """
    from daskals.registry.open_model import is_registry, open_model
    from daskals.registry.registry import Registry
    from daskals.registry.run_versions import publish_update

    reading = ReadConfig.parse(given(options))
    if out is None and not is_registry(model):
        raise ConfigError("found none", where="--out", expected="a folder, where MODEL is no registry")
    if out is not None and aliases:
        raise ConfigError("found together with --out", where="--alias", expected="one of the two")
    with open_model(model) as found:
        newer = found.model.update(ratings, config=reading)
        _tell(newer)
        if out is not None:
            newer.save(out, existing="replace" if overwrite else "refuse")
            say(f"saved {out}")
            return
        manifest = publish_update(Registry(model), newer, parent=found.name, aliases=aliases)
    say(f"published {manifest.id}, of {manifest.parent}")


def _tell(model: Model) -> None:
    done = model.report["updates"][-1]
    say(
        f"{done['ratings']:,} ratings: {done['users']:,} users ({done['new_users']:,} new) and "
        f"{done['items']:,} items ({done['new_items']:,} new) were solved"
    )
    if done.get("unknown_dates"):
        assert model.times is not None
        unit = model.times.timing.unit
        say(
            f"{done['ratings_of_unknown_dates']:,} ratings are of {done['unknown_dates']:,} {unit}s that the "
            "model was not trained on: they count as ratings of any date"
        )


if __name__ == "__main__":
    main()
