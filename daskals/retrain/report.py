"""Report of a night for people: JSON, Markdown, and one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from daskals.ratings.shown_text import in_html, in_markdown
from daskals.retrain.night import Check, Outcome
from daskals.store.atomic_file import write_text_whole

_MEANING = {10: "trained, but refused", 20: "data refused"}
_NAMES = {
    "rmse": "RMSE",
    "cold_rmse": "RMSE of cold items",
    "ndcg": "NDCG@10",
    "recall": "recall@10",
    "reach": "reach (rated items listed)",
}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .8rem;border-bottom:1px solid #ddd;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#b00020}"
    "td:not(:last-child){white-space:nowrap}td:last-child{min-width:8rem}.name{display:inline-block;width:6rem}"
    ".wide{overflow-x:auto}th.n{text-align:right}"
    "@media(max-width:40rem){body{margin:1rem auto;overflow-wrap:anywhere}h1{font-size:1.4rem}"
    "th,td{padding:.25rem .6rem .25rem 0}.bar{max-width:40vw}}"
    ".bar{display:inline-block;height:.7rem;background:#4c78a8;vertical-align:middle}"
)


def write_reports(folder: Path, outcome: Outcome) -> None:
    """Write report.json, report.md and report.html, each whole; raise OutputError where they cannot be."""
    text = json.dumps(asdict(outcome), indent=2, allow_nan=False) + "\n"
    write_text_whole(folder / "report.json", text)
    write_text_whole(folder / "report.md", as_markdown(outcome))
    write_text_whole(folder / "report.html", as_html(outcome))


def as_markdown(outcome: Outcome) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# {headline(outcome)}",
        "",
        in_markdown(outcome.summary),
        "",
        f"- champion: {in_markdown(outcome.champion or 'none')}",
        f"- trained: {in_markdown(outcome.version or 'nothing')}",
        "",
    ]
    for title, header, rows in tables(outcome):
        lines += [f"## {title}", "", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
        lines += [f"| {' | '.join(map(in_markdown, row))} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def as_html(outcome: Outcome) -> str:
    """Return the report as one HTML page."""
    bad = ' class="bad"' if outcome.code else ""
    body = [
        f"<h1{bad}>{in_html(headline(outcome))}</h1>",
        f"<p>{in_html(outcome.summary)}</p>",
        f"<p>Champion: <b>{in_html(outcome.champion or 'none')}</b>. "
        f"Trained: {in_html(outcome.version or 'nothing')}.</p>",
    ]
    for title, header, rows in tables(outcome):
        kinds = [' class="n"' if any(is_number(row[k]) for row in rows) else "" for k in range(len(header))]
        head = "".join(f"<th{kind}>{in_html(cell)}</th>" for cell, kind in zip(header, kinds, strict=True))
        cells = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
        body.append(f'<h2>{in_html(title)}</h2><div class="wide"><table><tr>{head}</tr>{cells}</table></div>')
    body.append(_bars(outcome.figures))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Night of {in_html(outcome.as_of)}"
        f"</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def headline(outcome: Outcome) -> str:
    """Return how a night ended, in one line."""
    done = "promoted" if outcome.version else "nothing to promote"
    return f"Night of {outcome.as_of}: {_MEANING.get(outcome.code, done)} (code {outcome.code})"


class NightTable(NamedTuple):
    """A table of the report: its title, the names of its columns, and its cells, a list a row."""

    title: str
    header: list[str]
    rows: list[list[str]]


def tables(outcome: Outcome) -> Iterator[NightTable]:
    """Give the tables of a report that a night has figures for."""
    if outcome.checks:
        rows = [
            [check.name, _number(check.value), _limit(check), "yes" if check.passed else "NO", check.reason]
            for check in outcome.checks
        ]
        yield NightTable("Checks", ["what", "found", "limit", "passed", "why"], rows)
    models = [name for name in ("challenger", "champion") if name in outcome.figures]
    if models:
        known = [name for name in _NAMES if any(outcome.figures[one].get(name) is not None for one in models)]
        names = [name for name in outcome.figures["challenger"] if name in known]
        rows = [
            [_NAMES[name], *(_number(outcome.figures[model].get(name)) for model in models)] for name in names
        ]
        title = f"On the same {outcome.figures['n_held_out']:,} held-out latest ratings"
        yield NightTable(title, ["figure", *models], rows)
    trainings = [name for name in ("challenger_training", "final_training") if name in outcome.figures]
    if trainings:
        rows = [
            [
                name.replace("_", " "),
                f"{outcome.figures[name]['epochs']}",
                f"{outcome.figures[name]['seconds']:.2f}",
            ]
            for name in trainings
        ]
        yield NightTable("Training", ["", "epochs", "seconds"], rows)


def _bars(figures: dict[str, Any]) -> str:
    values = {
        name: figures[name]["rmse"]
        for name in ("challenger", "champion")
        if name in figures and figures[name]["rmse"] is not None
    }
    if not values:
        return ""
    most = max(values.values())
    bars = "".join(
        f'<div><span class="name">{name}</span>'
        f'<span class="bar" style="width:{300 * value / most:.0f}px"></span> {value:.4f}</div>'
        for name, value in values.items()
    )
    return f"<h2>RMSE</h2>{bars}"


def is_number(text: str) -> bool:
    """Tell whether a cell is a number, which is set to the right."""
    return text.replace(".", "", 1).replace("-", "", 1).replace(",", "").isdecimal()


def _cell(text: str) -> str:
    kind = ' class="n"' if is_number(text) else ' class="bad"' if text == "NO" else ""
    return f"<td{kind}>{in_html(text)}</td>"


def _limit(check: Check) -> str:
    if check.limit is None:
        return ""
    return f"{'at least' if check.at_least else 'at most'} {_number(check.limit)}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")
