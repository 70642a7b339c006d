"""Options of the nightly retrain. They validate as all others do: names are flags, files and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, model_validator

from daskals.config import ClusterConfig, ModelConfig, ReadConfig, TrainConfig
from daskals.config.lists import ListConfig


class Limits(ReadConfig):
    """What incoming ratings must keep to, and by how much a challenger may be worse."""

    min_new_ratings: int = Field(1, ge=1, description="Fewer new ratings than this are refused.")
    max_dropped_share: float = Field(
        0.05, ge=0, le=1, description="Share of bad rows above which --invalid drop refuses all."
    )
    max_off_scale: float = Field(
        0.1, ge=0, le=1, description="Share of new ratings outside the range of those known."
    )
    max_mean_drift: float = Field(
        0.6,
        gt=0,
        description="Distance of the new ratings' mean from μ so far, beyond three standard errors.",
    )
    max_histogram_drift: float = Field(
        0.6,
        gt=0,
        description="Area between the cumulative histograms of new and known ratings, as far beyond chance.",
    )
    max_new_users: float = Field(1.0, ge=0, le=1, description="Share of new ratings by unknown users.")
    max_new_items: float = Field(0.6, ge=0, le=1, description="Share of new ratings of unknown items.")
    min_agreement: float = Field(
        0.15,
        ge=-1,
        le=1,
        description="Correlation that the champion's predictions of at least 200 new ratings must reach, "
        "each less its user's mean; shuffled ratings and foreign ids have none.",
    )
    max_rmse: float | None = Field(
        None, gt=0, description="RMSE on the held-out ratings above which no model is published."
    )
    min_reach: float = Field(
        0.0,
        ge=0,
        le=1,
        validation_alias=AliasChoices("min_reach", "min_coverage"),
        description="Share of the rated items that must be on somebody's list.",
    )
    max_rmse_loss: float = Field(
        0.01, ge=0, description="Share by which the RMSE may be above the champion's on the same ratings."
    )
    max_cold_rmse_loss: float = Field(
        0.05, ge=0, description="The same for items with fewer than --cold-ratings training ratings."
    )
    max_ndcg_loss: float = Field(
        0.02, ge=0, description="By how much NDCG@10 may be below the champion's, beyond chance."
    )
    cold_ratings: int = Field(5, ge=1, description="Training ratings below which an item counts as cold.")


class RetrainConfig(Limits, ModelConfig, ListConfig, ClusterConfig):
    """All options of `python -m jobs.retrain`."""

    as_of: str = Field(description="Date (until its end, UTC) or moment that the run is for.")
    data: Path = Field(description="Incoming ratings: a file, a MovieLens folder, or a folder of files.")
    home: Path = Field(Path("nightly"), description="Folder of the store and the nights' reports.")
    registry: str | None = Field(
        None, description="Registry, a folder or s3://BUCKET/PREFIX; default: HOME/registry."
    )
    warm_epochs: int = Field(5, ge=1, description="Epochs from the champion's factors.")
    final_epochs: int = Field(
        2, ge=0, description="Epochs on all ratings before publication; 0 publishes what was judged."
    )
    holdout: float = Field(
        0.2, gt=0, lt=1, description="Share of each user's new ratings, the latest, that judges."
    )
    recommend: Literal["changed", "all", "none"] = Field(
        "changed", description="Whom to make lists for: who rated since the last run, all, or nobody."
    )
    list_length: int = Field(10, ge=1, description="Length of a list.")
    checkpoint_every: int = Field(5, ge=1, description="Epochs between checkpoints.")
    keep_versions: int | None = Field(None, ge=2, description="Versions of the store to keep; default: all.")

    @model_validator(mode="after")
    def _can_start_warm(self) -> Self:
        if self.model == "ials" and self.max_rmse is not None:
            raise ValueError("max_rmse: ials predicts no rating whose error could be limited; leave it out")
        if self.model == "bayes":
            raise ValueError("model: found bayes, which has no factors to start from; expected another")
        return self

    @property
    def registry_url(self) -> str:
        """Where the registry is."""
        return self.registry or str(self.home / "registry")

    def training(self, epochs: int) -> TrainConfig:
        """Return the configuration of one training."""
        fields = {*ModelConfig.model_fields, *ReadConfig.model_fields, *ListConfig.model_fields}
        values = self.model_dump(include=fields)
        return TrainConfig.parse({**values, "split": "none", "epochs": epochs})
