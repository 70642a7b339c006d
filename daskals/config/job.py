"""All options of a training job, and files of options."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from daskals.config.cluster import ClusterConfig
from daskals.config.training import TrainConfig
from daskals.errors import ConfigError


class JobConfig(TrainConfig, ClusterConfig):
    """All options of `python -m jobs.train`."""

    data: Path | None = Field(None, description="Ratings: a folder, a file or a store.")
    dataset: str | None = Field(None, description="Ratings by name: ml-latest-small … ml-32m, synthetic-1m …")
    store_url: str | None = Field(
        None,
        description="Store that all workers read, as s3://BUCKET/NAME or file:///FOLDER. With --data or "
        "--dataset those ratings are put there first, unless they are there already.",
    )
    out: Path | None = Field(None, description="Folder of the run; default: runs/<UTC time>-<model>.")
    overwrite: bool = Field(default=False, description="Replace the run that --out already holds.")
    checkpoint_every: int = Field(
        5, ge=1, description="Epochs between checkpoints in --out; the last epoch always makes one."
    )
    resume: bool = Field(
        default=False, description="Continue the run in --out from its last checkpoint, to the same bits."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Level of the log messages of the libraries underneath."
    )
    quiet: bool = Field(default=False, description="Print nothing but errors.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.data is not None and self.dataset is not None:
            raise ValueError("data: found together with dataset; expected one of the two")
        return self

    @model_validator(mode="after")
    def _store_url_is_one(self) -> Self:
        if self.store_url is not None and "://" not in self.store_url:
            raise ValueError(
                f"store_url: found {self.store_url!r}; expected an address such as s3://BUCKET/NAME (name a "
                "store in a folder with --data)"
            )
        return self

    @model_validator(mode="after")
    def _resumes_a_folder(self) -> Self:
        if self.resume and self.out is None:
            raise ValueError("resume: found without --out; expected the folder of the run to continue")
        if self.resume and self.overwrite:
            raise ValueError("resume: found together with --overwrite; expected one of the two")
        return self


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file of options; raise ConfigError where it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error})", where=str(path)) from None
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"is no valid {kind} ({error})", where=str(path)) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"holds a {type(values).__name__}", where=str(path), expected="option names with their values"
        )
    return {str(name).replace("-", "_"): value for name, value in values.items()}
