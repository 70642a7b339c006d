"""`python -m jobs.tune`: choose hyperparameters on validation alone, by grid, sweep or Optuna."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import JobConfig, TrainConfig
from daskals.errors import ConfigError
from jobs._command import field_options, given, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daskals.cluster.workers import Cluster
    from daskals.experiments.search_space import Grid

VALIDATION_FRACTION = 0.1
PATIENCE = 3
BEST = "best.json"
_OWN = ("preset", "grid", "sweep", "search", "trials", "refine", "metric")
_HIDDEN = {
    "resume",
    "overwrite",
    "checkpoint_every",
    "monitor_test",
    "keep_ratings",
    "quiet",
    "log_level",
    "out",
}
_OPTIONS = [name for name in JobConfig.model_fields if name not in _HIDDEN]


@click.command(cls=Command)
@field_options(JobConfig, _OPTIONS)
@click.option("--preset", type=click.Choice(["nagi", "salako"]), help="The grid of one of the papers.")
@click.option("--grid", multiple=True, metavar="NAME=V,V", help="Values of an option; several make a grid.")
@click.option("--sweep", metavar="NAME=V,V", help="One option alone, such as rank=0,2,5,10,20,40,80.")
@click.option(
    "--search", multiple=True, metavar="NAME=LOW:HIGH", help="A range for Optuna; default: the ridges."
)
@click.option("--trials", default=40, show_default=True, help="Trials of Optuna's search.")
@click.option("--metric", metavar="rmse|ndcg@K|recall@K",
              help="What the validation part is asked for, by trials and by --patience; default: rmse, and "
              "ndcg@10 of --model ials, of which everything observed is relevant.")  # fmt: skip
@click.option("--refine", is_flag=True, help="Then try a finer grid around the best point.")
@click.option("--plots", is_flag=True, help="Draw the heatmap and the K curve (extra [plots]).")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/tune"), show_default=True,
              help="Folder of the search; named again, it continues.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print nothing but errors and the best point.")
@shared_options(config=True)
def main(file_options: dict[str, Any], out: Path, **options: Any) -> None:
    """Search for the hyperparameters that predict a validation part of the training ratings best.

    With --metric, that rank it best: lists by the model's score against its relevant items. The test part is
    never looked at. `trials.parquet` and `trials.csv` list every trial; `best.json` trains the best one on
    all of train: daskals train --config OUT/best.json.
    """
    own = {name: options.pop(name) for name in _OWN}
    plots, quiet = options.pop("plots"), options.pop("quiet")
    asked = {**file_options, **given(options)}
    if asked.get("model") == "bayes":
        raise ConfigError(
            "a Gibbs sampler learns its own ridges",
            where="--model",
            expected="auto, als, hierarchical, bias or ials",
        )
    asked = {"patience": PATIENCE, "validation_fraction": VALIDATION_FRACTION, **asked}
    implicit = asked.get("model") == "ials"
    if implicit and plots:
        raise ConfigError(
            "found --plots with --model=ials", where="tune", expected="none: they are of the validation RMSE"
        )
    # its trainings have no error to wait for; its trials have what --metric says
    own["patience"] = int(asked.pop("patience")) if implicit else None
    job = JobConfig.parse(asked)
    chosen = job.model_dump(by_alias=True, exclude_unset=True, include=set(TrainConfig.model_fields))
    base = TrainConfig.parse(chosen)
    grid = _grid_of(own)
    from daskals.cluster.connect import connect
    from daskals.experiments.metric import parse_metric
    from daskals.experiments.tuning import write_tables
    from daskals.ingest import job_store

    own["metric"] = parse_metric(own["metric"] or ("ndcg@10" if implicit else "rmse"))

    store = job_store(job, "synthetic-1m")
    out.mkdir(parents=True, exist_ok=True)
    with connect(job) as cluster:
        records, best = _search(cluster, store, base, out, grid, own, quiet=quiet)
    write_tables(records, out)
    if plots:
        _draw(out)
    _report(best, job, out)


def _grid_of(own: Mapping[str, Any]) -> Grid | None:
    from daskals.experiments.search_space import PRESETS, parse_grid

    asked = [name for name in ("preset", "grid", "sweep", "search") if own[name]]
    if len(asked) > 1:
        raise ConfigError(
            f"found {' and '.join(f'--{name}' for name in asked)}", where="tune", expected="one of them"
        )
    if own["preset"]:
        return PRESETS[own["preset"]]
    texts = [*own["grid"], *([own["sweep"]] if own["sweep"] else [])]
    return parse_grid(texts) if texts else None


def _search(
    cluster: Cluster,
    store: Any,
    base: TrainConfig,
    out: Path,
    grid: Grid | None,
    own: Mapping[str, Any],
    *,
    quiet: bool,
) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    from daskals.experiments.search_space import DEFAULT_AXES, IMPLICIT_AXES, TIMES_AXES, parse_axes
    from daskals.experiments.tuning import Search, best_config, best_of

    def tell(record: Mapping[str, Any]) -> None:
        if not quiet:
            say(_line(record))

    metric = own["metric"]
    search = Search(cluster, store, base, out, tell, metric, own["patience"])
    if grid is None:
        usual = IMPLICIT_AXES if base.model == "ials" else DEFAULT_AXES
        usual += TIMES_AXES if base.time_bins != "none" else ()
        axes = parse_axes(own["search"]) or usual
        records = search.run_optuna(axes, own["trials"], base.seed)
        best = best_of(records, metric)
    else:
        records = search.run_grid(grid)
        best = best_of(records, metric)
        for edge in grid.edges(best["point"]):
            say(f"on the grid's edge: {edge}; the best may lie beyond")
        if own["refine"]:
            finer = grid.refined(best["point"])
            records = [*records, *search.run_grid(finer)]
            best = best_of(records, metric)
    (out / BEST).write_text(json.dumps(best_config(base, best), indent=2) + "\n", encoding="utf-8")
    return records, best


def _line(record: Mapping[str, Any]) -> str:
    point = "  ".join(f"{name} {value:.4g}" for name, value in record["point"].items())
    if record["failed"]:
        return f"{point}: {record['failed']}"
    order = [name for name in record if name.startswith("validation_") and name != "validation_rmse"]
    ranked = "".join(f"validation {_title(name)} {record[name]:.4f}, " for name in order)
    ten = f"P@10 {record['precision_at_10']:.4f}, R@10 {record['recall_at_10']:.4f}"
    if record["validation_rmse"] is None:  # of implicit feedback
        return f"{point}: {ranked.removesuffix(', ')} after {record['epochs']} epochs, {ten}"
    return (
        f"{point}: {ranked}validation RMSE {record['validation_rmse']:.5f} after {record['epochs']} epochs, "
        f"train {record['train_rmse']:.5f}, {ten}"
    )


def _title(key: str) -> str:
    figure, k = key.removeprefix("validation_").split("_at_")
    return f"{'NDCG' if figure == 'ndcg' else 'recall'}@{k}"


def _report(best: Mapping[str, Any], job: JobConfig, out: Path) -> None:
    named = {"--data": job.data, "--dataset": job.dataset, "--store-url": job.store_url}
    ratings = "".join(f" {flag} {value}" for flag, value in named.items() if value is not None)
    command = f"daskals train{ratings} --config {out / BEST}"
    say(f"best: {_line(best)}\nsaved {out}\ntrain it with: {command}")


def _draw(out: Path) -> None:
    from daskals.analysis.missing import is_missing
    from daskals.analysis.search import grid_facets, rank_curve, read_trials
    from daskals.plots.style import save
    from daskals.plots.training import draw_grid, draw_rank_curve

    trials = read_trials(out / "trials.parquet")
    for name, numbers, draw in (
        ("grid", grid_facets(trials), draw_grid),
        ("rank", rank_curve(trials), draw_rank_curve),
    ):
        if not is_missing(numbers):
            save(draw(numbers), out, name)


if __name__ == "__main__":
    main()
