"""`python -m jobs.simulate nightly|anomalies`: a month of nights; anomalies put in and looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ModelConfig
from daskals.errors import ConfigError, OutputError
from daskals.retrain.config import RetrainConfig
from jobs._command import field_options, given, one_source, shared_options
from jobs._signals import Group
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.retrain.simulate import Night

SET_HERE = {"as_of", "data", "home", "registry", "dashboard_address"}


@click.group(cls=Group)
def main() -> None:
    """Simulate how the system is used."""


@main.command()
@click.option("--data", type=click.Path(path_type=Path), help="Ratings with timestamps.")
@click.option("--dataset", help="Name of a data set instead.")
@click.option("--nights", default=30, show_default=True, type=click.IntRange(2), help="Slices by time.")
@click.option(
    "--first",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Night to begin with; it takes in the slices before it too.",
)
@click.option("--last", type=click.IntRange(1), help="Night to end with; default: the last.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@field_options(RetrainConfig, [name for name in RetrainConfig.model_fields if name not in SET_HERE])
@shared_options()
def nightly(
    data: Path | None,
    dataset: str | None,
    nights: int,
    first: int,
    last: int | None,
    out: Path,
    **options: Any,
) -> None:
    """Cut ratings into slices by time, run the nightly retrain on each, and compare with training anew.

    OUT/nights.json has date, exit code, version, champion and figures of every night, OUT/nights.md the
    table, OUT/nights.png the figure.
    """
    source = one_source(data, dataset)
    last = nights if last is None else last
    if not first <= last <= nights:
        raise ConfigError(
            f"nights {first} to {last}",
            where="--first, --last",
            expected=f"nights from 1 to {nights}, in order",
        )
    if out.exists() and any(out.iterdir()):
        raise OutputError(
            "already holds something",
            where=f"--out {out}",
            expected="a folder that is not there yet, or is empty",
            remedy="Choose another",
        )
    from daskals.retrain.simulate import Month, simulate_nights
    from jobs._json_file import write_json

    month = Month(nights, first, last)
    result = simulate_nights(source, month, out, given(options), lambda night: say(_line(night)))
    write_json(out / "nights.json", result)
    (out / "nights.md").write_text(_table(result), encoding="utf-8")
    say(_summary(result))
    if "ratio" in result:
        _plot(result, out / "nights.png")
    say(f"saved {out}")


def _plot(result: dict[str, Any], path: Path) -> None:
    try:
        from daskals.plots.nights import plot_nights
    except ImportError:
        say("no figure: it needs pip install 'daskals[plots]'", err=True)
    else:
        plot_nights(result, path)


@main.command()
@click.option("--data", type=click.Path(path_type=Path), help="Ratings: a folder, a file or a store.")
@click.option("--dataset", help="Ratings by name: synthetic-1m, ml-latest-small …")
@click.option(
    "--injections", default=20, show_default=True, type=click.IntRange(1), help="Groups of each kind."
)
@click.option("--share", default=0.01, show_default=True, type=float, help="Size of a group, of the users.")
@click.option(
    "--repeats", default=5, show_default=True, type=click.IntRange(1), help="Merged and drifting sets."
)
@click.option("--draws", default=10, show_default=True, type=click.IntRange(0), help="Draws from the model.")
@click.option("--study-seed", default=0, show_default=True, help="Seed of what is injected and drawn.")
@field_options(ModelConfig)
@shared_options(json_file="File for all figures.")
def anomalies(
    data: Path | None,
    dataset: str | None,
    json_file: Path | None,
    injections: int,
    share: float,
    repeats: int,
    draws: int,
    study_seed: int,
    **options: Any,
) -> None:
    """Put anomalies into ratings, train, look for them, and print how well they are found.

    Shilling of four kinds, merged accounts and drifting items, each beside simple measures; and how often
    something is found in ratings drawn from the fitted model, where there is nothing.
    """
    source = one_source(data, dataset)
    if not 0.0 < share < 1.0:
        raise ConfigError(f"found {share:g}", where="--share", expected="a share between 0 and 1")
    from daskals.analysis.anomalies.study import Plan, study_anomalies
    from daskals.config import TrainConfig
    from daskals.ingest import resolve_store
    from jobs._anomaly_table import print_study
    from jobs._json_file import write_json

    config = TrainConfig.parse(given(options))
    store = resolve_store(source)
    plan = Plan(injections, share, repeats, draws, study_seed)
    result = study_anomalies(store, config, plan, lambda line: say(line, err=True))
    print_study(result)
    if json_file is not None:
        write_json(json_file, {"data": str(source), "config": config.as_report(), **result})
        say(f"saved {json_file}")


def _line(night: Night) -> str:
    parts = [f"night {night.night:>2}", night.date, f"code {night.code:>2}", f"{night.n_ratings:,} ratings"]
    if night.champion_rmse is not None and night.cold_rmse is not None:
        parts.append(f"champion {night.champion_rmse:.4f}, trained anew {night.cold_rmse:.4f}")
    parts.append(f"epochs {night.warm_epochs}/{night.cold_epochs}")
    parts.append(f"seconds {night.warm_seconds:.2f}/{night.cold_seconds:.2f}")
    return "  ".join([*parts, night.summary])


def _summary(result: dict[str, Any]) -> str:
    if "ratio" not in result:
        return "no night had both a champion and a following slice: nothing is compared"
    return (
        f"pooled over {result['n_following']:,} following ratings: champion {result['champion_rmse']:.5f}, "
        f"trained anew {result['cold_rmse']:.5f}, ratio {result['ratio']:.5f} "
        f"(95 % {result['ratio_low']:.5f} to {result['ratio_high']:.5f}, paired bootstrap over users); "
        f"epochs {result['epochs_share']:.0%}, seconds {result['seconds_share']:.0%} of training anew"
        + _of_lists(result)
    )


def _of_lists(result: dict[str, Any]) -> str:
    if not result["n_lists"]:
        return ""
    return (
        f"; NDCG@10 of {result['n_lists']:,} lists on what followed {result['ndcg']:.4f}, "
        f"by predicted rating {result['ndcg_by_rating']:.4f}"
    )


def _table(result: dict[str, Any]) -> str:
    lines = [
        "| night | date | code | ratings | champion RMSE | trained anew | epochs | seconds |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for night in result["nights"]:
        rmse = [night["champion_rmse"], night["cold_rmse"]]
        shown = ["" if value is None else f"{value:.4f}" for value in rmse]
        lines.append(
            f"| {night['night']} | {night['date'][:10]} | {night['code']} | {night['n_ratings']:,} "
            f"| {shown[0]} | {shown[1]} | {night['warm_epochs']}/{night['cold_epochs']} "
            f"| {night['warm_seconds']:.2f}/{night['cold_seconds']:.2f} |"
        )
    return "\n".join([*lines, "", _summary(result), ""])


if __name__ == "__main__":
    main()
