"""A small set of ratings with a few heavy rows and some empty ones, as all benchmarks' tests use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daskals.bench.contract import Assignment
from daskals.bench.data import BenchData, open_split
from daskals.config import TrainConfig

N_USERS, N_ITEMS, N_RATINGS = 90, 60, 1_600
CONFIG = TrainConfig.parse({"model": "als", "rank": 3, "epochs": 2, "tau": 0.02, "seed": 3})


def write_ratings(file: Path) -> Path:
    """Write distinct pairs, popular items first, in the columns of MovieLens."""
    rng = np.random.default_rng(11)
    weights = np.outer(1 / np.arange(2, N_USERS + 2), 1 / np.arange(2, N_ITEMS + 2)).ravel()
    cells = rng.choice(N_USERS * N_ITEMS, N_RATINGS, replace=False, p=weights / weights.sum())
    quality = rng.normal(3.5, 0.7, N_ITEMS)
    lines = ["userId,movieId,rating,timestamp"]
    for number, cell in enumerate(cells):
        user, item = divmod(int(cell), N_ITEMS)
        rating = np.clip(np.round(2 * (quality[item] + rng.normal(0, 0.8))) / 2, 0.5, 5)
        lines.append(f"{user + 1},{7 * item + 3},{rating},{1_000 + number}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_movies(file: Path) -> Path:
    """Write a catalogue with two genres for the ratings beside it."""
    lines = ["movieId,title,genres"]
    lines += [
        f"{7 * item + 3},Title {item} (1990),{('Drama', 'Comedy|Drama')[item % 2]}" for item in range(N_ITEMS)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def load_small(file: Path) -> BenchData:
    """Load the set, split as paper 1 splits."""
    return BenchData(*open_split(str(file), CONFIG))


def assignment_for(data: BenchData, system: str, **changes: int) -> Assignment:
    """Return an assignment on the small set with two threads."""
    return Assignment(system, data.store.path, data.split.key, CONFIG, **{"threads": 2, **changes})
