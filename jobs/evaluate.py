"""`python -m jobs.evaluate MODEL`: the error figures of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ReadConfig
from daskals.errors import ConfigError
from jobs._command import field_options, given, list_lengths, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import make_console, say

if TYPE_CHECKING:
    from daskals.evaluation.ranking_scores import Lists
    from daskals.model.fitted import Model


@click.command(cls=Command)
@model_argument
@click.option(
    "--data", help="Ratings to compare with; default: those the model was trained on, by its split."
)
@field_options(ReadConfig)
@click.option("--buckets", is_flag=True, help="Also by training ratings of user and item: 0, 1-2 … 30+.")
@click.option("--ranking", is_flag=True, help="Also precision, recall and their kin at K, beside baselines.")
@click.option("--k", default="10", show_default=True, metavar="N[,N…]", help="Lengths of lists in --ranking.")
@click.option(
    "--relevant",
    type=float,
    help="Lowest rating that is relevant; default: what 3.5 is on half stars, of clicks and plays every one.",
)
@click.option("--users", default=3000, show_default=True, help="Most test users that --ranking scores.")
@click.option("--skip-neighbours", is_flag=True, help="Leave item-kNN and EASE out, slow with many items.")
@click.option("--ranking-seed", default=42, show_default=True, help="Seed of their sample.")
@click.option("--similar", is_flag=True, help="Also whether the neighbours of one thing liked are liked.")
@shared_options(json_file="Also write the figures to a file.")
def main(
    model: str,
    data: str | None,
    json_file: Path | None,
    *,
    buckets: bool,
    ranking: bool,
    similar: bool,
    k: str,
    relevant: float | None,
    users: int,
    ranking_seed: int,
    skip_neighbours: bool,
    **options: Any,
) -> None:
    """Compare MODEL with ratings that are known.

    On the ratings it was trained on, the figures are those of the run's report, split and all. On other
    ratings all of them count as test ratings, matched by original ids.

    --ranking lists each test user's K best items among all but those of their training ratings (paper 2):
    by predicted rating, by the papers' blends, by affinity, and by baselines: popularity, most liked, biases,
    item neighbourhoods and EASE. It prints a table for each K, the best first.

    --similar knows each of up to 500 test users by one liked training item at a time, and looks for their
    held-out likings among its ten neighbours: as listed, and by taste alone.
    """
    config, lengths = ReadConfig.parse(given(options)), list_lengths(k)
    from daskals.evaluation.prediction_error import evaluate
    from daskals.evaluation.ranking_scores import Lists
    from daskals.registry.open_model import load_model
    from jobs._json_file import write_json
    from jobs._ranking_table import PLAIN_WIDTH, print_buckets, print_errors, print_ranking, print_similar

    loaded = load_model(model)
    if not loaded.predicts_ratings and (buckets or not (ranking or similar)):
        raise ConfigError(
            "found a model of clicks, which have no rating to be wrong about",
            where="--buckets" if buckets else "MODEL",
            expected="--ranking or --similar, which tell how good its lists are",
        )
    figures = evaluate(loaded, data, config)
    if buckets or ranking or similar:
        lists = Lists(lengths, users, ranking_seed, relevant, not skip_neighbours)
        figures |= _judge(loaded, data, config, lists, buckets=buckets, ranking=ranking, similar=similar)
    if json_file is not None:
        write_json(json_file, figures)
    console = make_console(plain_width=PLAIN_WIDTH)
    print_errors(console, figures)
    if buckets:
        print_buckets(console, figures["by_training_ratings"])
    if ranking:
        print_ranking(console, figures["ranking"])
    if similar:
        print_similar(console, figures["similar"])


def _judge(
    model: Model,
    data: str | None,
    config: ReadConfig,
    lists: Lists,
    *,
    buckets: bool,
    ranking: bool,
    similar: bool,
) -> dict[str, Any]:
    from daskals.cluster.connect import connect
    from daskals.config import ClusterConfig
    from daskals.evaluation.error_by_count import error_by_count
    from daskals.evaluation.similar_lists import judge_similar
    from daskals.fitting.evaluate import evaluate_ranking, own_ratings

    found: dict[str, Any] = {}
    with own_ratings(model, data, config) as (store, split):
        if buckets:
            found["by_training_ratings"] = error_by_count(model, store, split)
        if similar:
            found["similar"] = judge_similar(model, store, split, lists.relevant)
        if ranking:
            with connect(ClusterConfig(dashboard_address=None)) as cluster:
                found["ranking"] = evaluate_ranking(model, store, cluster, lists=lists, tell=say)
    return found


if __name__ == "__main__":
    main()
