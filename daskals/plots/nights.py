"""The nights of a simulation as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daskals.plots.style import BLUE, GREY, ORANGE, RED, new_figure, styled

_ENDINGS = ((0, "promoted", BLUE), (10, "model refused", ORANGE), (20, "data refused", RED))


def plot_nights(result: dict[str, Any], path: Path) -> None:
    """Draw RMSE of champion and of training anew by night, and the seconds that both took, as PNG."""
    nights = [night for night in result["nights"] if night["champion_rmse"] is not None]
    numbers = [night["night"] for night in nights]
    with styled():
        figure, (above, below) = new_figure(8.0, 6.0, rows=2)
        above.plot(numbers, [night["cold_rmse"] for night in nights], color=GREY, label="trained anew")
        above.plot(numbers, [night["champion_rmse"] for night in nights], color=BLUE, label="champion")
        for code, label, colour in _ENDINGS:
            some = [night for night in nights if night["code"] == code]
            if some:
                above.scatter(
                    [night["night"] for night in some],
                    [night["champion_rmse"] for night in some],
                    color=colour,
                    label=label,
                    zorder=3,
                )
        above.set_ylabel("RMSE on the following slice")
        above.legend(ncols=3)
        below.plot(numbers, [night["cold_seconds"] for night in nights], color=GREY)
        below.plot(numbers, [night["warm_seconds"] for night in nights], color=BLUE)
        below.set_ylabel("seconds of training")
        below.set_xlabel("night")
        figure.savefig(path)
