"""HTML page in one file: text, tables and figures, with everything from the data escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daskals.ratings.shown_text import in_html

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2329; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-top: 1px solid #dde1e4; padding-top: 1rem }
img { max-width: 100%; height: auto } figure { margin: 1rem 0 }
figcaption { color: #4a545c; font-size: .9rem } .missing { color: #5c6670; font-style: italic }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem } .wide { overflow-x: auto }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e6e9eb;
  vertical-align: top }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass
class Section:
    """A heading with what stands below it.

    Attributes
    ----------
    heading, text
        Title of the section; paragraphs of plain text.
    missing
        Why there is no figure, a clause; said in one line in its place.
    figures
        SVG files, each with its caption.
    columns, rows
        A table; numbers are set to the right, and so are the heads above them.
    folded
        The one line that stands in the section's place until it is opened; always open if empty.
    """

    heading: str
    text: Sequence[str] = ()
    missing: str | None = None
    figures: Sequence[tuple[Path, str]] = ()
    columns: Sequence[str] = ()
    rows: Iterable[Sequence[Any]] = field(default=())
    folded: str = ""


def write_page(path: Path, title: str, introduction: str, sections: Iterable[Section]) -> None:
    """Write a page that needs no other file and no network.

    Every text is escaped: a title from the data is shown as it is and is never markup.
    """
    body = "\n".join(_section(section) for section in sections)
    path.write_text(
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{in_html(title)}</title><style>{_CSS}</style></head>\n"
        f"<body><h1>{in_html(title)}</h1>\n<p>{in_html(introduction)}</p>\n{body}\n</body></html>\n",
        encoding="utf-8",
    )


def shown(value: Any, digits: int = 3) -> str:
    """Return a number as a reader wants it; anything else as text, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def _section(section: Section) -> str:
    heading = f"<h2>{in_html(section.heading)}</h2>"
    parts = [] if section.folded else [heading]
    parts += [f"<p>{in_html(line)}</p>" for line in section.text]
    if section.missing is not None:
        parts.append(f'<p class="missing">Not shown: {in_html(section.missing)}.</p>')
    parts += [_figure(path, caption) for path, caption in section.figures]
    if section.columns:
        parts.append(_table(section.columns, section.rows))
    body = "\n".join(parts)
    if not section.folded:
        return body
    return f"{heading}\n<details><summary>{in_html(section.folded)}</summary>\n{body}\n</details>"


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{in_html(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{in_html(caption)}</figcaption></figure>"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    rows = [list(row) for row in rows]
    kinds = [
        ' class="number"' if any(_is_number(row[place]) for row in rows) else ""
        for place in range(len(columns))
    ]
    head = "".join(f"<th{kind}>{in_html(name)}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    return (
        f'<td class="number">{shown(value)}</td>'
        if _is_number(value)
        else f"<td>{in_html(shown(value))}</td>"
    )
