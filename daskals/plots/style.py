"""Style of figures and how they are written: PNG and SVG, the same bytes for the same numbers."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
"""Okabe and Ito's colours, told apart by people with any kind of colour vision."""
GREY = "#767676"
PALE = "#C9CED3"
SYMBOLS = {"rank": "K", "lambda": "λ", "gamma": "γ", "tau": "τ", "eta": "η"}
"""The papers' letters of hyperparameters."""
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "#000000")

_STYLE: Any = {
    "axes.edgecolor": "#444444",
    "axes.formatter.limits": (-3, 6),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "font.size": 9,
    "grid.color": "#E3E6E8",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "daskals",
}
_DPI = 150


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style within the block."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(
    width: float = 7.0, height: float = 4.2, columns: int = 1, rows: int = 1
) -> tuple[Figure, Any]:
    """Make a figure of one or more panels, sizes in inches; call it within `styled`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as NAME.png and NAME.svg; return the path of the SVG."""
    svg = folder / f"{name}.svg"
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # titles come in every script; what no font here has is drawn as a box
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it is laid out: each file would do it twice more
        figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return svg


def plain(text: object, limit: int = 44) -> str:
    """Return a title as a figure can show it: one line, no markup, at most `limit` characters."""
    line = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in str(text))
    line = " ".join(line.split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line.replace("\\", "\\\\").replace("$", r"\$")


LABEL_SIZE = 8
"""Points of the letters beside points of a picture."""


def label_points(axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Write a label beside each point, where it covers no label written before; else nowhere.

    The axes' scales and limits must be set. Labels come in order of importance.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()  # settles the layout, which decides where points lie
    pixel = figure.dpi / 72.0
    frame = axes.get_window_extent()
    dots = [tuple(axes.transData.transform(point)) for point in points]
    taken = [(x - 3 * pixel, y - 3 * pixel, x + 3 * pixel, y + 3 * pixel) for x, y in dots]
    for place, ((x, y), text) in enumerate(zip(dots, labels, strict=True)):
        width, height = 0.62 * LABEL_SIZE * len(text) * pixel, 1.25 * LABEL_SIZE * pixel
        gap = 5 * pixel
        corners = [
            (gap, -height / 2),
            (-gap - width, -height / 2),
            (-width / 2, gap),
            (-width / 2, -gap - height),
        ]
        corners += [(gap, gap), (gap, -gap - height), (-gap - width, gap), (-gap - width, -gap - height)]
        for across, up in corners:
            box = (x + across, y + up, x + across + width, y + up + height)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
            clear = all(_apart(box, other) for n, other in enumerate(taken) if n != place)
            if inside and clear:
                left, low = axes.transData.inverted().transform((box[0], box[1] + 0.2 * height))
                halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
                axes.text(left, low, text, fontsize=LABEL_SIZE, color="#222222", path_effects=halo, zorder=5)
                taken.append(box)
                break


def _apart(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def plain_decades(*axes: Axis) -> None:
    """Write the ticks of logarithmic axes as plain numbers, at 1, 2 and 5 where there are few decades.

    To be called once everything is drawn.
    """
    for axis in axes:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())


def thousands(axis: Axis) -> None:
    """Write the ticks of an axis as 12,000."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def horizontal_bars(axes: Axes, labels: list[str], values: list[float], colour: str = BLUE) -> None:
    """Draw labelled bars, the first one on top."""
    places = list(range(len(values)))
    axes.barh(places, values, color=colour)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
