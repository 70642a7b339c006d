"""Figures of what dates do to ratings: deviations from biases, and a model's b_t."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from daskals.analysis.missing import Numbers
from daskals.plots.page import Section
from daskals.plots.report_folder import ReportFolder
from daskals.plots.style import BLUE, GREY, PALE, new_figure

WIDTH_90 = 1.6448536269514722
"""Half the width of a 90 % interval, in deviations."""


def deviations_caption(numbers: Numbers) -> str:
    """Say what the figure of a store's ratings shows."""
    unit, walk, scatter = numbers["unit"], numbers["walk"], numbers["scatter"]
    return (
        "Mean of the ratings less μ + b_u + b_i, by when they were made, and the level behind it with its "
        "90 % interval, which bends as far as the means ask for: about what --time-bins would learn as b_t. "
        f"The level moves by {walk:.3f} a {unit}, and a {unit} differs from it by {scatter:.3f} by itself "
        "(standard deviations; the errors of means of few ratings come on top). What a day does to somebody "
        "who rated on that day only is in their b_u, and not seen here."
    )


def draw_deviations(numbers: Numbers) -> Figure:
    """Draw the mean deviation of each period, and the level behind it."""
    figure, axes = new_figure()
    days = _dates(numbers["first_days"])
    _dots(axes, days, numbers["means"], numbers["n_ratings"], f"mean of a {numbers['unit']} (area: ratings)")
    _line(axes, days, (numbers["level"], numbers["level_deviations"]), "level, with 90 % interval")
    axes.set(ylabel="ratings less their biases", title="Ratings above their biases, as time goes")
    _finish(axes, numbers["means"], numbers["n_ratings"])
    return figure


def biases_of_dates(report: ReportFolder, numbers: Numbers) -> Section:
    """Make the section of a model's b_t."""
    return report.section(
        "What a date adds to every rating",
        numbers,
        draw_biases,
        caption="b_t of the dates with training ratings, and its mean over longer periods.",
        text=_biases_text,
        columns=("From", "Training ratings", "b_t", "Deviation"),
        rows=_extremes,
    )


def _biases_text(numbers: Numbers) -> list[str]:
    days, line = numbers["first_days"], numbers["line"]
    sure = "" if numbers["deviations"] is None else ", with the standard deviation of the samples"
    return [
        f"{len(days):,} {numbers['unit']}s, {days[0]} to {days[-1]}: b_t is what all ratings of a date have "
        "more than those of a date that training knew nothing of, beside what the date does to tastes. Over "
        f"the training ratings its standard deviation is {numbers['spread']:.3f}. The table has the "
        f"{line['unit']}s where it is highest and lowest{sure}; all of them stand in training.json.",
    ]


N_EXTREMES = 3
"""Periods of the highest and of the lowest b_t that are listed."""


def _extremes(numbers: Numbers) -> list[tuple[object, ...]]:
    line = numbers["line"]
    order = np.argsort(-np.array(line["biases"]), kind="stable").tolist()
    chosen = order if len(order) <= 2 * N_EXTREMES else [*order[:N_EXTREMES], *order[-N_EXTREMES:]]
    deviations = line["deviations"] or [None] * len(order)
    return [
        (line["first_days"][at], line["n_ratings"][at], line["biases"][at], deviations[at]) for at in chosen
    ]


def draw_biases(numbers: Numbers) -> Figure:
    """Draw b_t of each date, and its mean over longer periods."""
    figure, axes = new_figure()
    line = numbers["line"]
    is_coarser = len(line["first_days"]) < len(numbers["first_days"])
    if is_coarser:
        label = f"a {numbers['unit']} (area: ratings)"
        _dots(axes, _dates(numbers["first_days"]), numbers["biases"], numbers["n_ratings"], label)
    interval = "" if line["deviations"] is None else ", with 90 % interval"
    label = f"mean of a {line['unit']}{interval}" if is_coarser else f"a {line['unit']}{interval}"
    _line(axes, _dates(line["first_days"]), (line["biases"], line["deviations"]), label)
    axes.set(ylabel="b_t, in ratings", title="What a date adds to every rating")
    _finish(axes, numbers["biases"], numbers["n_ratings"])
    return figure


def _dates(first_days: list[str]) -> np.ndarray:
    return np.array(first_days, "datetime64[D]")


def _dots(axes: Axes, days: np.ndarray, values: list[float], counts: list[int], label: str) -> None:
    sizes = 3.0 + 60.0 * np.array(counts) / max(counts)
    axes.scatter(days, values, s=sizes, color=PALE, linewidths=0, label=label)


def _line(axes: Axes, days: np.ndarray, drawn: tuple[list[float], list[float] | None], label: str) -> None:
    values, deviations = np.array(drawn[0]), drawn[1]
    axes.plot(days, values, color=BLUE, linewidth=1.4, label=label)
    shade(axes, days, values, deviations)


def shade(axes: Axes, days: np.ndarray, values: Any, deviations: list[float] | None) -> None:
    """Shade the 90 % interval about values, shape (days,); nothing where there are no deviations."""
    if deviations is not None:
        width = WIDTH_90 * np.array(deviations)
        axes.fill_between(days, values - width, values + width, color=BLUE, alpha=0.18, linewidth=0)


def _finish(axes: Axes, values: list[float], counts: list[int]) -> None:
    """Leave days of a handful of ratings, which may lie anywhere, out of the picture's height."""
    low, high = _weighted_ends(np.array(values), np.array(counts))
    margin = 0.25 * max(high - low, 1e-3)
    axes.set_ylim(low - margin, high + margin)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.legend(loc="best")
    axes.set_xlabel("when ratings were made")


def _weighted_ends(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return between which values all but a hundredth of the ratings at either end lie."""
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(counts[order]) / counts.sum()
    low, high = (values[order[np.searchsorted(shares, share)]] for share in (0.01, 0.99))
    return float(low), float(high)
