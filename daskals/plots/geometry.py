"""The figures of a model's geometry, drawn from its numbers, and the pages that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy import stats

from daskals.analysis.density import LEVELS
from daskals.analysis.missing import Numbers, is_missing
from daskals.analysis.separation import LEVEL
from daskals.plots.page import Section, write_page
from daskals.plots.scatter_page import write_scatter_page
from daskals.plots.style import BLUE, COLOURS, GREY, PALE, RED, label_points, new_figure, plain, save, styled

_MARKERS = "osD^vP"


def write_geometry(numbers: Numbers, folder: Path, name: str) -> None:
    """Write `geometry.json`, figures, `map.html` and `report.html` into a folder that is there.

    Parameters
    ----------
    numbers
        What `daskals.analysis.geometry.describe_geometry` returns.
    folder
        Where to write.
    name
        What the model is called.
    """
    text = json.dumps(numbers, indent=2, allow_nan=False)
    (folder / "geometry.json").write_text(f"{text}\n", encoding="utf-8")
    figures = folder / "figures"
    figures.mkdir()
    sections = [
        _map_section(numbers["map"], folder, name),
        _means_section(numbers["genre_means"], figures),
        _claims_section(numbers["claims"]),
        _separation_section(numbers),
        _polarity_section(numbers["polarity"], figures),
        *_density_sections(numbers["density"], figures),
    ]
    trained = numbers["config"]
    introduction = (
        f"Model {trained['model']}, {trained['rank']} factors. Every number here stands in geometry.json; "
        "map.html is the map with titles on hover."
    )
    write_page(folder / "report.html", f"Geometry of {name}", introduction, sections)


def _map_section(points: Numbers, folder: Path, name: str) -> Section:
    if is_missing(points):
        return Section("Map of items", missing=points["missing"])
    write_scatter_page(folder / "map.html", f"Items of {name}", points)
    with styled():
        path = save(draw_map(points), folder / "figures", "item-map")
    text = [] if points["highlighted"] else ["No genres are highlighted: the model's items have none."]
    caption = f"The {len(points['x']):,} items with the most ratings (paper 1, Fig. 13; paper 2, Fig. 6)."
    return Section("Map of items", text=text, figures=[(path, caption)])


def draw_map(points: Numbers) -> Figure:
    """Draw the map, its highlighted genres in colours and shapes of their own, and its labels."""
    figure, axes = new_figure(8.5, 6.2)
    x, y = np.array(points["x"]), np.array(points["y"])
    owner = np.full(len(x), -1)
    for place, genres in enumerate(points["genres"]):
        of = [n for n, genre in enumerate(points["highlighted"]) if genre in genres]
        owner[place] = of[0] if of else -1
    axes.scatter(x[owner < 0], y[owner < 0], s=8, color=PALE, linewidths=0, label="other genres")
    for n, genre in enumerate(points["highlighted"]):
        own = owner == n
        axes.scatter(
            x[own], y[own], s=16, color=COLOURS[n], marker=_MARKERS[n], linewidths=0, label=plain(genre, 24)
        )
    if points["highlighted"]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, markerscale=1.6)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.axvline(0, color=GREY, linewidth=0.7)
    axes.set(xlabel=points["axes"][0], ylabel=points["axes"][1], title="Items by their factors")
    axes.margins(0.06)
    labelled = points["labelled"]
    label_points(
        axes, [(x[one], y[one]) for one in labelled], [plain(points["titles"][one], 34) for one in labelled]
    )
    axes.scatter(x[labelled], y[labelled], s=22, facecolors="none", edgecolors="#333333", linewidths=0.8)
    return figure


def _means_section(means: Numbers, figures: Path) -> Section:
    heading = "Genre means on the map"
    if is_missing(means):
        return Section(heading, missing=means["missing"])
    with styled():
        path = save(draw_means(means), figures, "genre-means")
    return Section(
        heading, figures=[(path, "Mean place of each genre's items less that of all, with 95 % intervals.")]
    )


def draw_means(means: Numbers) -> Figure:
    """Draw the genre means of each axis with their intervals, sorted by the axis."""
    figure, panels = new_figure(9.5, 1.2 + 0.24 * len(means["names"]), columns=2)
    for axis, axes in enumerate(panels):
        order = np.argsort([mean[axis] for mean in means["means"]])
        middle = np.array(means["means"])[order, axis]
        low, high = np.array(means["low"])[order, axis], np.array(means["high"])[order, axis]
        axes.errorbar(
            middle, range(len(order)), xerr=[middle - low, high - middle], fmt="o", color=BLUE, markersize=4
        )
        axes.set_yticks(range(len(order)), [plain(means["names"][n], 24) for n in order])
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set(xlabel="mean less that of all items", title=f"Axis {axis + 1}")
    return figure


def _claims_section(claims: Numbers) -> Section:
    heading = "What paper 1 says of its map, tested"
    if is_missing(claims):
        return Section(heading, missing=claims["missing"])
    rows = [(one["claim"], one["found"], one["p_value"], one["holds"]) for one in claims["claims"]]
    return Section(heading, columns=("Claim", "Found", "p", f"Holds (p < {LEVEL})"), rows=rows)


def _separation_section(numbers: Numbers) -> Section:
    heading = "How well genres separate"
    near, shape = numbers["neighbours"], numbers["silhouette"]
    if is_missing(near):
        return Section(heading, missing=near["missing"])
    rows: list[tuple[Any, ...]] = [
        (
            f"Share of {near['neighbours']} nearest items with a genre in common",
            near["agreement"],
            near["chance"],
            near["p_value"],
        ),
        (
            "The same, genres permuted among items of like popularity",
            near["agreement"],
            near["chance_like_popularity"],
            near["p_value_like_popularity"],
        ),
    ]
    if not is_missing(shape):
        label = f"Mean silhouette of {shape['items']:,} items with one genre ({shape['genres']} genres)"
        rows.append((label, shape["silhouette"], shape["chance"], shape["p_value"]))
    text = ["Genres went into the training of a hierarchical model, so there they agree by construction too."]
    return Section(heading, text=text, columns=("Measure", "Found", "By chance", "p"), rows=rows)


def _polarity_section(polarity: Numbers, figures: Path) -> Section:
    heading = "Polarity"
    if is_missing(polarity):
        return Section(heading, missing=polarity["missing"])
    with styled():
        path = save(draw_polarity(polarity), figures, "polarity")
    caption = f"Items with the longest and shortest vectors among {polarity['items']:,} with at least "
    caption += f"{polarity['min_ratings']:,} ratings (paper 1, Table 4)."
    rows = [
        (kind, one["title"], one["norm"], one["n_ratings"])
        for kind in ("most", "least")
        for one in polarity[kind]
    ]
    columns = ("Polarity", "Title", "‖q‖", "Training ratings")
    return Section(heading, figures=[(path, caption)], columns=columns, rows=rows)


def draw_polarity(polarity: Numbers) -> Figure:
    """Draw the vector lengths of the most and the least polarising items."""
    shown = [*polarity["most"], *polarity["least"][::-1]]
    figure, axes = new_figure(8.0, 0.9 + 0.24 * len(shown))
    colours = [RED] * len(polarity["most"]) + [BLUE] * len(polarity["least"])
    axes.barh(range(len(shown)), [one["norm"] for one in shown], color=colours)
    axes.set_yticks(range(len(shown)), [plain(one["title"]) for one in shown])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="length of the item's vector, ‖q‖", title="Most (red) and least (blue) polarising items")
    return figure


def _density_sections(density: Numbers, figures: Path) -> list[Section]:
    sections = []
    for side, part in density.items():
        heading = f"Joint density of {side[:-1]} factors"
        if is_missing(part):
            sections.append(Section(heading, missing=part["missing"]))
            continue
        with styled():
            path = save(draw_density(part), figures, f"density-{side}")
        text = [
            f"Kolmogorov-Smirnov distance of the squared Mahalanobis lengths from χ²: {part['distance']:.3f} "
            "(0 for a Gaussian).",
        ]
        caption = f"{side.capitalize()} by pairs of principal axes, with ellipses of the fitted Gaussian."
        columns = (
            "Axes",
            *(f"Within the {100 * level:g} % ellipse, %" for level in LEVELS),
            "Skewness",
            "Excess kurtosis",
        )
        rows = [
            (
                " and ".join(map(str, pair["axes"])),
                *(100.0 * share for share in pair["within"]),
                pair["skewness"],
                pair["excess_kurtosis"],
            )
            for pair in part["pairs"]
        ]
        sections.append(Section(heading, text=text, figures=[(path, caption)], columns=columns, rows=rows))
    return sections


def draw_density(part: Numbers) -> Figure:
    """Draw the counts of each pair of axes on a logarithmic scale, with the Gaussian's ellipses."""
    figure, panels = new_figure(3.6 * len(part["pairs"]) + 1.0, 3.6, columns=len(part["pairs"]))
    top = max(np.max(pair["histogram"]) for pair in part["pairs"])
    norm = LogNorm(1, max(2, top))
    for axes, pair in zip(np.atleast_1d(panels), part["pairs"], strict=True):
        counts = np.ma.masked_equal(np.array(pair["histogram"]).T, 0)
        mesh = axes.pcolormesh(pair["x"], pair["y"], counts, cmap="viridis", norm=norm, rasterized=True)
        for level, line in zip(LEVELS, ("-", "--", ":"), strict=True):
            radius = np.sqrt(stats.chi2.ppf(level, 2))
            width, height = (2 * radius * one for one in pair["deviations"])
            axes.add_patch(
                Ellipse((0, 0), width, height, fill=False, color=RED, linestyle=line, linewidth=1.4)
            )
        axes.set(xlabel=f"principal axis {pair['axes'][0]}", ylabel=f"principal axis {pair['axes'][1]}")
        axes.grid(visible=False)
    figure.colorbar(mesh, ax=np.atleast_1d(panels).tolist(), label="rows in a cell")
    figure.suptitle(
        "Counts, and the fitted Gaussian's 50 % (—), 90 % (- -) and 99 % (···) ellipses", fontsize=10
    )
    return figure
