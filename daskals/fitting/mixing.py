"""What a report tells of a chain's mixing: R-hat and effective sizes of noise, η, objective, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from daskals.model.samples import Samples
from daskals.training.events import EpochFinished
from daskals.training.gibbs.mixing import Mixing, mixing_of
from daskals.training.gibbs.step import Posterior
from daskals.types import Float64, Int64

MOST_R_HAT = 1.1
"""R-hat above which a quantity counts as not mixed, by one chain's halves."""

MOST_SHIFT = 0.01
"""Share of itself by which a quantity may differ between a chain's halves where predictions have settled.

R-hat counts in deviations of the posterior, and of a million ratings that of the noise is a thousandth: a
shift that no interval shows then counts as not mixed.
"""

N_PAIRS = 24
"""Predictions that are watched."""


def mixing_section(
    posterior: Posterior, samples: Samples, burn_in: int, counts: tuple[Int64, Int64]
) -> dict[str, Any]:
    """Judge the sweeps after the burn-in, and the kept samples' predictions of some pairs.

    Parameters
    ----------
    posterior, samples
        What the chain, or several, left, and the kept samples.
    burn_in
        Sweeps that count for nothing.
    counts
        Training ratings of each user, shape (users,), and of each item, shape (items,).

    Returns
    -------
    For each quantity `r_hat`, `ess_bulk`, `ess_tail` and `draws`, or None where there is nothing to judge; of
    the sweeps' also `shift`, by how much its mean over the second half is above that over the first, or of
    several chains the most that halves differ by, a share of that; of the predictions the median figures, and
    of all quantities the highest R-hat as `worst_r_hat`. Of several chains R-hat compares the halves of all,
    and `chains` is how many there are.
    """
    histories = [chain.history for chain in posterior.chains] or [posterior.trained.history]
    found: dict[str, Any] = {}
    for name, trace in _traces([history[burn_in:] for history in histories]).items():
        described = _described(mixing_of(trace))
        found[name] = None if described is None else {**described, "shift": shift_of(trace)}
    predicted = _predictions(samples, counts)
    by_chain = predicted.reshape(len(predicted), len(histories), -1)
    found["predictions"] = _typical([mixing_of(trace) for trace in by_chain])
    judged = [told["r_hat"] for told in found.values() if told is not None]
    several = {"chains": len(histories)} if posterior.chains else {}
    return {"mixing": {**found, "worst_r_hat": max(judged) if judged else None, **several}}


def mixing_notes(report: dict[str, Any]) -> list[str]:
    """Say, in one sentence, that a chain has not mixed, where its report says so."""
    told = report.get("mixing")
    if told is None:
        return []
    slow = {
        name: figures["r_hat"]
        for name, figures in told.items()
        if isinstance(figures, dict) and figures["r_hat"] > MOST_R_HAT
    }
    if not slow:
        return []
    whose, have, halves = "the chain", "has", "its halves"
    if "chains" in told:
        whose, have, halves = f"the {told['chains']} chains", "have", "their halves"
    predictions = told["predictions"]
    if predictions is not None and all(_matters_little(name, told[name]) for name in slow):
        shifts = [told[name]["shift"] for name in slow if "shift" in told[name]]
        by = f", by {100 * max(map(abs, shifts)):.1f} % at most between {halves}" if shifts else ""
        named = ", ".join(f"{name.replace('_', ' ')} ({value:.2f})" for name, value in slow.items())
        return [
            f"predictions have settled (R-hat {predictions['r_hat']:.2f}); {named} of {whose} not "
            f"yet{by}, which they hardly show"
        ]
    named = ", ".join(f"{value:.2f} of {name.replace('_', ' ')}" for name, value in slow.items())
    return [
        f"{whose} {have} not mixed: R-hat is {named} (mixed: at most {MOST_R_HAT}); more --sweeps and a "
        "longer --burn-in may change its figures"
    ]


def mixing_lines(report: dict[str, Any]) -> list[str]:
    """Say, in one line at most, how well a chain has mixed."""
    told = report.get("mixing")
    if told is None or told["worst_r_hat"] is None:
        return []
    over = f" over {told['chains']} chains" if "chains" in told else ""
    line = f"R-hat at most {told['worst_r_hat']:.2f}{over} (settled: up to {MOST_R_HAT})"
    sizes = [
        f"{told[name]['draws']} {what} count as {told[name]['ess_bulk']:.0f} independent ones"
        for name, what in (("noise", "sweeps of the noise"), ("predictions", "samples of a prediction"))
        if told[name] is not None
    ]
    return [line + (f"; as each is like the one before, {' and '.join(sizes)}" if sizes else "")]


def _matters_little(name: str, figures: dict[str, Any]) -> bool:
    """Tell whether a quantity that has not mixed is one that predictions which have settled hardly show."""
    if name == "predictions":
        return False
    return name.endswith("eta") or abs(figures.get("shift", 1.0)) <= MOST_SHIFT


def shift_of(traces: Float64) -> float:
    """Return by how much the mean over a trace's second half is above that over its first, a share of it.

    Parameters
    ----------
    traces
        One number a sweep of each chain, float64, shape (chains, sweeps). Of several chains it is the most
        that the means of two halves, of whichever chain, are apart.
    """
    half = traces.shape[1] // 2
    first, second = traces[:, :half].mean(axis=1), traces[:, -half:].mean(axis=1)
    apart = second[0] - first[0] if len(traces) == 1 else np.ptp(np.concatenate([first, second]))
    return float(apart) / max(abs(float(first[0])), 1e-300)


def _traces(kept: Sequence[tuple[EpochFinished, ...]]) -> dict[str, Float64]:
    """Return what each chain recorded of each quantity, shape (chains, sweeps)."""
    noise = [[1.0 / record.noise_precision for record in own if record.noise_precision] for own in kept]
    traces = {"noise": noise, "objective": [[record.objective for record in own] for own in kept]}
    for side in ("user", "item"):
        values = [
            [record.eta[side] for record in own if record.eta is not None and side in record.eta]
            for own in kept
        ]
        if len(values[0]) == len(kept[0]):
            traces[f"{side}_eta"] = values
    return {name: np.array(values) for name, values in traces.items()}


def _predictions(samples: Samples, counts: tuple[Int64, Int64]) -> Float64:
    """Return each sample's predictions of pairs of rows with ratings, shape (pairs, samples)."""
    rated = [np.flatnonzero(found > 0) for found in counts]
    if min(len(rows) for rows in rated) == 0:
        return np.empty((0, samples.n_samples))
    # evenly over the users, and by steps that no period of theirs meets over the items
    steps = np.arange(N_PAIRS)
    users = rated[0][steps * len(rated[0]) // N_PAIRS]
    items = rated[1][(steps * 0.6180339887498949 % 1.0 * len(rated[1])).astype(np.int64)]
    p, q = samples.users[users].astype(np.float64), samples.items[items].astype(np.float64)
    taste = np.sum(p[:, :, :-1] * q[:, :, :-1], axis=2)
    return np.asarray(samples.means + p[:, :, -1] + q[:, :, -1] + taste)


def _described(mixing: Mixing | None) -> dict[str, Any] | None:
    if mixing is None:
        return None
    return {
        "r_hat": mixing.r_hat,
        "ess_bulk": mixing.bulk,
        "ess_tail": mixing.tail,
        "draws": mixing.draws,
    }


def _typical(judged: list[Mixing | None]) -> dict[str, Any] | None:
    found = [mixing for mixing in judged if mixing is not None]
    if not found:
        return None
    # the median, so that one pair of many does not speak for all by chance
    return _described(
        Mixing(
            float(np.median([mixing.r_hat for mixing in found])),
            float(np.median([mixing.bulk for mixing in found])),
            float(np.median([mixing.tail for mixing in found])),
            found[0].draws,
        )
    )
