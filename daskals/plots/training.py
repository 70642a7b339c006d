"""Figures and page of a training run, drawn from its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from daskals.analysis.missing import Numbers
from daskals.plots.dates import biases_of_dates
from daskals.plots.mixing import mixing_section
from daskals.plots.report_folder import ReportFolder
from daskals.plots.style import (
    BLUE,
    GREEN,
    GREY,
    RED,
    SYMBOLS,
    horizontal_bars,
    new_figure,
    plain,
    plain_decades,
)
from daskals.types import Float64

_CURVES = (
    ("train_rmse", "train", BLUE, "-"),
    ("validation_rmse", "validation", GREEN, "--"),
    ("test_rmse", "test", RED, "-."),
)

_LEVELS = (
    ("test", "test, of the model that was saved", RED, ":"),
    ("biases", "test, biases alone", GREY, ":"),
)


def write_training(numbers: Numbers, folder: Path, name: str) -> None:
    """Write `training.json`, figures and `report.html` into a folder that is there."""
    report = ReportFolder(folder, "training", numbers)
    history = numbers["history"]
    sections = [
        report.section("Summary", numbers["summary"], columns=("What", "Value"), rows=_summary_rows),
        report.section(
            "Objective",
            history,
            draw_objective,
            caption="The regularised objective by epoch (paper 1, Fig. 4, 10, 12).",
        ),
        report.section(
            "RMSE", history, draw_rmse, caption="RMSE by epoch (paper 1, Fig. 5, 9, 11; paper 2, Fig. 5)."
        ),
        report.section(
            "Test accuracy by what was known",
            numbers["accuracy"],
            draw_accuracy,
            caption="Test RMSE by the training ratings of the item and of the user.",
            columns=("Side", "Training ratings", "Test ratings", "RMSE", "MAE"),
            rows=_accuracy_rows,
        ),
        *([mixing_section(report, numbers["mixing"])] if "mixing" in numbers else []),
        *([biases_of_dates(report, numbers["dates"])] if "dates" in numbers else []),
        report.section(
            "RMSE by K",
            numbers["rank_curve"],
            draw_rank_curve,
            caption="Best validation RMSE for each number of factors (paper 1, Fig. 7).",
        ),
        report.section(
            "Search",
            numbers["grid"],
            draw_grid,
            caption="Validation RMSE over the grid, the best framed (paper 1, Fig. 8; paper 2, Table 2).",
        ),
        report.section(
            "Speed",
            numbers["speed"],
            draw_speed,
            caption="Seconds an epoch on a logarithmic axis (paper 1, Table 2 and Fig. 6).",
            columns=("System", "Seconds an epoch", "Times as fast as the slowest", "How"),
            rows=_speed_rows,
        ),
    ]
    report.write_page(f"Training of {name}", "Every number here stands in training.json.", sections)


def _summary_rows(summary: Numbers) -> list[tuple[Any, ...]]:
    return [(key.replace("_", " "), value) for key, value in summary.items()]


def _accuracy_rows(accuracy: Numbers) -> list[tuple[Any, ...]]:
    return [
        (side, one["training_ratings"], one["n"], one["rmse"], one["mae"])
        for side in ("item", "user")
        for one in accuracy[side]
    ]


def _speed_rows(speed: Numbers) -> list[tuple[Any, ...]]:
    return [
        (one["name"], one["seconds"], one["times_the_slowest"], one["status"]) for one in speed["systems"]
    ]


def draw_objective(history: Numbers) -> Figure:
    """Draw the objective by epoch, logarithmic where it spans more than a factor of ten."""
    figure, axes = new_figure()
    values = np.array(history["objective"], float)
    axes.plot(history["epoch"], values, color=BLUE, marker="o", markersize=3)
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="regularised objective", title="Objective by epoch")
    return figure


def draw_rmse(history: Numbers) -> Figure:
    """Draw the training RMSE by epoch, and those of held-out ratings where they were followed."""
    figure, axes = new_figure()
    for name, label, colour, line in _CURVES:
        if name in history:
            values = np.array([np.nan if value is None else value for value in history[name]])
            last = values[np.isfinite(values)][-1]
            axes.plot(
                history["epoch"],
                values,
                line,
                color=colour,
                marker="o",
                markersize=3,
                label=f"{label}, {last:.4f} at last",
            )
    for name, label, colour, line in _LEVELS:
        value = history.get("levels", {}).get(name)
        if value is not None and not (name == "test" and "test_rmse" in history):
            axes.axhline(value, color=colour, linestyle=line, linewidth=1.2, label=f"{label}, {value:.4f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right")
    axes.set(xlabel="epoch", ylabel="RMSE, in ratings", title="Root mean squared error by epoch")
    return figure


def draw_accuracy(accuracy: Numbers) -> Figure:
    """Draw the test RMSE of each bucket, for items and for users."""
    figure, panels = new_figure(9.0, 3.8, columns=2)
    for axes, side in zip(panels, ("item", "user"), strict=True):
        rows = [one for one in accuracy[side] if one["rmse"] is not None]
        values = [one["rmse"] for one in rows]
        bars = axes.bar(range(len(rows)), values, color=BLUE if side == "item" else GREEN)
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=2, fontsize=8)
        axes.set_xticks(
            range(len(rows)), [f"{one['training_ratings']}\n(n = {one['n']:,})" for one in rows], fontsize=8
        )
        axes.grid(visible=False, axis="x")
        axes.set(xlabel=f"training ratings of the {side}", ylabel="test RMSE", title=f"By {side}")
        axes.margins(y=0.12)
    return figure


def draw_rank_curve(curve: Numbers) -> Figure:
    """Draw the RMSE by number of factors."""
    figure, axes = new_figure()
    places = range(len(curve["rank"]))
    axes.plot(places, curve["validation_rmse"], color=RED, marker="o", label="validation")
    if all(value is not None for value in curve["train_rmse"]):
        axes.plot(places, curve["train_rmse"], color=BLUE, marker="s", linestyle="--", label="train")
    best = int(np.argmin(curve["validation_rmse"]))
    label = f"best: K = {curve['rank'][best]}, {curve['validation_rmse'][best]:.4f}"
    axes.scatter(
        [best], [curve["validation_rmse"][best]], s=120, facecolors="none", edgecolors=RED, label=label
    )
    axes.set_xticks(list(places), [str(rank) for rank in curve["rank"]])
    axes.legend(loc="best")
    axes.set(xlabel="number of factors, K", ylabel="RMSE, in ratings", title="RMSE by number of factors")
    return figure


def draw_grid(grid: Numbers) -> Figure:
    """Draw a heatmap for each facet, all on one scale of colours, the best trial in a frame."""
    facets, best = grid["facets"], grid["best"]
    figure, panels = new_figure(3.4 * len(facets) + 1.4, 3.6, columns=len(facets))
    matrices = [
        np.array([[np.nan if v is None else v for v in row] for row in one["rmse"]]) for one in facets
    ]
    low, high = (float(pick([pick(m[np.isfinite(m)]) for m in matrices])) for pick in (np.min, np.max))
    across, up = SYMBOLS.get(grid["across"], grid["across"]), SYMBOLS.get(grid["up"], grid["up"])
    for axes, one, matrix in zip(np.atleast_1d(panels), facets, matrices, strict=True):
        mesh = axes.imshow(matrix, cmap="viridis_r", vmin=low, vmax=high, origin="lower", aspect="auto")
        axes.set_xticks(range(len(grid["x"])), [f"{value:g}" for value in grid["x"]])
        axes.set_yticks(range(len(grid["y"])), [f"{value:g}" for value in grid["y"]])
        axes.grid(visible=False)
        _write_cells(axes, matrix, (low, high))
        if grid["facet"] is None or one["value"] == best[grid["facet"]]:
            corner = grid["x"].index(best[grid["across"]]) - 0.5, grid["y"].index(best[grid["up"]]) - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RED, linewidth=2.5, clip_on=False))
        axes.set(xlabel=across, ylabel=up, title="Validation RMSE")
        if grid["facet"] is not None:
            axes.set_title(f"{SYMBOLS.get(grid['facet'], grid['facet'])} = {one['value']:g}")
    figure.colorbar(mesh, ax=np.atleast_1d(panels).tolist(), label="validation RMSE")
    return figure


def _write_cells(axes: Axes, matrix: Float64, limits: tuple[float, float]) -> None:
    low, high = limits
    for (up, across), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            dark = high > low and (value - low) / (high - low) > 0.45
            colour = "white" if dark else "black"
            axes.text(across, up, f"{value:.4f}", ha="center", va="center", fontsize=7, color=colour)


def draw_speed(speed: Numbers) -> Figure:
    """Draw the seconds an epoch of each system, logarithmic."""
    systems = sorted(speed["systems"], key=lambda one: -one["seconds"])
    figure, axes = new_figure(8.0, 1.1 + 0.3 * len(systems))
    horizontal_bars(axes, [plain(one["name"], 32) for one in systems], [one["seconds"] for one in systems])
    axes.set_xscale("log")
    plain_decades(axes.xaxis)
    axes.set(xlabel="seconds an epoch", title="Seconds an epoch, logarithmic")
    return figure
