"""Publication of a night: the model becomes a version, the champion moves, people get their lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.model.fitted import Model
from daskals.registry.registry import CHALLENGER, CHAMPION
from daskals.retrain.context import Context
from daskals.retrain.night import night_name
from daskals.retrain.training import CHALLENGER_FOLDER, FINAL_FOLDER
from daskals.serving.lists import ListRequest, recommend_all
from daskals.store.reader import RatingsStore


def publish(
    night: Context, model: Model, store: RatingsStore, figures: dict[str, Any], *, promotes: bool
) -> str:
    """Publish the night's model as challenger, and make it champion if it may be.

    Parameters
    ----------
    night, model, store
        The night, its model, and the ratings that it was trained on.
    figures, promotes
        What the promotion rule measured; whether the model may become champion.

    Returns
    -------
    str
        Its version: the same model of the same night is the same version.
    """
    night.check_lock()
    as_of = night.config.as_of
    data = {
        "as_of": as_of,
        "content_hash": store.content_hash,
        "store": store.path,
        "n_input": store.manifest.n_input,
        "n_users": store.n_users,
        "n_items": store.n_items,
        "n_ratings": store.n_ratings,
    }
    config = night.config.training(night.config.epochs).as_report()
    manifest = night.registry.publish(
        night.folder.path / (FINAL_FOLDER if promotes else CHALLENGER_FOLDER),
        name=night_name(as_of),
        identity={
            "as_of": as_of,
            "ratings": store.content_hash,
            "factors": model.factors_sha256(),
            "parent": night.begun.champion,
            "config": config,
        },
        parent=night.begun.champion,
        data=data,
        config=config,
        figures={**figures["challenger"], "judged": figures},
        aliases=(CHALLENGER,),
    )
    if promotes:
        _promote(night, manifest.id)
    return manifest.id


def recommend(night: Context, cluster: Cluster, store: RatingsStore) -> int:
    """Write lists for whom the options ask for; return the lines written."""
    folder = night.folder.path / FINAL_FOLDER
    rows = None
    if night.config.recommend == "changed":
        positions = store.read_column("user", "positions", 0, store.n_ratings)
        users = np.repeat(np.arange(store.n_users), np.diff(store.indptr("user")))
        rows = np.unique(users[positions >= night.begun.since])
    model = Model.load(folder)
    request = ListRequest(str(folder), model.list_version(), n=min(night.config.list_length, store.n_items))
    out = night.folder.path / "recommendations"
    return recommend_all(cluster, request, out, rows=rows, existing="replace", model=model)


def _promote(night: Context, version: str) -> None:
    """Move the champion, once: where somebody rolled back since, a rerun leaves it so."""
    history = night.registry.history()
    if not any(entry.alias == CHAMPION and entry.version == version for entry in history):
        night.registry.promote(
            version, expected=night.begun.champion, note=f"retrain as of {night.config.as_of}"
        )
