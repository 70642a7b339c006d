"""What of a run must be the same wherever and however often it ran."""

from __future__ import annotations

from daskals.model.fitted import Model


def outcome(model: Model) -> tuple[object, ...]:
    """Everything of a run that must not depend on where it ran."""
    report = model.report
    history = [
        (record["objective"], record["train_rmse"], record["validation_rmse"]) for record in report["history"]
    ]
    return report["factors_sha256"], report["train_rmse"], report["test_rmse"], report["test_mae"], history
