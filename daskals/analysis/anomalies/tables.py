"""Parquet tables of what was found, and ratings cleaned of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from daskals.analysis.anomalies.find import LISTS, Anomalies
from daskals.analysis.missing import Numbers, is_missing
from daskals.errors import ConfigError
from daskals.model.stored_ratings import open_history, training_data
from daskals.ratings.shown_text import in_csv
from daskals.types import Float64, Side

FILTERS = ("shilling", "users", "shared")
"""Lists of users whose ratings `--filter` can leave out."""


def write_tables(found: Anomalies, numbers: Numbers, folder: Path) -> None:
    """Write `users.parquet`, `items.parquet`, `residuals.parquet` and `findings.parquet`.

    Every user and item has a line with all figures; null is what could not be decided.
    """
    rated, model = found.rated, found.model
    users: dict[str, Any] = {**_residual_columns(found, "user"), "n_sittings": found.sittings.per_user}
    for name in ("levels", "tastes", "shared"):
        if name in found.p_values:
            users[f"p_{name}"] = _nullable(found.p_values[name])
            users[f"flag_{name}"] = found.flagged[name]
    if found.sharing is not None:
        users["log_bayes_factor_shared"] = _nullable(found.sharing.gains)
    users["shilling_score"] = found.suspicion
    users["flag_shilling"] = found.flagged["shilling"]
    items: dict[str, Any] = _residual_columns(found, "item")
    if found.drift is not None:
        items["p_drift"] = _nullable(found.drift.p_values)
        items["flag_drift"] = found.flagged["drift"]
        items["drift"] = _nullable(found.drift.after - found.drift.before)
    pq.write_table(pa.table(users), folder / "users.parquet")
    pq.write_table(pa.table(items), folder / "items.parquet")
    residuals = {
        "user": model.user_ids.take(pa.array(rated.users)),
        "item": model.item_ids.take(pa.array(rated.items)),
        "rating": rated.values,
        "prediction": rated.predicted,
        "standardised": rated.standardised,
    }
    pq.write_table(pa.table(residuals), folder / "residuals.parquet")
    findings = [
        {"list": name, "id": str(row["id"]), **{key: row[key] for key in ("name", "p_value", "why")}}
        for name in LISTS
        if not is_missing(numbers[name])
        for row in numbers[name]["rows"]
    ]
    schema = pa.schema([(key, pa.string()) for key in ("list", "id", "name", "why")])
    schema = schema.insert(3, pa.field("p_value", pa.float64()))
    pq.write_table(pa.Table.from_pylist(findings, schema=schema), folder / "findings.parquet")


def _residual_columns(found: Anomalies, side: Side) -> dict[str, Any]:
    own = found.users if side == "user" else found.items
    return {
        side: found.model.user_ids if side == "user" else found.model.item_ids,
        "n_ratings": own.counts,
        "mean_residual": _nullable(own.means),
        "rms_residual": _nullable(np.sqrt(own.squares)),
        "p_residual": _nullable(own.p_values),
        "flag_residual": found.flagged[f"{side}s"],
    }


def _nullable(values: Float64) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def read_filters(text: str) -> tuple[str, ...]:
    """Read the lists that `--filter` names, with commas between.

    Raises ConfigError if one is none of `FILTERS`.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in FILTERS]
    if unknown or not names:
        raise ConfigError(
            f"found {unknown[0] if unknown else 'no list'!r}",
            where="--filter",
            expected=f"one or more of {', '.join(FILTERS)}, with commas between",
        )
    return names


def write_cleaned(found: Anomalies, names: tuple[str, ...], folder: Path) -> int:
    """Write `cleaned.csv`, all ratings but those of flagged users, and `removed.csv` with the reasons.

    All parts of the ratings are cleaned, not only what trained. Return how many ratings went.

    Raises StoreError if the ratings are gone.
    """
    data = training_data(found.model.report)
    store = open_history(data, "Restore it: the ratings are written from there")
    stored = store.read("user", 0, store.n_users, ("timestamps",) if store.has_timestamps else ())
    block = stored.block
    users = block.owners
    columns = {
        "user": store.user_ids.take(pa.array(users)),
        "item": store.item_ids.take(pa.array(block.indices)),
        "rating": pa.array(block.ratings),
    }
    if stored.timestamps is not None:
        columns["timestamp"] = pa.array(stored.timestamps)
    table = pa.table(columns)
    goes = np.any([found.flagged[name] for name in names if name in found.flagged], axis=0)
    reasons = np.array(
        [" and ".join(name for name in names if _flagged(found, name, user)) for user in range(store.n_users)]
    )
    gone = np.asarray(goes)[users]
    arrow_csv.write_csv(table.filter(pa.array(~gone)), folder / "cleaned.csv")
    removed = table.filter(pa.array(gone)).append_column(
        "reason", pa.array(reasons[users[gone]], pa.string())
    )
    # for people to look through; the ratings that stay are for programs, which look their ids up as they are
    for place, name in enumerate(("user", "item")):
        if pa.types.is_string(removed[name].type):
            removed = removed.set_column(place, name, pa.array(map(in_csv, removed[name].to_pylist())))
    arrow_csv.write_csv(removed, folder / "removed.csv")
    return int(gone.sum())


def _flagged(found: Anomalies, name: str, user: int) -> bool:
    return name in found.flagged and bool(found.flagged[name][user])
