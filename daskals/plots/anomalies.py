"""Figures and page of a model's anomalies, drawn from their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from daskals.analysis.anomalies.find import Anomalies
from daskals.analysis.missing import Numbers, is_missing
from daskals.plots.page import Section, write_page
from daskals.plots.style import COLOURS, GREY, PALE, RED, new_figure, plain, save, styled

SHOWN = 50
"""Rows of a list on the page; Parquet has all."""
_PATHS = 5
HEADINGS = {
    "users": "Users the model does not understand",
    "items": "Items the model does not understand",
    "levels": "Users whose level moves",
    "tastes": "Users whose taste moves",
    "shared": "Accounts that people may share",
    "shilling": "Shilling: groups that push or nuke an item",
    "drift": "Drifting items",
}
_TESTS = {
    "users": "Mean squared standardised residuals, against how those of users with as many ratings scatter.",
    "items": "Mean squared standardised residuals, against how those of items with as many ratings scatter.",
    "levels": "CUSUM of residuals over sittings, by permutation of the sittings. Positive: rated higher than "
    "expected.",
    "tastes": "Partial sums of the scores of a person's regression over sittings, by permutation.",
    "shared": "Two profiles against one, each sitting of one profile; moods from sitting to sitting are "
    "allowed for as they occur among all users.",
    "shilling": "Profiles are compared with attacks and ranked; those who rate an item best or worst are "
    "compared with everybody.",
    "drift": "CUSUM of an item's residuals in order of time.",
}


def write_anomalies(found: Anomalies, numbers: Numbers, folder: Path, name: str) -> None:
    """Write `anomalies.json`, figures and `report.html` into a folder that is there."""
    text = json.dumps(numbers, indent=2, allow_nan=False)
    (folder / "anomalies.json").write_text(f"{text}\n", encoding="utf-8")
    figures = folder / "figures"
    figures.mkdir()
    summary = numbers["summary"]
    share = f"{100 * summary['level']:g} %"
    introduction = (
        f"{summary['n_ratings']:,} training ratings of {summary['n_items']:,} items by "
        f"{summary['n_users']:,} users. In every list at most {share} of what stands there are expected to "
        "be false alarms (Benjamini and Hochberg); on ratings drawn from the model itself, with nothing "
        f"wrong, a list has any entry in at most {share} of the draws. A finding is a reason to look, not a "
        "verdict. Nothing was removed from the ratings. All numbers stand in anomalies.json and the Parquet "
        "files."
    )
    sections = [_overview(numbers), _residuals(numbers, figures)]
    sections += [_list_section(numbers, one) for one in HEADINGS]
    paths = _drift_figure(found, numbers, figures)
    if paths is not None:
        sections[-1].figures = [paths]
    write_page(folder / "report.html", f"Anomalies of {name}", introduction, sections)


def _overview(numbers: Numbers) -> Section:
    rows = [
        (HEADINGS[one], *(numbers[one][key] for key in ("tested", "flagged", "undecided")))
        for one in HEADINGS
        if not is_missing(numbers[one])
    ]
    return Section("At a glance", columns=("List", "Tested", "Stand out", "Too little to decide"), rows=rows)


def _residuals(numbers: Numbers, figures: Path) -> Section:
    with styled():
        path = save(draw_residuals(numbers["residuals"]), figures, "residuals")
    summary = numbers["summary"]
    known = "the posterior's variance" if summary["posterior"] else "the leverages of the fit"
    text = [
        f"A rating lies about {summary['noise']:.3f} from what the model would say if it knew all else. "
        f"Residuals are standardised by that and by {known}."
    ]
    caption = "Standardised residuals of all training ratings, and the normal distribution (log scale)."
    return Section("Residuals", text=text, figures=[(path, caption)])


def draw_residuals(histogram: Numbers) -> Figure:
    """Draw the histogram of standardised residuals with the normal curve, counts on a logarithmic scale."""
    figure, axes = new_figure(7.5, 3.6)
    edges, counts = np.array(histogram["edges"]), np.array(histogram["counts"])
    axes.stairs(counts, edges, fill=True, color=PALE, label="ratings")
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    axes.plot(middles, counts.sum() * width * stats.norm.pdf(middles), color=RED, label="normal")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)
    axes.set(xlabel="standardised residual (ends: beyond ±6)", ylabel="ratings", title="Residuals")
    axes.legend()
    return figure


def _list_section(numbers: Numbers, name: str) -> Section:
    section, heading = numbers[name], HEADINGS[name]
    if is_missing(section):
        return Section(heading, missing=section["missing"])
    text = [
        _TESTS[name],
        f"{section['tested']:,} tested, {section['flagged']:,} stand out; {section['undecided']:,} cannot be "
        f"decided: {section['undecided_why']}.",
    ]
    rows: list[tuple[Any, ...]] = [
        (one["name"], one["n_ratings"], _short(one["p_value"]), one["why"]) for one in section["rows"][:SHOWN]
    ]
    if len(section["rows"]) > SHOWN:
        text.append(f"The first {SHOWN} are shown; findings.parquet has all.")
    who = "Target" if name == "shilling" else "Item" if name in ("items", "drift") else "User"
    columns = (who, "Ratings", "p", "Why") if rows else ()
    folded = "" if section["tested"] else f"None of {section['undecided']:,} can be decided: why"
    return Section(heading, text=text, columns=columns, rows=rows, folded=folded)


def _short(p_value: float) -> str:
    # a hyphen lets a narrow column break the number
    return f"{p_value:.1e}".replace("-", "\N{NON-BREAKING HYPHEN}")


def _drift_figure(found: Anomalies, numbers: Numbers, figures: Path) -> tuple[Path, str] | None:
    if is_missing(numbers["drift"]) or not numbers["drift"]["rows"]:
        return None
    assert found.drift is not None
    rows = np.flatnonzero(found.flagged["drift"])
    rows = rows[np.argsort(found.drift.p_values[rows], kind="stable")][:_PATHS]
    with styled():
        path = save(draw_drift(found, rows.tolist()), figures, "drift")
    return path, "Sums of residuals over an item's ratings in order of time: a level that holds goes nowhere."


def draw_drift(found: Anomalies, items: list[int]) -> Figure:
    """Draw the centred cumulative residuals of items."""
    assert found.rated.times is not None
    figure, axes = new_figure(8.0, 4.0)
    for colour, item in zip(COLOURS, items, strict=False):
        own = np.flatnonzero(found.rated.items == item)
        own = own[np.argsort(found.rated.times[own], kind="stable")]
        e = found.rated.residuals[own].astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(e - e.mean())])
        share = np.linspace(0, 100, len(sums))
        axes.plot(share, sums, color=colour, label=plain(found.model.item_name(item), 40))
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="% of the item's ratings, in order of time", ylabel="cumulative residual", title="Drift")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
