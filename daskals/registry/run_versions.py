"""Training runs as versions of a registry, and what differs between two versions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daskals.config import ReadConfig
from daskals.evaluation.prediction_error import evaluate
from daskals.model.fitted import Model
from daskals.registry.manifest import Manifest
from daskals.registry.registry import Registry

FIGURES = ("train_rmse", "validation_rmse", "n_test", "test_rmse", "test_rmse_clipped", "test_mae")
DATA = ("content_hash", "n_users", "n_items", "n_ratings", "n_train", "split")


def publish_run(
    registry: Registry, run: Path, *, name: str = "model", aliases: Sequence[str] = ()
) -> Manifest:
    """Publish the model of a run; the same model on the same ratings is the same version.

    Raises ModelError if there is no whole model.
    """
    folder = run / "model" if (run / "model").is_dir() else run
    model = Model.load(folder)
    report = model.report
    data = {key: report["data"][key] for key in DATA if key in report.get("data", {})}
    return registry.publish(
        folder,
        name=name,
        identity={"factors": model.factors_sha256(), "data": data},
        data=data,
        config=report.get("config", {}),
        figures={key: report[key] for key in FIGURES if key in report},
        aliases=aliases,
    )


def publish_update(registry: Registry, model: Model, *, parent: str, aliases: Sequence[str] = ()) -> Manifest:
    """Publish a model that `Model.update` made of a version; the same update is the same version.

    Parameters
    ----------
    registry
        Where that version is.
    model, parent
        The updated model, and the id of the version.
    aliases
        As in `publish_run`.
    """
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        model.save(Path(folder) / "model")
        report = model.report
        data = {key: report["data"][key] for key in DATA if key in report.get("data", {})}
        identity = {"factors": model.factors_sha256(), "parent": parent, "updates": report["updates"]}
        return registry.publish(
            Path(folder) / "model",
            name="update",
            identity=identity,
            parent=parent,
            data={**data, "updates": report["updates"]},
            config=report.get("config", {}),
            aliases=aliases,
        )


def compare_versions(registry: Registry, first: str, second: str, data: str | None = None) -> dict[str, Any]:
    """Tell what differs between two versions, given by ids or aliases.

    Returns `versions`, and for `data`, `config` and `figures` what differs as [first, second]; `errors` on
    the given ratings, if any, by version.
    """
    manifests = [registry.manifest(ref) for ref in (first, second)]
    left, right = manifests
    result: dict[str, Any] = {
        "versions": [left.id, right.id],
        **{
            part: _differences(getattr(left, part), getattr(right, part))
            for part in ("data", "config", "figures")
        },
    }
    if data is not None:
        result["errors"] = {
            manifest.id: evaluate(registry.load(manifest.id), data, ReadConfig()) for manifest in manifests
        }
    return result


def _differences(left: dict[str, Any], right: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        key: [left.get(key), right.get(key)]
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    }
