"""Figures and pages of a model's geometry, drawn from its numbers."""

from __future__ import annotations

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
from daskals.plots.movement import movement_sections
from daskals.plots.report_folder import ReportFolder
from daskals.plots.scatter_page import write_scatter_page
from daskals.plots.style import BLUE, COLOURS, GREY, PALE, RED, label_points, new_figure, plain

_MARKERS = "osD^vP"
_BY_CONSTRUCTION = (
    "Genres went into the training of a hierarchical model, so there they agree by construction too."
)
_DENSITY_COLUMNS = (
    "Axes",
    *(f"Within the {100 * level:g} % ellipse, %" for level in LEVELS),
    "Skewness",
    "Excess kurtosis",
)


def write_geometry(numbers: Numbers, folder: Path, name: str) -> None:
    """Write `geometry.json`, figures, `map.html` and `report.html` into a folder that is there."""
    report = ReportFolder(folder, "geometry", numbers)
    if not is_missing(numbers["map"]):
        write_scatter_page(folder / "map.html", f"Items of {name}", numbers["map"])
    sections = [
        report.section("Item map", numbers["map"], draw_map, caption=_map_caption, text=_map_text),
        report.section(
            "Genre means",
            numbers["genre_means"],
            draw_means,
            caption="Mean place of each genre's items on the map less that of all, with 95 % intervals.",
        ),
        report.section(
            "What paper 1 says of its map, tested",
            numbers["claims"],
            columns=("Claim", "Found", "p", f"Holds (p < {LEVEL})"),
            rows=_claim_rows,
        ),
        report.section(
            "How well genres separate",
            numbers["neighbours"],
            text=[_BY_CONSTRUCTION],
            columns=("Measure", "Found", "By chance", "p"),
            rows=lambda near: [*_neighbour_rows(near), *_silhouette_rows(numbers["silhouette"])],
        ),
        report.section(
            "Polarity",
            numbers["polarity"],
            draw_polarity,
            caption=_polarity_caption,
            columns=("Polarity", "Title", "‖q‖", _counted(numbers["polarity"])),
            rows=_polarity_rows,
        ),
        *(
            report.section(
                f"Joint density of {side[:-1]} factors",
                part,
                draw_density,
                caption=f"{side.capitalize()} by pairs of principal axes, with a fitted Gaussian's ellipses.",
                text=_density_text,
                columns=_DENSITY_COLUMNS,
                rows=_density_rows,
            )
            for side, part in numbers["density"].items()
        ),
        *(movement_sections(report, numbers["movement"]) if "movement" in numbers else ()),
    ]
    trained = numbers["config"]
    introduction = (
        f"Model {trained['model']}, {trained['rank']} factors. Every number here stands in geometry.json; "
        "map.html is the map with titles on hover."
    )
    report.write_page(f"Geometry of {name}", introduction, sections)


def _map_caption(points: Numbers) -> str:
    return f"The {len(points['x']):,} items with the most ratings (paper 1, Fig. 13; paper 2, Fig. 6)."


def _map_text(points: Numbers) -> list[str]:
    return [] if points["highlighted"] else ["No genres are highlighted: the model's items have none."]


def _claim_rows(claims: Numbers) -> list[tuple[Any, ...]]:
    return [(one["claim"], one["found"], one["p_value"], one["holds"]) for one in claims["claims"]]


def _neighbour_rows(near: Numbers) -> list[tuple[Any, ...]]:
    label = f"Share of {near['neighbours']} nearest items with a genre in common"
    like = near["chance_like_popularity"], near["p_value_like_popularity"]
    return [
        (label, near["agreement"], near["chance"], near["p_value"]),
        ("The same, genres permuted among items of like popularity", near["agreement"], *like),
    ]


def _silhouette_rows(shape: Numbers) -> list[tuple[Any, ...]]:
    if is_missing(shape):
        return []
    label = f"Mean silhouette of {shape['items']:,} items with one genre ({shape['genres']} genres)"
    return [(label, shape["silhouette"], shape["chance"], shape["p_value"])]


def _polarity_caption(polarity: Numbers) -> str:
    return (
        f"Items with the longest and shortest vectors among {polarity['items']:,} with at least "
        f"{polarity['min_ratings']:,} {polarity['counted_as']} (paper 1, Table 4)."
    )


def _counted(polarity: Numbers) -> str:
    return "People" if polarity.get("counted_as") == "people" else "Training ratings"


def _polarity_rows(polarity: Numbers) -> list[tuple[Any, ...]]:
    return [
        (kind, one["title"], one["norm"], one["n_ratings"])
        for kind in ("most", "least")
        for one in polarity[kind]
    ]


def _density_text(part: Numbers) -> list[str]:
    return [
        "Kolmogorov-Smirnov distance of the squared Mahalanobis lengths from χ²: "
        f"{part['distance']:.3f} (0 for a Gaussian)."
    ]


def _density_rows(part: Numbers) -> list[tuple[Any, ...]]:
    return [
        (
            " and ".join(map(str, pair["axes"])),
            *(100.0 * share for share in pair["within"]),
            pair["skewness"],
            pair["excess_kurtosis"],
        )
        for pair in part["pairs"]
    ]


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
        axes.set(xlabel="mean less that of all items", title=f"Genre means, axis {axis + 1} of the map")
    return figure


def draw_polarity(polarity: Numbers) -> Figure:
    """Draw the vector lengths of the most and the least polarising items."""
    shown = [*polarity["most"], *polarity["least"][::-1]]
    figure, axes = new_figure(8.0, 0.9 + 0.24 * len(shown))
    colours = [RED] * len(polarity["most"]) + [BLUE] * len(polarity["least"])
    axes.barh(range(len(shown)), [one["norm"] for one in shown], color=colours)
    axes.set_yticks(range(len(shown)), [plain(one["title"]) for one in shown])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(
        xlabel="length of the item's vector, ‖q‖", title="Most (orange) and least (blue) polarising items"
    )
    return figure


def draw_density(part: Numbers) -> Figure:
    """Draw the counts of each pair of axes on a logarithmic scale, with the Gaussian's ellipses."""
    pairs = part["pairs"]
    figure, panels = new_figure(3.6 * len(pairs) + 1.2, 4.0, columns=len(pairs))
    top = max(np.max(pair["histogram"]) for pair in pairs)
    norm = LogNorm(1, max(2, top))
    for axes, pair in zip(np.atleast_1d(panels), pairs, strict=True):
        counts = np.ma.masked_equal(np.array(pair["histogram"]).T, 0)
        mesh = axes.pcolormesh(pair["x"], pair["y"], counts, cmap="viridis", norm=norm, rasterized=True)
        for level, line in zip(LEVELS, ("-", "--", ":"), strict=True):
            radius = np.sqrt(stats.chi2.ppf(level, 2))
            width, height = (2 * radius * one for one in pair["deviations"])
            ellipse = Ellipse((0, 0), width, height, fill=False, edgecolor=RED, linestyle=line, linewidth=1.4)
            ellipse.set_label(f"{100 * level:g} %")
            axes.add_patch(ellipse)
        first, second = pair["axes"]
        axes.set(xlabel=f"principal axis {first}", ylabel=f"principal axis {second}")
        axes.set_title(f"Axes {first} and {second}")
        axes.locator_params(nbins=5)
        axes.grid(visible=False)
    figure.colorbar(mesh, ax=np.atleast_1d(panels).tolist(), label="rows in a cell")
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, title="ellipses of the fitted Gaussian"
    )
    return figure
