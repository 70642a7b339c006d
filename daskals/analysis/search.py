"""Search results in numbers: the curve over K and the grid in facets (paper 1, Fig. 7 and 8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from daskals.analysis.missing import Numbers, missing
from daskals.errors import DataError

AXES = ("rank", "lambda", "gamma", "tau", "eta")
"""Hyperparameters that are drawn, the first ones rather as facets, the last ones rather as axes."""
SCORE = "validation_rmse"


def read_trials(path: Path) -> pd.DataFrame:
    """Read a search's table of trials, Parquet or CSV: a row a trial, options by name, `validation_rmse`.

    Raises DataError if it cannot be read, or has no column `validation_rmse`.
    """
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as a table of trials ({error})", where=str(path), expected="Parquet or CSV"
        ) from None
    if SCORE not in table.columns:
        raise DataError(
            f"the column {SCORE} is missing; columns found: {', '.join(map(str, table.columns))}",
            where=str(path),
            expected="a row a trial, its options and its validation RMSE",
        )
    finite: pd.DataFrame = table[np.isfinite(pd.to_numeric(table[SCORE], errors="coerce"))]
    if finite.empty:
        raise DataError("no trial has a validation RMSE", where=str(path), expected="a finished search")
    return finite


def rank_curve(trials: pd.DataFrame) -> Numbers:
    """Return the best validation RMSE of each K, with the training RMSE of that trial."""
    if "rank" not in trials.columns or trials["rank"].nunique() < 2:
        return missing("the search tried one K only")
    best = trials.loc[trials.groupby("rank")[SCORE].idxmin()].sort_values("rank")
    train = best["train_rmse"].tolist() if "train_rmse" in best.columns else [None] * len(best)
    return {"rank": best["rank"].astype(int).tolist(), SCORE: best[SCORE].tolist(), "train_rmse": train}


def grid_facets(trials: pd.DataFrame) -> Numbers:
    """Return the validation RMSE over two hyperparameters, in facets of a third, the rest at the best trial.

    `across`, `up` and `facet` name them (the last None without a third), `x` and `y` are their values,
    `facets` a value and a matrix of RMSE each (rows by `y`, None where not tried).
    """
    varied = [name for name in AXES if name in trials.columns and trials[name].nunique() > 1]
    if len(varied) < 2:
        return missing("the search varied fewer than two hyperparameters")
    best = trials.sort_values(SCORE, kind="stable").iloc[0]
    across, up = varied[-1], varied[-2]
    facet = varied[-3] if len(varied) > 2 else None
    for name in varied[:-3]:
        trials = trials[trials[name] == best[name]]
    x, y = (sorted(trials[name].unique().tolist()) for name in (across, up))
    values = [None] if facet is None else sorted(trials[facet].unique().tolist())
    facets = []
    for value in values:
        part = trials if facet is None else trials[trials[facet] == value]
        scores = part.groupby([up, across])[SCORE].min()
        matrix = [[float(scores[(b, a)]) if (b, a) in scores.index else None for a in x] for b in y]
        facets.append({"value": value, "rmse": matrix})
    return {
        "across": across,
        "up": up,
        "facet": facet,
        "x": x,
        "y": y,
        "facets": facets,
        "fixed": {name: float(best[name]) for name in varied[:-3]},
        "best": {name: float(best[name]) for name in varied} | {SCORE: float(best[SCORE])},
    }
