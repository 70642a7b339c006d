"""Paper 1's Figure 6: seconds an epoch of every system on a logarithmic scale."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from daskals.bench.epoch import Result
from daskals.bench.systems import REFERENCES
from daskals.errors import ConfigError

COLOURS = {"paper": "#8c8c8c", "peer": "#5b8db8", "daskals": "#d1495b"}
LABELS = {"paper": "paper 1's tiers", "peer": "comparable systems", "daskals": "daskals"}


def check_figure(path: Path | None) -> None:
    """Refuse, before any work, a figure that could not be drawn.

    Raises ConfigError if matplotlib is not installed, or does not know the file's format.
    """
    if path is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "matplotlib is not installed",
            where=f"--figure={path}",
            remedy="Install it with: pip install 'daskals[plots]'",
        )
    from matplotlib.backend_bases import FigureCanvasBase

    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in formats:
        raise ConfigError(
            f"found the suffix {path.suffix!r}",
            where=f"--figure={path}",
            expected="one of " + ", ".join(formats),
        )


def draw_figure(results: Sequence[Result], title: str, path: Path) -> None:
    """Draw the measured systems, slowest first, each with its seconds and its gain over the reference."""
    from matplotlib.figure import Figure

    bars = sorted((one for one in results if one["seconds"] is not None), key=lambda one: one["seconds"])
    figure = Figure(figsize=(8, 1 + 0.4 * max(len(bars), 1)), layout="constrained")
    axes = figure.subplots()
    for group, colour in COLOURS.items():
        places = [place for place, one in enumerate(bars) if one["group"] == group]
        if places:
            seconds = [bars[place]["seconds"] for place in places]
            axes.barh(places, seconds, color=colour, label=LABELS[group])
    for place, one in enumerate(bars):
        axes.text(one["seconds"], place, f"  {_label(one)}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [one["name"] for one in bars])
    axes.set_xscale("log")
    if bars:
        axes.set_xlim(bars[0]["seconds"] / 3, bars[-1]["seconds"] * 20)
        axes.legend(loc="lower right", fontsize=8)
    axes.set_xlabel("seconds an epoch")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=150)


def _label(result: Result) -> str:
    about = "≈ " if result["status"] == "extrapolated" else ""
    gain = result.get("times_as_fast")
    same = gain is None or result["name"] in REFERENCES
    return f"{about}{result['seconds']:,.3g} s" + ("" if same else f"  ({gain:,.3g}×)")
