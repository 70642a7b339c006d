"""Figures of how genres and titles move in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from daskals.analysis.missing import Numbers
from daskals.plots.dates import WIDTH_90, shade
from daskals.plots.page import Section
from daskals.plots.report_folder import ReportFolder
from daskals.plots.style import BLUE, GREY, new_figure, plain

ACROSS = 4
"""Panels beside one another."""

MOST_PANELS = 20

_COLUMNS = ("Name", "Training ratings", "Place among all items", "Rise", "Deviation")
_WHAT = (
    "An item's factors at a date are q_i + d_t: those of all items are shifted alike, so that what moves is "
    "what is predicted. Shown is the mean prediction over all users, less that of all items by their "
    "training ratings: (b_i − b̄) + (p̄ + d_t)·(q_i − q̄)."
)


def movement_sections(report: ReportFolder, numbers: Numbers) -> list[Section]:
    """Make the sections of genres and of titles."""
    stretches = numbers["stretches"]
    text = [
        _WHAT,
        f"Time, {stretches[0]['first']} to {stretches[-1]['last']}, is cut into {len(stretches)} stretches "
        "of about equally many training ratings; the rise is from the first to the latest third of them. "
        f"{spread_line(numbers).capitalize()} (standard deviations over training ratings).",
    ]
    caption = "Mean prediction, less that of all items and its own mean over time, with 90 % intervals."
    return [
        report.section(
            f"How {what} move",
            numbers[what],
            _drawn(stretches),
            caption=caption,
            text=text if what == "genres" else (),
            columns=_COLUMNS,
            rows=_rows,
        )
        for what in ("genres", "titles")
    ]


def spread_line(movement: Numbers) -> str:
    """Say by how much items move, a clause."""
    (drawn, agreed), unit = (movement["spread"][name] for name in ("drawn", "agreed")), movement["unit"]
    sure = "" if agreed is None else f", and by {agreed:.3f} in what the samples agree on"
    return f"an item's place among all differs by {drawn:.3f} from {unit} to {unit}{sure}"


def _rows(numbers: Numbers) -> list[tuple[Any, ...]]:
    return [
        (one["name"], one["n_ratings"], one["level"], one["rise"], one["rise_deviation"])
        for one in sorted(numbers["moved"], key=lambda one: -one["rise"])
    ]


def _drawn(stretches: list[Numbers]) -> Callable[[Numbers], Figure]:
    first, last = (np.array([one[end] for one in stretches], "datetime64[D]") for end in ("first", "last"))
    return lambda numbers: draw_movement(first + (last - first) // 2, numbers["moved"][:MOST_PANELS])


def draw_movement(days: np.ndarray, moved: list[Numbers]) -> Figure:
    """Draw the moves of each, in panels of one scale; `days` are datetime64, shape (stretches,)."""
    n_rows = -(-len(moved) // ACROSS)
    figure, panels = new_figure(10.0, 0.7 + 1.45 * n_rows, columns=ACROSS, rows=n_rows)
    panels = np.atleast_1d(panels).ravel()
    widths = [WIDTH_90 * np.array(one["deviations"] or np.zeros(len(days))) for one in moved]
    reach = max(float(np.max(np.abs(one["moves"]) + width)) for one, width in zip(moved, widths, strict=True))
    ticks = [days[0], days[0] + (days[-1] - days[0]) // 2, days[-1]]
    for axes, one in zip(panels, moved, strict=False):
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(days, one["moves"], color=BLUE, linewidth=1.3, marker="o", markersize=2)
        shade(axes, days, one["moves"], one["deviations"])
        axes.set_ylim(-1.05 * max(reach, 1e-6), 1.05 * max(reach, 1e-6))
        axes.set_title(plain(one["name"], 26), fontsize=9)
        axes.set_xticks(ticks, [str(day)[:7] for day in ticks], fontsize=7)
    for axes in panels[len(moved) :]:
        axes.set_axis_off()
    figure.supylabel("mean prediction against all items, less its mean", fontsize=9)
    return figure
