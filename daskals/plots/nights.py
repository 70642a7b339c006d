"""Figure of a simulation's nights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from daskals.plots.style import BLUE, GREY, ORANGE, PALE, RED, new_figure, styled

_ENDINGS = ((0, "promoted", BLUE), (10, "model refused", ORANGE), (20, "data refused", RED))
_DPI = 110


def plot_nights(result: dict[str, Any], path: Path) -> None:
    """Draw by night, as PNG: RMSE of champion and of training anew, what lies between, seconds of both."""
    nights = [night for night in result["nights"] if night["champion_rmse"] is not None]
    numbers = [night["night"] for night in nights]
    with styled():
        figure, (above, middle, below) = new_figure(8.0, 7.0, rows=3)
        above.plot(numbers, [night["cold_rmse"] for night in nights], color=PALE, lw=4, label="trained anew")
        above.plot(numbers, [night["champion_rmse"] for night in nights], color=BLUE, label="champion")
        above.set_ylabel("RMSE on the\nfollowing slice")
        above.legend(ncols=2)
        for code, label, colour in _ENDINGS:
            some = [night for night in nights if night["code"] == code]
            if some:
                losses = [night["champion_rmse"] / night["cold_rmse"] - 1 for night in some]
                middle.bar([night["night"] for night in some], losses, color=colour, label=label)
        middle.axhline(0.0, color=GREY, lw=0.8)
        low, high = result["ratio_low"] - 1, result["ratio_high"] - 1
        middle.axhspan(low, high, color=GREY, alpha=0.35, label="all nights, 95 %")
        middle.set_ylabel("champion's RMSE\nagainst trained anew")
        middle.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        middle.legend(ncols=4)
        below.plot(
            numbers, [night["cold_seconds"] for night in nights], color=PALE, lw=4, label="trained anew"
        )
        below.plot(numbers, [night["warm_seconds"] for night in nights], color=BLUE, label="the night's")
        below.set_ylabel("seconds of\ntraining")
        below.set_ylim(bottom=0)
        below.set_xlabel("night")
        below.legend(ncols=2)
        for panel in (above, middle, below):
            panel.set_xlim(numbers[0] - 1, numbers[-1] + 1)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            panel.yaxis.set_major_locator(MaxNLocator(5))
        figure.align_ylabels()
        figure.savefig(path, dpi=_DPI)
