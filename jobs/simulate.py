"""`python -m jobs.simulate nightly --data DIR --nights 30 --out DIR`: a month of the nightly job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.errors import OutputError
from daskals.retrain.config import RetrainConfig
from jobs._command import field_options, given, guarded

if TYPE_CHECKING:
    from daskals.retrain.simulate import Night

SET_HERE = {"as_of", "data", "home", "registry", "dashboard_address"}


@click.group()
def main() -> None:
    """Simulate how the system is used."""


@main.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Ratings with timestamps.")
@click.option("--nights", default=30, show_default=True, type=click.IntRange(2), help="Slices by time.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@field_options(RetrainConfig, [name for name in RetrainConfig.model_fields if name not in SET_HERE])
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@guarded
def nightly(data: Path, nights: int, out: Path, *, debug: bool, **options: Any) -> None:  # noqa: ARG001
    """Cut ratings into slices by time, run the nightly retrain on each, and compare with training anew.

    OUT/nights.json has date, exit code, version, champion and figures of every night, OUT/nights.md the
    table, OUT/nights.png the figure.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError(
            "already holds something",
            where=f"--out {out}",
            expected="a folder that is not there yet, or is empty",
            remedy="Choose another",
        )
    from daskals.retrain.simulate import simulate_nights
    from jobs._files import write_json

    result = simulate_nights(data, nights, out, given(options), lambda night: click.echo(_line(night)))
    write_json(out / "nights.json", result)
    (out / "nights.md").write_text(_table(result), encoding="utf-8")
    click.echo(_summary(result))
    try:
        from daskals.plots.nights import plot_nights
    except ImportError:
        click.echo("no figure: it needs pip install 'daskals[plots]'", err=True)
    else:
        plot_nights(result, out / "nights.png")
    click.echo(f"saved {out}")


def _line(night: Night) -> str:
    parts = [f"night {night.night:>2}", night.date, f"code {night.code:>2}", f"{night.n_ratings:,} ratings"]
    if night.champion_rmse is not None and night.cold_rmse is not None:
        parts.append(f"champion {night.champion_rmse:.4f}, trained anew {night.cold_rmse:.4f}")
    parts.append(f"epochs {night.warm_epochs}/{night.cold_epochs}")
    parts.append(f"seconds {night.warm_seconds:.2f}/{night.cold_seconds:.2f}")
    return "  ".join([*parts, night.summary])


def _summary(result: dict[str, Any]) -> str:
    return (
        f"pooled over {result['n_following']:,} following ratings: champion {result['champion_rmse']:.5f}, "
        f"trained anew {result['cold_rmse']:.5f}, ratio {result['ratio']:.5f} "
        f"(95 % {result['ratio_low']:.5f} to {result['ratio_high']:.5f}, paired bootstrap over users); "
        f"epochs {result['epochs_share']:.0%}, seconds {result['seconds_share']:.0%} of training anew"
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
