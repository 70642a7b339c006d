"""Figures and page of the exploration, drawn from its JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from daskals.analysis.missing import Numbers, is_missing
from daskals.analysis.powerlaw import power_law_counts
from daskals.plots.dates import deviations_caption, draw_deviations
from daskals.plots.report_folder import Draw, ReportFolder
from daskals.plots.style import (
    BLUE,
    GREEN,
    PALE,
    RED,
    horizontal_bars,
    label_points,
    new_figure,
    plain,
    plain_decades,
    thousands,
)
from daskals.plots.wordcloud import draw_tags
from daskals.types import Float64, Int64

TOP_GENRES = 20

_TABLE = (
    ("Ratings", "n_ratings"),
    ("Users", "n_users"),
    ("Rated items", "n_rated_items"),
    ("Listed items", "n_listed_items"),
    ("Ratings per user", "ratings_per_user"),
    ("Ratings per rated item", "ratings_per_item"),
    ("Mean rating μ", "mean"),
    ("Standard deviation", "deviation"),
    ("Most frequent rating", "mode"),
    ("Lowest rating", "lowest"),
    ("Highest rating", "highest"),
    ("Sparsity, % of user × item pairs without a rating", "sparsity_percent"),
)


def write_exploration(numbers: Numbers, folder: Path, name: str) -> None:
    """Write `eda.json`, `figures/*.png` and `*.svg`, and `report.html` into a folder that is there."""
    report = ReportFolder(folder, "eda", numbers)
    table = report.section("Data set", numbers["table"], columns=("Metric", "Value"), rows=_table_rows)
    sections = [
        report.section(
            heading, numbers[key], draw, caption=caption, text=_fit_remarks if key == "degrees" else ()
        )
        for key, heading, caption, draw in FIGURES
    ]
    introduction = "Every number drawn here stands in eda.json; the figures are in the folder figures."
    report.write_page(f"Ratings of {name}", introduction, [table, *sections])


def _table_rows(table: Numbers) -> list[tuple[str, Any]]:
    return [(label, table[key]) for label, key in _TABLE]


UNCLEAR = 0.1
"""p from which a difference may be chance, as the authors of the tests have it."""


def _fit_remarks(degrees: Numbers) -> list[str]:
    return [_fit_remark(side, degrees[side]["fit"]) for side in ("users", "items")]


def _fit_remark(side: str, fit: Numbers) -> str:
    if is_missing(fit):
        return f"{side.capitalize()}: {fit['missing']}."
    verdict = "no power law" if fit["p_value"] < UNCLEAR else "a power law is not ruled out"
    better = f"{'a log-normal' if fit['lognormal_ratio'] < 0 else 'the power law'} fits better"
    if fit["lognormal_p_value"] >= UNCLEAR:
        better = "there is no clear difference between it and a log-normal"
    return (
        f"{side.capitalize()}: exponent {fit['exponent']:.2f} ± {fit['standard_error']:.2f} for those with "
        f"at least {fit['cutoff']:,} ratings ({fit['n_tail']:,} {side}); Kolmogorov-Smirnov distance "
        f"{fit['ks_distance']:.3f}, p = {fit['p_value']:.3f} by bootstrap ({verdict}); {better} "
        f"(normalised log-likelihood ratio {fit['lognormal_ratio']:.1f}, p = {fit['lognormal_p_value']:.2g})."
    )


def draw_histogram(numbers: Numbers) -> Figure:
    """Draw how often each rating was given."""
    figure, axes = new_figure()
    values = np.array(numbers["values"])
    gap = numbers["bin_width"] or (float(np.diff(values).min()) if len(values) > 1 else 1.0)
    axes.bar(values, numbers["counts"], width=0.85 * gap, color=BLUE)
    if len(values) <= 20:
        axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="rating", ylabel="ratings", title="How often each rating was given")
    thousands(axes.yaxis)
    return figure


def draw_top_users(numbers: Numbers) -> Figure:
    """Draw the most active users."""
    figure, axes = new_figure(7.0, 0.9 + 0.24 * len(numbers["users"]))
    horizontal_bars(axes, [f"user {plain(user, 24)}" for user in numbers["users"]], numbers["counts"])
    axes.set(xlabel="ratings", title=f"The {len(numbers['users'])} most active users")
    thousands(axes.xaxis)
    return figure


def draw_degrees(numbers: Numbers) -> Figure:
    """Draw users and items by their number of ratings, both axes logarithmic, with the fitted power laws."""
    figure, panels = new_figure(9.5, 4.4, columns=2)
    for axes, (side, colour) in zip(panels, (("users", BLUE), ("items", GREEN)), strict=True):
        part = numbers[side]
        axes.scatter(part["n_ratings"], part["rows"], s=9, color=PALE, linewidths=0, label=side)
        middles, means = _binned(np.array(part["n_ratings"]), np.array(part["rows"]))
        axes.scatter(middles, means, s=26, color=colour, label="mean of a bin, empty numbers counted")
        fit = part["fit"]
        if not is_missing(fit):
            degrees = np.unique(np.geomspace(fit["cutoff"], max(part["n_ratings"]), 200).astype(np.int64))
            expected = power_law_counts(fit, degrees)
            label = f"power law, exponent {fit['exponent']:.2f}, from {fit['cutoff']:,} ratings on"
            axes.plot(degrees, expected, color=RED, linewidth=1.8, label=label)
        axes.legend(loc="lower left", fontsize=8)
        axes.set(
            xscale="log", yscale="log", xlabel=f"ratings of {'a user' if side == 'users' else 'an item'}"
        )
        axes.set(ylabel=f"{side} with so many ratings", title=f"{side.capitalize()} by number of ratings")
        plain_decades(axes.xaxis, axes.yaxis)
    return figure


def _binned(degrees: Int64, rows: Int64) -> tuple[Float64, Float64]:
    """Average the rows of each number of ratings over bins that grow by a half, degrees without rows too."""
    edges = [int(degrees.min())]
    while edges[-1] <= degrees.max():
        edges.append(max(edges[-1] + 1, int(1.5 * edges[-1])))
    edges[-1] = int(degrees.max()) + 1
    totals, _ = np.histogram(degrees, bins=edges, weights=rows)
    widths = np.diff(edges)
    there = totals > 0
    middles = np.sqrt(np.array(edges[:-1], float) * (np.array(edges[1:]) - 1))
    return middles[there], (totals / widths)[there]


def _years(title: str, label: str, axis: str) -> Draw:
    def drawn(numbers: Numbers) -> Figure:
        figure, axes = new_figure()
        axes.bar(numbers["years"], numbers["counts"], width=0.85, color=BLUE)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
        axes.set(xlabel=axis, ylabel=label, title=title)
        thousands(axes.yaxis)
        return figure

    return drawn


def draw_mean_by_year(numbers: Numbers) -> Figure:
    """Draw the mean rating by year of release."""
    figure, axes = new_figure()
    counts, means = np.array(numbers["counts"]), np.array(numbers["means"])
    sizes = 6.0 + 120.0 * counts / counts.max()
    axes.plot(numbers["years"], means, color=BLUE, linewidth=1.0)
    axes.scatter(numbers["years"], means, s=sizes, color=BLUE, alpha=0.55, linewidths=0)
    overall = float(counts @ means / counts.sum())
    axes.axhline(overall, color=RED, linestyle="--", linewidth=1.2, label=f"mean of all, {overall:.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best")
    axes.set(
        xlabel="year of release", ylabel="mean rating", title="Mean rating by year of release (area: ratings)"
    )
    return figure


def draw_genres(numbers: Numbers) -> Figure:
    """Draw genres by mean rating and by share of the catalogue."""
    figure, panels = new_figure(10.5, 1.2 + 0.24 * min(len(numbers["names"]), TOP_GENRES), columns=2)
    names = [plain(name, 24) for name in numbers["names"][:TOP_GENRES]]
    rated = [place for place, mean in enumerate(numbers["means"][:TOP_GENRES]) if mean is not None]
    order = sorted(rated, key=lambda place: -numbers["means"][place])
    means = [numbers["means"][place] for place in order]
    axes = panels[0]
    axes.scatter(means, range(len(order)), s=36, color=BLUE)
    axes.set_yticks(range(len(order)), [names[place] for place in order])
    axes.invert_yaxis()
    axes.set(xlabel="mean rating", title="Mean rating by genre")
    horizontal_bars(panels[1], names, numbers["item_share_percent"][:TOP_GENRES], GREEN)
    panels[1].set(xlabel="share of all genre entries in the catalogue, %", title="How common genres are")
    return figure


def draw_popularity(numbers: Numbers) -> Figure:
    """Draw genres by number of ratings, logarithmic, and mean rating."""
    figure, axes = new_figure(7.5, 5.0)
    known = [place for place, mean in enumerate(numbers["means"]) if mean is not None]
    x = [numbers["ratings"][place] for place in known]
    y = [numbers["means"][place] for place in known]
    axes.scatter(x, y, s=34, color=BLUE)
    axes.set(xscale="log", xlabel="ratings of the genre's items", ylabel="mean rating")
    axes.set_title("Mean rating against popularity by genre")
    axes.margins(x=0.12, y=0.08)
    plain_decades(axes.xaxis)
    label_points(axes, list(zip(x, y, strict=True)), [plain(numbers["names"][place], 24) for place in known])
    return figure


def draw_tag_cloud(numbers: Numbers) -> Figure:
    """Draw the tags that users gave most often."""
    return draw_tags(numbers["tags"], numbers["counts"])


FIGURES: tuple[tuple[str, str, Callable[[Numbers], str] | str, Draw], ...] = (
    (
        "rating_histogram",
        "Rating values",
        "Number of ratings by value (paper 1, Fig. 1; paper 2, Fig. 2a).",
        draw_histogram,
    ),
    ("top_users", "Most active users", "Ratings of the most active users (paper 1, Fig. 2).", draw_top_users),
    (
        "degrees",
        "Degree distributions",
        "Users and items by their number of ratings, on logarithmic axes (paper 1, Fig. 3; paper 2, Fig. 1).",
        draw_degrees,
    ),
    (
        "ratings_per_year",
        "Ratings per year",
        "Ratings given in each calendar year, UTC (paper 2, Fig. 2b).",
        _years("Ratings given per year", "ratings", "year"),
    ),
    ("dates", "Ratings above their biases", deviations_caption, draw_deviations),
    (
        "releases_per_year",
        "Releases per year",
        "Listed items by year of release (paper 2, Fig. 2c).",
        _years("Listed items by year of release", "items", "year of release"),
    ),
    (
        "mean_by_release_year",
        "Mean rating by release year",
        "Mean rating of items by year of release (paper 2, Fig. 2d).",
        draw_mean_by_year,
    ),
    (
        "genres",
        "Genre means and shares",
        "Mean rating and share of genres; an item counts in each of its genres (paper 2, Fig. 2e and 2f).",
        draw_genres,
    ),
    (
        "genres",
        "Genre means against popularity",
        "Mean rating against number of ratings by genre (paper 2, Fig. 3).",
        draw_popularity,
    ),
    ("tags", "Tag cloud", "The tags that users gave most often (paper 2, Fig. 4).", draw_tag_cloud),
)
