"""The section of a training report on whether a sampler has mixed."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from daskals.analysis.missing import Numbers
from daskals.plots.page import Section
from daskals.plots.report_folder import ReportFolder
from daskals.plots.style import COLOURS, GREY, new_figure


def mixing_section(report: ReportFolder, numbers: Numbers) -> Section:
    """Make the section: a table of R-hat and effective sizes, and the noise of each chain by sweep."""
    return report.section(
        "Mixing",
        numbers,
        draw_noise,
        caption="Standard deviation of a rating about its prediction, as each chain drew it.",
        text=_text,
        columns=("Quantity", "R-hat", "ESS, bulk", "ESS, tail", "Draws"),
        rows=_rows,
    )


def _text(numbers: Numbers) -> list[str]:
    known = [one for one in numbers["chains"] if one["test_rmse_chain"] is not None]
    if not known:
        return []
    alone = ", ".join(f"{one['test_rmse_chain']:.4f}" for one in known)
    return [f"Test RMSE of each chain's mean prediction, alone: {alone}."]


def _rows(numbers: Numbers) -> list[tuple[Any, ...]]:
    return [
        (name.replace("_", " "), *(found[figure] for figure in ("r_hat", "ess_bulk", "ess_tail", "draws")))
        for name, found in numbers["quantities"].items()
    ]


def draw_noise(numbers: Numbers) -> Figure:
    """Draw the noise of each chain by sweep."""
    figure, axes = new_figure()
    for number, noise in enumerate(numbers["noise"]):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(range(1, len(noise) + 1), noise, color=colour, linewidth=1.0, label=f"chain {number + 1}")
    if numbers["burn_in"]:
        axes.axvline(numbers["burn_in"] + 0.5, color=GREY, linestyle=":", linewidth=1.2, label="burn-in ends")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right")
    axes.set(xlabel="sweep", ylabel="1/√α", title="Noise by sweep")
    return figure
