"""Plain twins of the compiled kernels: short, slow, and right by reading."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from daskals.kernels.half_step.gradients import UNRELAXED, Course
from daskals.kernels.toolkit.layout import empty_rows
from daskals.types import BlockStats, RatingsBlock, Ridge

# --- half-step (daskals.kernels.half_step.solve_rows) -------------------------------------------------------


def decode_ratings(block: RatingsBlock) -> np.ndarray:
    """Return a block's ratings as float64."""
    return (block.scale[block.values] if len(block.scale) else block.values).astype(np.float64)


def solve_rows(
    block: RatingsBlock,
    other: np.ndarray,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    solver: str = "joint",
    current: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> tuple[np.ndarray, BlockStats]:
    """Solve each row by NumPy in float64, as the objective is written."""
    solved = empty_rows(block.n_rows, rank)
    ratings = decode_ratings(block)
    sse = penalty = 0.0
    for row in range(block.n_rows):
        here = slice(block.indptr[row], block.indptr[row + 1])
        rows = other[block.indices[here]].astype(np.float64)
        q, b = rows[:, :rank], rows[:, rank + 1]
        y = ratings[here] - mean - b
        w = float(max(len(y), 1)) ** ridge.exponent
        m = np.zeros(rank + 1) if prior is None else prior[row].astype(np.float64)
        t = w * np.array([ridge.factors] * rank + [ridge.bias])
        if len(y) == 0:
            x = m
        elif solver == "joint":
            z = np.column_stack([q, np.ones(len(y))])
            x = np.linalg.solve(z.T @ z + np.diag(t), z.T @ y + t * m)
        else:
            p = current[row, :rank].astype(np.float64)
            bias = (np.sum(y - q @ p) + t[rank] * m[rank]) / (len(y) + t[rank])
            p = np.linalg.solve(q.T @ q + np.diag(t[:rank]), q.T @ (y - bias) + t[:rank] * m[:rank])
            x = np.append(p, bias)
        solved[row, :rank] = x[:rank]
        solved[row, rank + 1] = x[rank]
        sse += float(np.sum((y - q @ x[:rank] - x[rank]) ** 2))
        penalty += float(np.sum(t * (x - m) ** 2))
    return solved, BlockStats(sse, penalty)


def solve_slices(
    block: RatingsBlock,
    other: np.ndarray,
    current: np.ndarray,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    width: int = 32,
    weights: np.ndarray | None = None,
    counts: np.ndarray | None = None,
    shared: np.ndarray | None = None,
    biased: bool = True,
    prior: np.ndarray | None = None,
    sweeps: int = 1,
) -> tuple[np.ndarray, BlockStats]:
    """Improve each row slice by slice against the running residual, by NumPy in float64."""
    solved = empty_rows(block.n_rows, rank)
    ratings = decode_ratings(block)
    a = np.zeros((rank, rank)) if shared is None else shared
    sse = penalty = 0.0
    for row in range(block.n_rows):
        here = slice(block.indptr[row], block.indptr[row + 1])
        rows = other[block.indices[here]].astype(np.float64)
        z = np.column_stack([rows[:, :rank], np.ones(len(rows))])
        w = np.ones(len(rows)) if weights is None else weights[here].astype(np.float64)
        m = np.zeros(rank + 1) if prior is None else prior[row].astype(np.float64)
        x = m.copy()
        if len(rows):
            count = len(rows) if counts is None else counts[row]
            t = float(count) ** ridge.exponent * np.array([ridge.factors] * rank + [ridge.bias])
            x[:rank], x[rank] = current[row, :rank], current[row, rank + 1]
            e = ratings[here] - mean - rows[:, rank + 1] - z @ x
            for start in [min(k, rank - width) for k in range(0, rank, width)] * sweeps:
                s = [*range(start, start + width), *([rank] if biased else [])]
                system = (z[:, s] * w[:, None]).T @ z[:, s] + np.diag(t[s])
                system[:width, :width] += a[s[:width], s[0] : s[0] + width]
                right = z[:, s].T @ (w * e) - t[s] * (x[s] - m[s])
                right[:width] -= (a @ x[:rank])[s[:width]]
                step = np.linalg.solve(system, right)
                x[s] += step
                e -= z[:, s] @ step
            sse += float(np.sum(w * e**2) + x[:rank] @ a @ x[:rank])
            penalty += float(np.sum(t * (x - m) ** 2))
        solved[row, :rank], solved[row, rank + 1] = x[:rank], x[rank]
    return solved, BlockStats(sse, penalty)


def improve_by_gradients(
    block: RatingsBlock,
    other: np.ndarray,
    current: np.ndarray,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    weights: np.ndarray | None = None,
    counts: np.ndarray | None = None,
    share: float = 0.0,
    biased: bool = True,
    prior: np.ndarray | None = None,
    course: Course = UNRELAXED,
) -> tuple[np.ndarray, BlockStats]:
    """Take conjugate gradients of each row, preconditioned by dense matrices, by NumPy in float64."""
    solved, ratings, size = empty_rows(block.n_rows, rank), decode_ratings(block), rank + int(biased)
    everybody = np.column_stack([other[:, :rank].astype(np.float64), np.ones(len(other))])[:, :size]
    pooled, n_other = everybody.T @ everybody, np.count_nonzero(np.any(other[:, :rank] != 0, axis=1))
    plain_ridge = np.array([ridge.factors] * rank + [ridge.bias])
    sse = penalty = 0.0
    for row in range(block.n_rows):
        here = slice(block.indptr[row], block.indptr[row + 1])
        rows = other[block.indices[here]].astype(np.float64)
        z = np.column_stack([rows[:, :rank], np.ones(len(rows))])[:, :size]
        w = np.ones(len(rows)) if weights is None else weights[here].astype(np.float64)
        m = np.zeros(rank + 1) if prior is None else prior[row].astype(np.float64)
        x = m.copy()
        if len(rows):
            t = float(len(rows) if counts is None else counts[row]) ** ridge.exponent * plain_ridge
            x[:rank], x[rank] = current[row, :rank], current[row, rank + 1] if biased else 0.0
            y = ratings[here] - mean - rows[:, rank + 1]
            system = (z * w[:, None]).T @ z + share * pooled + np.diag(t[:size])
            right = z.T @ (w * y) + (t * m)[:size]
            nearly = (share + w.sum() / n_other) * pooled + np.diag(t[:size])
            along, before, begun = np.zeros(size), np.inf, x[:size].copy()
            for _ in range(course.steps):
                gradient = right - system @ x[:size]
                turned = np.linalg.solve(nearly, gradient)
                slope = gradient @ turned
                along, before = turned + slope / before * along, slope
                x[:size] += slope / (along @ system @ along) * along
            x[:size] = begun + course.relaxation * (x[:size] - begun)
            sse += float(np.sum(w * (y - z @ x[:size]) ** 2) + share * x[:size] @ pooled @ x[:size])
            penalty += float(np.sum((t * (x - m) ** 2)[:size]))
        solved[row, :rank], solved[row, rank + 1] = x[:rank], x[rank]
    return solved, BlockStats(sse, penalty)


# --- random numbers (daskals.kernels.toolkit.random) --------------------------------------------------------

MASK_64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def finalise(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK_64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK_64
    return value ^ (value >> 31)


def hashed_bits(seed, stream, row, column):
    key = finalise((finalise((seed + GOLDEN) & MASK_64) + stream * GOLDEN) & MASK_64)
    of_row = finalise(key ^ finalise((row + 1) * GOLDEN & MASK_64))
    return finalise((of_row + (column + 1) * GOLDEN) & MASK_64)


def hashed_uniform(seed, stream, row, column):
    return ((hashed_bits(seed, stream, row, column) >> 12) + 0.5) / 2**52


# --- sampling and planted ratings (daskals.kernels.data.sampling, daskals.kernels.data.planted) -------------


def alias_probabilities(accept, alias) -> np.ndarray:
    """Return the probability of each column under an alias table, by adding up the cells' shares."""
    shares = accept.astype(np.float64).copy()
    for cell, other in enumerate(alias):
        shares[other] += 1.0 - accept[cell]
    return shares / len(accept)


def draw_by_rejection(uniforms, accept, alias, n_drawn) -> list[int]:
    """Draw until n_drawn distinct columns are found; `uniforms` is a function of the attempt."""
    found: dict[int, None] = {}
    attempt = 0
    while len(found) < n_drawn:
        cell, share = divmod(uniforms(attempt) * len(accept), 1.0)
        found[int(cell) if share < accept[int(cell)] else int(alias[int(cell)])] = None
        attempt += 1
    return sorted(found)


def draw_by_race(uniforms, weights, n_drawn) -> list[int]:
    """Take the columns whose exponential clocks ring first."""
    arrivals = [-np.log(uniforms(column)) / weight for column, weight in enumerate(weights)]
    return sorted(np.argsort(arrivals)[:n_drawn].tolist())


def half_stars(mean, biases, factors, noise) -> list[float]:
    """Round planted ratings of one user: lists of (user, item) biases and factors, and the noise of each."""
    planted = [
        mean + bu + bi + float(p @ q) + e for (bu, bi), (p, q), e in zip(biases, factors, noise, strict=True)
    ]
    return [min(max(np.floor(2 * r + 0.5) / 2, 0.5), 5.0) for r in planted]


def session_times(seed, stream, user, n_ratings, span) -> list[int]:
    """Return one user's timestamps: arrival, a gap between sessions, and a place in one for each rating."""

    def below(column, limit):
        return (hashed_bits(seed, stream, user, column) >> 1) % limit

    n_sessions = 1 + n_ratings // 40
    arrival = span[0] + below(0, span[1] - span[0])
    gap = min((1 + below(1, 60)) * 86_400, (span[1] - arrival) // n_sessions)
    return [arrival + gap * below(2 + 2 * n, n_sessions) + below(3 + 2 * n, 5_400) for n in range(n_ratings)]


def number_by_first_appearance(columns, n_columns) -> list[int]:
    order = {column: number for number, column in enumerate(dict.fromkeys(columns.tolist()))}
    return [order.get(column, -1) for column in range(n_columns)]


# --- selection (daskals.kernels.scoring.topk) ---------------------------------------------------------------


def top_items(item_factors, offsets, user_factors, n, allowed=None, seen=None):
    """Score everything, sort whole rows by score, then by row, and cut; −1 and −∞ where too few are left."""
    items = np.full((len(user_factors), n), -1, np.int32)
    scores = np.full((len(user_factors), n), -np.inf, np.float32)
    for user, p in enumerate(user_factors):
        row = offsets.astype(np.float64) + item_factors.astype(np.float64) @ p.astype(np.float64)
        kept = np.ones(len(row), dtype=bool) if allowed is None else allowed.copy()
        if seen is not None:
            kept[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = False
        order = sorted(np.flatnonzero(kept), key=lambda i: (-row[i], i))[:n]
        items[user, : len(order)] = order
        scores[user, : len(order)] = row[order]
    return items, scores


def top_of_scores(scores, n, seen):
    """Sort each row of scores by score, then by item, without what is seen or has no score, and cut."""
    items = np.full((len(scores), n), -1, np.int32)
    best = np.full((len(scores), n), -np.inf, np.float32)
    for user, row in enumerate(scores):
        kept = [i for i in range(len(row)) if i not in set(seen[user].tolist()) and row[i] > -np.inf]
        order = sorted(kept, key=lambda i: (-row[i], i))[:n]
        items[user, : len(order)] = order
        best[user, : len(order)] = row[order]
    return items, best


# --- compressed rows (daskals.kernels.data.csr) -------------------------------------------------------------


def sort_into_rows(rows, columns, n_rows) -> tuple[list[int], list[int]]:
    """Return where rows start and the places of the ratings sorted by row, column and place."""
    order = sorted(range(len(rows)), key=lambda k: (rows[k], columns[k]))
    return [sum(row < start for row in rows) for start in range(n_rows + 1)], order


def repeated_pairs(users, items) -> list[list[int]]:
    """Return the places of each (user, item) pair that occurs more than once."""
    places: dict[tuple[int, int], list[int]] = {}
    for k, pair in enumerate(zip(users, items, strict=True)):
        places.setdefault(pair, []).append(k)
    return [group for group in places.values() if len(group) > 1]


def rows_of_part(starts, parts, part, indices, values) -> list[list[tuple[int, float]]]:
    """Return each row's (index, value) pairs in one part."""
    return [
        [(indices[k], values[k]) for k in range(starts[row], starts[row + 1]) if parts[k] == part]
        for row in range(len(starts) - 1)
    ]


# --- splits (daskals.kernels.data.parts, daskals.ratings.split) ---------------------------------------------


def exact_floor(fraction: float, count: int) -> int:
    """Return ⌊fraction·count⌋ of the fraction as it is written."""
    return int(Decimal(str(fraction)) * count)


def hold_out(method, fraction, candidates, *, row, positions, times, key) -> list[int]:
    """Return which candidates (places in one row) a rule holds out; `key` is (seed, stream)."""
    n = len(candidates)
    in_order = sorted(candidates, key=lambda k: positions[k])
    if method == "last":
        held = max(0, min(n - 1, max(1, exact_floor(fraction, n))))
        return sorted(in_order, key=lambda k: times[k])[n - held :]
    held = max(0, min(n - 1, exact_floor(fraction, n)))
    draws = {k: hashed_bits(*key, row, counter) for counter, k in enumerate(in_order)}
    return sorted(candidates, key=lambda k: draws[k])[:held]


# --- a third side (daskals.kernels.half_step.joined) ------------------------------------------------------


def join_rows(
    indices: np.ndarray, thirds: np.ndarray, first: np.ndarray, second: np.ndarray, rank: int
) -> np.ndarray:
    """Make one row of two for each rating, in float64: factors added up, the bias with their product."""
    joined = empty_rows(len(indices), rank)
    one, two = first[indices].astype(np.float64), second[thirds].astype(np.float64)
    joined[:, :rank] = one[:, :rank] + two[:, :rank]
    product = np.sum(one[:, :rank] * two[:, :rank], axis=1)
    joined[:, rank + 1] = one[:, rank + 1] + two[:, rank + 1] + product
    return joined
