"""Options of a benchmark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from daskals.config import TrainConfig
from daskals.config.training import Rank

DEFAULT_DATASET = "synthetic-1m"

_OWN = ("data", "dataset", "threads", "cpu")


class BenchConfig(TrainConfig):
    """What every benchmark takes: the ratings, the model's settings and the machine's threads."""

    data: Path | None = Field(None, description="Ratings: a folder, a file or a store.")
    dataset: str | None = Field(
        None, description=f"Ratings by name, ml-latest-small … synthetic-32m; default: {DEFAULT_DATASET}."
    )
    rank: Rank = Field(20, ge=1, description="Number of factors, K.")
    epochs: int = Field(5, ge=1, description="Measured epochs, or passes; their median counts.")
    threads: int | None = Field(
        None, ge=1, description="Threads of each system; all cores unless a default follows."
    )
    cpu: str | None = Field(
        None,
        description="CPU that kernels are compiled for: avx512, avx2, x86-64, generic; default: the host.",
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Measure plain ALS, as all systems can do it: ranks go as far as that does."""
        return {"model": "als", **values}

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        if self.data is not None and self.dataset is not None:
            raise ValueError("data: found together with dataset; expected one of the two")
        cores = machine_cores()
        if self.threads is not None and self.threads > cores:
            raise ValueError(f"threads: found {self.threads}; expected at most this machine's {cores} cores")
        return self

    @property
    def source(self) -> str:
        """The ratings' path or name."""
        return str(self.data) if self.data is not None else self.dataset or DEFAULT_DATASET

    @property
    def n_threads(self) -> int:
        """Threads each system may use."""
        return self.threads or machine_cores()

    def training(self) -> TrainConfig:
        """Return the training options alone."""
        values = self.model_dump(by_alias=True, exclude_unset=True, exclude=set(_OWN))
        return TrainConfig.parse({**values, "epochs": self.epochs, "rank": self.rank})


def machine_cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
