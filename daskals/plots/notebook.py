"""Figures as notebooks show them: drawn by the same functions as the reports'."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.figure import Figure

from daskals.analysis.missing import Numbers, is_missing
from daskals.plots.report_folder import Draw
from daskals.plots.style import styled


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure as the last expression of a notebook's cell, or the line that says why there is none."""

    figure: Figure | None
    missing: str = ""

    def __repr__(self) -> str:
        return f"Not shown: {self.missing}." if self.figure is None else "Picture"

    def _repr_png_(self) -> bytes | None:
        if self.figure is None:
            return None
        image = io.BytesIO()
        with styled():
            self.figure.savefig(image, format="png")
        return image.getvalue()


def picture(draw: Draw, numbers: Numbers) -> Picture:
    """Draw numbers for a notebook by a `draw_…` function of `daskals.plots`."""
    if is_missing(numbers):
        return Picture(None, numbers["missing"])
    with styled():
        return Picture(draw(numbers))
