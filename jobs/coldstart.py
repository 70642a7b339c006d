"""`python -m jobs.coldstart`: compare ways to place items that nobody has rated, on whole held-out items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskals.config import ClusterConfig, ModelConfig, TrainConfig
from daskals.errors import ConfigError
from jobs._command import field_options, given, one_source, shared_options
from jobs._signals import Command
from jobs._terminal import say


@click.command(cls=Command)
@click.option("--data", type=click.Path(path_type=Path), help="Ratings: a folder, a file or a store.")
@click.option("--dataset", help="Ratings by name.")
@click.option("--seeds", type=int, default=5, show_default=True, help="Number of sets of held-out items.")
@click.option("--share", type=float, default=0.2, show_default=True, help="Share of the items held out.")
@field_options(ModelConfig)
@shared_options(json_file="Write the figures to a file too.")
def main(
    data: Path | None, dataset: str | None, seeds: int, share: float, json_file: Path | None, **options: Any
) -> None:
    """Hold whole items out, place them by genres, by like items or as average, and print the RMSE of each."""
    source = one_source(data, dataset)
    if seeds < 1 or not 0 < share < 1:
        raise ConfigError(
            f"found {seeds} seeds and a share of {share}", expected="a seed and a share below 1"
        )
    config = TrainConfig.parse(given(options))
    from daskals.cluster.connect import connect
    from daskals.experiments.cold_start import cold_start_study
    from daskals.ingest import resolve_store
    from jobs._json_file import write_json

    store = resolve_store(source)
    with connect(ClusterConfig(dashboard_address=None)) as cluster:
        figures = cold_start_study(store, config, range(1, seeds + 1), share=share, client=cluster.client)
    for method, mean in sorted(figures["mean"].items(), key=lambda pair: pair[1]):
        say(f"{method:8} RMSE {mean:.4f} ± {figures['deviation'][method]:.4f}")
    if json_file is not None:
        write_json(json_file, figures)
        say(f"saved {json_file}")


if __name__ == "__main__":
    main()
