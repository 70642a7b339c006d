"""Report folder: the numbers as JSON, the figures drawn from them, and the page that holds both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from daskals.analysis.missing import Numbers, is_missing
from daskals.plots.page import Section, write_page
from daskals.plots.style import save, styled

Draw = Callable[[Numbers], Figure]
Rows = Callable[[Numbers], Iterable[Sequence[Any]]]


class ReportFolder:
    """A folder that is there, being filled: NAME.json at once, then `figures/*.png` and `*.svg`, a page."""

    def __init__(self, folder: Path, name: str, numbers: Numbers) -> None:
        self.folder = folder
        self._figures = folder / "figures"
        self._figures.mkdir()
        text = json.dumps(numbers, indent=2, allow_nan=False, ensure_ascii=False)
        (folder / f"{name}.json").write_bytes(f"{text}\n".encode("utf-8", "replace"))

    def section(
        self,
        heading: str,
        numbers: Numbers,
        draw: Draw | None = None,
        *,
        caption: Callable[[Numbers], str] | str = "",
        text: Callable[[Numbers], Sequence[str]] | Sequence[str] = (),
        columns: Sequence[str] = (),
        rows: Rows | None = None,
    ) -> Section:
        """Make a section of numbers, or the line that says why they are missing.

        Parameters
        ----------
        heading
            Its title; the figure's file is named after it.
        numbers, draw
            What it shows; draws its figure, if it has one.
        caption, text
            Of the figure, and above it; functions are asked only where there are numbers.
        columns, rows
            Of the table, if it has one.
        """
        if is_missing(numbers):
            return Section(heading, missing=numbers["missing"])
        figures = []
        if draw is not None:
            with styled():
                path = save(draw(numbers), self._figures, slug(heading))
            figures.append((path, caption if isinstance(caption, str) else caption(numbers)))
        return Section(
            heading,
            text=text(numbers) if callable(text) else text,
            figures=figures,
            columns=columns,
            rows=() if rows is None else rows(numbers),
        )

    def write_page(self, title: str, introduction: str, sections: Iterable[Section]) -> None:
        """Write `report.html`."""
        write_page(self.folder / "report.html", title, introduction, sections)


def slug(heading: str) -> str:
    """Return the file name of a figure."""
    return heading.lower().replace(" ", "-").replace(",", "")
