"""The one table that a benchmark prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from jobs._ranking_table import print_ranking
from jobs._terminal import cell, make_console, say

if TYPE_CHECKING:
    from rich.console import Console

    from daskals.bench.defaults import Regret
    from daskals.bench.epoch import Result

PLAIN_WIDTH = 150
"""Columns where the output is no terminal."""

COLUMNS = (
    ("s", "seconds"),
    ("CPU s", "cpu_seconds"),
    ("× reference", "times_as_fast"),
    ("× before", "times_before"),
    ("efficiency", "efficiency"),
    ("M ratings/s", "ratings_per_second"),
    ("M pairs/s", "pairs_per_second"),
    ("GFLOP/s", "gflops"),
    ("of peak", "share_of_peak"),
    ("GB moved", "bytes_moved"),
    ("peak MB", "peak_memory_bytes"),
    ("test RMSE", "test_rmse"),
)
"""Heading and key of the figures; a column without any figure is left out."""


def print_report(report: dict[str, Any]) -> None:
    """Print machine, data, a table of results, and what must be known to read it."""
    console = make_console(plain_width=PLAIN_WIDTH)
    _print_head(console, report)
    results = report["results"]
    console.print(results_table(results))
    for result in results:
        known = [part for part in (result["threads"], result["note"]) if part]
        if known:
            console.print(cell(f"{result['name']}: {'; '.join(known)}"), style="dim")


def _print_head(console: Console, report: dict[str, Any]) -> None:
    machine, data = report["machine"], report["data"]
    console.print(
        f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores, {machine['target']}, measured"
        f" peak {machine['peak_gflops']:.0f} GFLOP/s, {machine['memory_bytes'] / 2**30:.0f} GiB\n"
        f"{data['source']}: {data['n_train']:,} training and {data['n_test']:,} test ratings,"
        f" {data['n_users']:,} users, {data['n_items']:,} items; K = {report['rank']},"
        f" {report['epochs']} epochs"
    )


def print_race(report: dict[str, Any]) -> None:
    """Print one line a solver: its epochs, and what it took to where the first was after all of its."""
    console = make_console(plain_width=PLAIN_WIDTH)
    _print_head(console, report)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("solver", no_wrap=True)
    for title in ("s an epoch", "CPU s", "to the goal: epochs", "s", "CPU s", "× first", "test RMSE there"):
        table.add_column(title, justify="right", no_wrap=True)
    first = report["results"][0]["reached"]
    for one in report["results"]:
        own, there = [f"{one['seconds']:.3f}", f"{one['cpu_seconds']:.3f}"], one["reached"]
        if there is None:
            table.add_row(one["name"], *own, f"not in {len(one['objectives'])}")
            continue
        error = "–" if there["test_rmse"] is None else f"{there['test_rmse']:.5f}"
        times = f"{first['seconds'] / there['seconds']:.2f}"
        took = [f"{there['epochs']}", f"{there['seconds']:.2f}", f"{there['cpu_seconds']:.2f}", times]
        table.add_row(one["name"], *own, *took, error)
    console.print(table)


def print_profile(report: dict[str, Any]) -> None:
    """Print one line a part of an epoch: its CPU seconds, and those of its arithmetic at the peak."""
    console = make_console(plain_width=PLAIN_WIDTH)
    _print_head(console, report)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("part", no_wrap=True)
    for title in ("CPU s", "of all", "useful GFLOP", "at the peak, s"):
        table.add_column(title, justify="right", no_wrap=True)
    whole = sum(part["cpu_seconds"] for part in report["results"])
    for part in report["results"]:
        work = ["–", "–"] if part["gflop"] is None else [f"{part['gflop']:.3g}", f"{part['limit']:.3f}"]
        table.add_row(part["name"], f"{part['cpu_seconds']:.3f}", f"{part['cpu_seconds'] / whole:.0%}", *work)
    console.print(table)


def print_lists(found: dict[str, Any]) -> None:
    """Print a table for each length of list, and the served lists' paired difference to the best rival."""
    print_ranking(make_console(plain_width=PLAIN_WIDTH), found)
    for k, over in found["over_best"].items():
        told = (
            f"{name} {over[key]['mean']:+.4f} ± {over[key]['half_width']:.4f}"
            for name, key in (("NDCG", "ndcg"), ("recall", "recall"))
        )
        say(f"served − {found['best']} at K = {k}: {', '.join(told)} (95 % over users)")


def results_table(results: Sequence[Result]) -> Table:
    """Lay results out as a table; a system without figures shows its status instead."""
    shown = [(title, key) for title, key in COLUMNS if any(one.get(key) is not None for one in results)]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("system", no_wrap=True)
    for title, _ in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        if result["seconds"] is None:
            table.add_row(result["name"], cell(result["status"]))
        else:
            table.add_row(result["name"], *[_figure(result, key) for _, key in shown])
    return table


def _figure(result: Result, key: str) -> str:
    value = result.get(key)
    if value is None:
        return "–"
    if key in ("seconds", "cpu_seconds"):
        digits = 1 if value >= 100 else 3
        return f"{'~' if result['status'] == 'extrapolated' else ''}{value:,.{digits}f}"
    scaled = {
        "times_as_fast": f"{value:.3g}",
        "times_before": f"{value:.3g}",
        "efficiency": f"{value:.2f}",
        "ratings_per_second": f"{value / 1e6:,.3g}",
        "pairs_per_second": f"{value / 1e6:,.0f}",
        "gflops": f"{value:.3g}",
        "share_of_peak": f"{value:.1%}",
        "bytes_moved": f"{value / 1e9:.3g}",
        "peak_memory_bytes": f"{value / 1e6:,.0f}",
        "test_rmse": f"{value:.5f}",
    }
    return scaled[key]


def print_regrets(regrets: Sequence[Regret]) -> None:
    """Print one line a set: the default's test RMSE, those of all alternatives, and the regret."""
    models = list(dict.fromkeys(model for one in regrets for model in one.alternatives))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("set", no_wrap=True)
    for title in ("ratings", "default", "chose", *(f"{model}, tuned" for model in models), "regret", "s"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in regrets:
        figures = [one.alternatives.get(model) for model in models]
        table.add_row(
            cell(one.name),
            f"{one.n_ratings:,}",
            f"{one.default:.5g}",
            one.chosen,
            *("–" if figure is None else f"{figure:.5g}" for figure in figures),
            f"{100 * one.regret:+.2f} %",
            f"{one.seconds:.0f}",
        )
    make_console(plain_width=PLAIN_WIDTH).print(table)
