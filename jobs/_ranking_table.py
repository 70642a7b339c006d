"""The tables that an evaluation prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from jobs._terminal import cell

PLAIN_WIDTH = 150
"""Columns where the output is no terminal."""

FIGURES = (
    ("NDCG", "ndcg", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("recall/min", "recall_capped", "{:.3f}"),
    ("precision", "precision", "{:.3f}"),
    ("MAP", "map", "{:.3f}"),
    ("MRR", "mrr", "{:.3f}"),
    ("hit rate", "hit_rate", "{:.3f}"),
    ("coverage", "coverage", "{:.1%}"),
    ("Gini", "gini", "{:.3f}"),
    ("novelty", "novelty", "{:.2f}"),
    ("distance", "distance", "{:.3f}"),
)
"""Heading, key and form of the figures."""

NOTES = (
    "recall is over all relevant items, recall/min over min(K, relevant); distance is the mean of 1 − cosine "
    "in a list, by genres, or by factors without genres"
)

ERRORS = (
    ("train RMSE", "train_rmse"),
    ("validation RMSE", "validation_rmse"),
    ("test RMSE", "test_rmse"),
    ("clipped", "test_rmse_clipped"),
    ("MAE", "test_mae"),
)


def print_errors(console: Console, figures: Mapping[str, Any]) -> None:
    """Print the error figures on one line, and whom the model does not know."""
    parts = [f"{name} {figures[key]:.5f}" for name, key in ERRORS if figures.get(key) is not None]
    parts.append(f"{figures['n_test']:,} test ratings")
    for name, key in (("users", "n_unknown_user"), ("items", "n_unknown_item")):
        if figures.get(key):
            parts.append(f"{figures[key]:,} of unknown {name}")
    console.print("  ".join(parts))


def print_buckets(console: Console, by_count: Mapping[str, Any]) -> None:
    """Print the test error by training ratings of user and of item."""
    table = Table(box=box.SIMPLE_HEAD, title="test RMSE by training ratings", title_justify="left")
    for title in ("training ratings", "of the user", "n", "of the item", "n"):
        table.add_column(title, justify="right")
    for name in by_count["user"]:
        cells = []
        for side in ("user", "item"):
            bucket = by_count[side][name]
            cells += ["–" if bucket["rmse"] is None else f"{bucket['rmse']:.4f}", f"{bucket['n']:,}"]
        table.add_row(name, *cells)
    console.print(table)


def print_similar(console: Console, similar: Mapping[str, Any]) -> None:
    """Print how often neighbours of one thing liked are liked too."""
    console.print(
        f"{similar['users']:,} users, each known by one liked item at a time; lists are of its "
        f"{similar['k']} neighbours; relevant is {similar['relevant_from']:.4g} and more"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("neighbours")
    for title in ("NDCG", "recall"):
        table.add_column(title, justify="right")
    for name, figures in similar["scores"].items():
        table.add_row(name, f"{figures['ndcg']:.4f}", f"{figures['recall']:.4f}")
    console.print(table)


def print_ranking(console: Console, ranking: Mapping[str, Any]) -> None:
    """Print a table for each length of list, the best order first."""
    console.print(
        f"{ranking['users']:,} users, {ranking['users_with_relevant']:,} with a relevant item; relevant is "
        f"{ranking['relevant_from']:.4g} and more; candidates are {ranking['candidates']}"
    )
    for k in map(str, ranking["k"]):
        console.print(ranking_table(ranking["scores"], k))
    console.print(NOTES, style="dim")


def ranking_table(scores: Mapping[str, Mapping[str, Any]], k: str) -> Table:
    """Lay the figures at one length out, by NDCG."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(f"order at K = {k}", no_wrap=True)
    for title, _, _ in FIGURES:
        table.add_column(title, justify="right", no_wrap=True)
    for name in sorted(scores, key=lambda one: -float(scores[one][k]["ndcg"])):
        own = scores[name][k]
        table.add_row(
            cell(name), *["–" if own[key] is None else form.format(own[key]) for _, key, form in FIGURES]
        )
    return table
