"""Ratings that arrive day by day, and quick options for nights."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from daskals.registry.registry import Registry
from daskals.retrain.config import RetrainConfig
from daskals.retrain.night import NightFolder
from daskals.retrain.run import run_night
from daskals.store.versions import is_store, list_versions

DAY = 86_400
START = 19_844  # 2024-05-01
QUICK = {
    "rank": 2, "epochs": 4, "warm_epochs": 2, "final_epochs": 1, "checkpoint_every": 1,
    "lambda": 1.0, "tau": 2.0, "gamma": 1.0, "dashboard_address": None, "threads_per_worker": 1,
    "max_rmse_loss": 0.2, "max_cold_rmse_loss": 0.5, "max_ndcg_loss": 0.5, "list_length": 3,
}  # fmt: skip


def date(day: int) -> str:
    """Return the date of a day, counted from 1."""
    return (pd.Timestamp("2024-04-30") + pd.Timedelta(days=day)).strftime("%Y-%m-%d")


def ratings_of_day(day: int, n: int = 240) -> pd.DataFrame:
    """Return a day's ratings: some old and some new users and items, tastes and popularity planted."""
    rng = np.random.default_rng(day)
    n_users, n_items = min(200, 30 + 8 * day), 24 + 2 * day
    cells = rng.permutation(n_users * n_items)[:n]
    users, items = cells // n_items, cells % n_items
    planted = np.random.default_rng(99)
    tastes, traits = planted.normal(size=(200, 2)), planted.normal(size=(200, 2))
    popularity = planted.normal(0, 0.8, 200)
    exact = 3.4 + popularity[items] + 0.4 * np.sum(tastes[users] * traits[items], axis=1)
    seconds = (START + day - 1) * DAY + np.sort(rng.integers(0, DAY, n))
    return pd.DataFrame(
        {
            "userId": users + 1,
            "movieId": items + 1,
            "rating": np.clip(np.round(2 * (exact + rng.normal(0, 0.3, n))) / 2, 0.5, 5.0),
            "timestamp": seconds,
        }
    )


def deliver(folder: Path, day: int, frame: pd.DataFrame | None = None) -> Path:
    """Put a day's file where the job finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ratings-{date(day)}.csv"
    (ratings_of_day(day) if frame is None else frame).to_csv(path, index=False)
    return path


def config_of(home: Path, day: int, **options: object) -> RetrainConfig:
    """Return the options of a night; ratings come from HOME/../incoming."""
    return RetrainConfig.parse(
        {**QUICK, "as_of": date(day), "data": home.parent / "incoming", "home": home, **options}
    )


def command(home: Path, day: int, **options: object) -> list[str]:
    """Return the same as arguments of `python -m jobs.retrain`."""
    values = {**QUICK, "as_of": date(day), "data": home.parent / "incoming", "home": home, **options}
    flags = [
        (f"--{name.replace('_', '-')}", "none" if value is None else str(value))
        for name, value in values.items()
    ]
    return [part for flag in flags for part in flag]


def two_nights(folder: Path) -> Path:
    """Make a home with two good nights below a folder, and a copy to restore it from."""
    home = folder / "job" / "home"
    for day in (1, 2):
        deliver(home.parent / "incoming", day)
        outcome, before = run_night(config_of(home, day))
        assert (outcome.code, before) == (0, False), outcome.summary
    shutil.copytree(home.parent, home.parent.with_name("kept"))
    return home


def restore(home: Path) -> Path:
    """Bring the home back to how it was after two nights, at the place that its reports name."""
    shutil.rmtree(home.parent)
    shutil.copytree(home.parent.with_name("kept"), home.parent)
    return home


def registry_of(home: Path) -> Registry:
    """Return the registry of a home."""
    return Registry(home / "registry")


def essence(home: Path, day: int) -> dict[str, object]:
    """Return what of a night does not depend on when and how often it was run."""
    outcome = asdict(NightFolder.of(home, date(day)).outcome())
    for name in ("challenger_training", "final_training"):
        outcome["figures"].get(name, {}).pop("seconds", None)
    registry = registry_of(home)
    registry.verify("champion")
    return {
        "outcome": outcome,
        "aliases": registry.aliases(),
        "history": [(e.number, e.action, e.alias, e.previous, e.version) for e in registry.history()],
        "versions": registry.ids(),
        "store": [one.content_hash for one in list_versions(home / "store")],
        "factors": registry.load().factors_sha256(),
    }


def check_whole(home: Path) -> None:
    """Assert that all versions of models and ratings can be read."""
    registry = registry_of(home)
    if registry.exists():
        for version in registry.ids():
            registry.verify(version)
        assert set(registry.aliases().values()) <= set(registry.ids())
    for store in list_versions(home / "store") if is_store(home / "store") else ():
        assert store.read("user", 0, store.n_users).block.n_rows == store.n_users
