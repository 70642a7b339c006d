"""Sentences with numbers for what was found."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa

from daskals.analysis.anomalies import levels, sharing, shilling, trends
from daskals.analysis.anomalies.find import NO_TIMES, Anomalies
from daskals.analysis.anomalies.trends import Moves
from daskals.analysis.missing import Numbers, missing
from daskals.types import Side


def describe_anomalies(found: Anomalies) -> Numbers:
    """Return all lists ready for JSON.

    Returns `summary`, `residuals` (a histogram), and for each of `LISTS` a section with `tested`,
    `undecided`, `undecided_why`, `flagged` and `rows` (each with `id`, `name`, `p_value`, `why`); a section
    that the data do not have says so under `missing`.
    """
    model, rated = found.model, found.rated
    return {
        "summary": {
            "level": found.level,
            "n_ratings": len(rated.items),
            "n_users": int(np.count_nonzero(np.diff(rated.indptr))),
            "n_items": int(np.count_nonzero(found.items.counts)),
            "noise": float(np.sqrt(rated.noise)),
            "posterior": model.samples is not None,
            "mood": found.tastes.prior.mood,
        },
        "residuals": _histogram(found),
        "users": _level_section(found, "user"),
        "items": _level_section(found, "item"),
        "levels": _moves_section(found, "levels", found.levels),
        "tastes": _moves_section(found, "tastes", found.user_tastes),
        "shared": _shared_section(found),
        "shilling": _shilling_section(found),
        "drift": _moves_section(found, "drift", found.drift),
    }


def _histogram(found: Anomalies) -> Numbers:
    edges = np.linspace(-6.0, 6.0, 61)
    counts, _ = np.histogram(np.clip(found.rated.standardised, -6.0, 6.0), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _section(found: Anomalies, name: str, why_not: str, rows: list[Numbers]) -> Numbers:
    p_values = found.p_values[name]
    return {
        "tested": int(np.count_nonzero(~np.isnan(p_values))),
        "undecided": int(np.count_nonzero(np.isnan(p_values) & _with_ratings(found, name))),
        "undecided_why": why_not,
        "flagged": len(rows),
        "rows": rows,
    }


def _with_ratings(found: Anomalies, name: str) -> Any:
    counts = found.items.counts if name in ("items", "drift") else found.users.counts
    return (np.tile(found.items.counts, 2) if name == "shilling" else counts) > 0


def _level_section(found: Anomalies, side: Side) -> Numbers:
    own = found.users if side == "user" else found.items
    name = f"{side}s"
    rows = []
    for row in _ordered(found, name):
        times = own.squares[row] / own.usual[row]
        rows.append(
            _row(
                found,
                side,
                row,
                own.p_values[row],
                f"The {own.counts[row]:,} ratings lie {np.sqrt(own.squares[row]):.2f} standard deviations "
                f"from what the model expects (root mean square), {times:.1f} times the usual variance of "
                f"{side}s with as many ratings; on average {own.means[row]:+.2f}.",
                mean=float(own.means[row]),
                rms=float(np.sqrt(own.squares[row])),
            )
        )
    return _section(found, name, f"fewer than {levels.LEAST_RATINGS} ratings", rows)


def _moves_section(found: Anomalies, name: str, moves: Moves | None) -> Numbers:
    if moves is None:
        return missing(NO_TIMES)
    side: Side = "item" if name == "drift" else "user"
    rows = []
    for row in _ordered(found, name):
        date = dt.datetime.fromtimestamp(int(moves.since[row]), dt.UTC).date().isoformat()
        change = f"{moves.before[row]:+.2f} before {date} and {moves.after[row]:+.2f} from then on"
        if name == "tastes":
            why = (
                f"What is liked changed over {moves.counts[row]:,} sittings, most around {date}; "
                f"ratings less expectation were {change}."
            )
        else:
            over = "ratings" if name == "drift" else "sittings"
            why = f"Over {moves.counts[row]:,} {over}, ratings less expectation were {change}."
        change_by = float(moves.after[row] - moves.before[row])
        rows.append(_row(found, side, row, moves.p_values[row], why, since=date, change=change_by))
    why_not = (
        f"fewer than {trends.LEAST_ITEM_RATINGS} ratings"
        if name == "drift"
        else f"fewer than {trends.LEAST_SITTINGS} sittings"
    )
    return _section(found, name, why_not, rows)


def _shared_section(found: Anomalies) -> Numbers:
    if found.sharing is None:
        return missing(f"{NO_TIMES}, and so no sittings of one person each")
    rows = []
    for row in _ordered(found, "shared"):
        first, second, turns = sharing.describe_profiles(
            found.rated, found.sittings, found.tastes, found.sharing, row
        )
        parts = [_profile_words(found, number, one) for number, one in ((1, first), (2, second))]
        ending = (
            f"They take turns {turns} times."
            if turns > 1
            else "One follows the other: it may be one person whose taste changed."
        )
        gain = float(found.sharing.gains[row])
        why = f"Two profiles explain the ratings at least e^{gain:.1f} times better than one. "
        why += " ".join([*parts, ending])
        rows.append(
            _row(found, "user", row, found.sharing.p_values[row], why, log_bayes_factor=gain, turns=turns)
        )
    why_not = (
        f"fewer than {sharing.LEAST_RATINGS} ratings, or all of them in one sitting "
        "(a sitting counts as one person's)"
    )
    return _section(found, "shared", why_not, rows)


def _profile_words(found: Anomalies, number: int, profile: sharing.Profile) -> str:
    names = "; ".join(found.model.item_name(int(item)) for item in profile.items)
    sittings = "sitting" if profile.n_sittings == 1 else "sittings"
    return f"Profile {number} ({profile.n_ratings:,} ratings in {profile.n_sittings:,} {sittings}): {names}."


def _shilling_section(found: Anomalies) -> Numbers:
    rows = []
    for group in found.groups:
        item = int(group.targets[0])
        kinds = np.bincount(found.profiles.kinds[group.direction][group.members], minlength=4)
        kind = shilling.KINDS[int(np.argmax(kinds))]
        end = "best" if group.direction == "push" else "worst"
        members = found.model.user_ids.take(pa.array(group.members)).to_pylist()
        others = [found.model.item_name(int(one)) for one in group.targets[1:6]]
        also = f" They do the same to {'; '.join(others)}." if others else ""
        why = (
            f"{len(members):,} profiles give it the {end} rating there is and look more like an attack "
            f"({kind}: {kinds.max():,} of them) than like a person's taste; those who rate it so would look "
            f"as much like it in one of {1 / max(group.p_value, 1e-300):.2g} cases by chance.{also}"
        )
        row = _row(found, "item", item, group.p_value, why, direction=group.direction, kind=kind)
        row["members"] = members
        rows.append(row)
    why_not = f"fewer than {shilling.LEAST_GROUP} ratings at that end of the scale"
    return _section(found, "shilling", why_not, rows)


def _ordered(found: Anomalies, name: str) -> list[int]:
    rows = np.flatnonzero(found.flagged[name])
    return [int(row) for row in rows[np.argsort(found.p_values[name][rows], kind="stable")]]


def _row(found: Anomalies, side: Side, row: int, p_value: float, why: str, **figures: Any) -> Numbers:
    model = found.model
    ids = model.user_ids if side == "user" else model.item_ids
    name = model.user_name(row) if side == "user" else model.item_name(row)
    counts = found.users.counts if side == "user" else found.items.counts
    return {
        "id": ids[row].as_py(),
        "name": name,
        "n_ratings": int(counts[row]),
        "p_value": float(p_value),
        "why": why,
        **figures,
    }
