"""The configuration: frozen, validated, one name for a thing everywhere.

A field's name is the command-line flag (with dashes), the key in a configuration file and the key in
`report.json`; its description is the flag's help. `lambda` is a Python keyword, so that field is called
`lambda_` in code only.
"""

from __future__ import annotations

import json
import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from daskals.errors import ConfigError

if TYPE_CHECKING:
    from daskals.types import Ridge

MAX_RANK = 256


_ROLES = ("user", "item", "rating", "timestamp")


def _parse_columns(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [[piece.strip() for piece in part.split("=", 1)] for part in value.split(",")]
    roles = [pair[0] for pair in pairs]
    if len(set(roles)) < len(roles) or any(
        len(pair) < 2 or not pair[1] or pair[0] not in _ROLES for pair in pairs
    ):
        raise ValueError(f"found {value!r}; expected user=NAME,item=NAME,rating=NAME[,timestamp=NAME]")
    return {pair[0]: pair[1] for pair in pairs}


Columns = Annotated[dict[str, str], BeforeValidator(_parse_columns)]


def _parse_names(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(","))
    return () if names in {("",), ("none",)} else names


Names = Annotated[tuple[str, ...], BeforeValidator(_parse_names)]


_UNITS = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
}


def _parse_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    number = value.strip().rstrip(string.ascii_letters)
    unit = value.strip()[len(number) :].lower()
    try:
        return round(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ValueError(f"found {value!r}; expected a number of bytes such as 50MB or 2GiB") from None


Bytes = Annotated[int, BeforeValidator(_parse_bytes)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate `values`; raise ConfigError that names each bad option, its value and what fits."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _readable(error) from None

    @classmethod
    def from_report(cls, report: Mapping[str, Any], **changes: Any) -> Self:
        """Return what a report's `config` says of these options, with changes; it may hold others as well."""
        names = {field.alias or name for name, field in cls.model_fields.items()}
        known = {name: report[name] for name in names if report.get(name) is not None}
        return cls.parse({**known, **changes})

    def as_report(self) -> dict[str, Any]:
        """Return the fields under their public names, ready for JSON."""
        return self.model_dump(mode="json", by_alias=True)


class ReadConfig(_Section):
    """How ratings files are read."""

    columns: Columns | None = Field(
        None, description="Columns of the ratings file: user=NAME,item=NAME,rating=NAME[,timestamp=NAME]."
    )
    duplicates: Literal["last", "first", "mean", "error"] = Field(
        "last",
        description="What a (user, item) pair rated twice counts as: by time, else by place in the file.",
    )
    invalid: Literal["error", "drop"] = Field(
        "error", description="Stop at a bad row, or drop bad rows and count them by reason."
    )


class SplitConfig(_Section):
    """Which ratings train, validate and test."""

    split: Literal["random", "per-user", "last", "time", "kfold", "none", "predefined"] = Field(
        "random",
        description="Test ratings: a random share of all (paper 1), of every user's (paper 2), every user's "
        "latest, the latest of all, one fold of --folds, none, or the source's own (u1.base with u1.test; "
        "then the default).",
    )
    test_fraction: float = Field(0.1, gt=0, lt=1, description="Share of the ratings held out for the test.")
    validation_fraction: float = Field(
        0.0, ge=0, lt=1, description="Share of the remaining training ratings held out for validation."
    )
    folds: int = Field(10, ge=2, description="Number of folds for --split kfold.")
    fold: int | None = Field(
        None, ge=0, description="Fold that tests, from 0; without it all folds are run in turn."
    )
    split_seed: int | None = Field(None, ge=0, lt=2**32, description="Seed of the split; default: --seed.")

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold: found {self.fold}; expected at most {self.folds - 1} with {self.folds} folds"
            )
        return self


class ModelConfig(_Section):
    """What is trained. Everything here shapes the numbers."""

    seed: int = Field(42, ge=0, lt=2**32, description="Seed of the initial factors.")
    model: Literal["auto", "bias", "als", "hierarchical", "bayes"] = Field(
        "auto",
        description="Biases alone; biases and factors; the same drawn to what their features predict; the "
        "posterior of that by Gibbs sampling; auto: hierarchical where genres are known, else als.",
    )
    solver: Literal["joint", "coordinate"] = Field(
        "joint",
        description="Solve a row's factors and bias together, or in turn as the papers do (Eq. 7-8).",
    )
    damping: float = Field(
        1.0, gt=0, le=1, description="Step α of the bias model's updates (paper 1, Eq. 5)."
    )
    no_global_mean: bool = Field(
        default=False, description="Leave the global mean to the biases (paper 1, Eq. 3)."
    )
    rank: int = Field(20, ge=0, le=MAX_RANK, description="Number of factors, K.")
    lambda_: float = Field(0.002, gt=0, alias="lambda", description="Weight of the squared errors, λ.")
    gamma: float = Field(0.015, ge=0, description="Regularisation of the biases, γ.")
    tau: float = Field(0.05, ge=0, description="Regularisation of the factors, τ.")
    eta: float | None = Field(
        None, gt=0, description="Regularisation of the features' weights W, η; default: 5·λ."
    )
    reg_exponent: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Ridge scaling ν: a row with n ratings is held n^ν times as hard; 0 as in the papers, "
        "1 as in ALS-WR.",
    )
    item_features: Names | None = Field(
        None,
        description="What items' rows are drawn to: catalogue columns (genres, year …), implicit (who rated "
        "what), several with commas, or none; default: genres.",
    )
    user_features: Names | None = Field(
        None, description="The same for users; a catalogue column is the mean of what a user rated."
    )
    epochs: int = Field(50, ge=1, description="Passes over the ratings: a user and an item half-step each.")
    tol: float = Field(
        0.0, ge=0, description="Stop when an epoch lowers the objective by less than this share of it."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop when the validation RMSE has not fallen for this many epochs, then train on all of "
        "train for the best number of epochs; takes --validation-fraction.",
    )
    init_scale: float | Literal["paper2"] = Field(
        0.1, description="Standard deviation of the initial factors; paper2: 1/√K."
    )
    sweeps: int = Field(400, ge=2, description="Sweeps of the Gibbs sampler.")
    burn_in: int = Field(100, ge=0, description="Sweeps that are left out of the posterior.")
    keep_samples: int = Field(
        100, ge=1, description="Samples saved with a Bayesian model, evenly thinned after the burn-in."
    )
    likelihood: Literal["gaussian", "censored"] = Field(
        "gaussian",
        description="What the Gibbs sampler takes a rating for: the liking and noise, or that cut off at the "
        "ends of the scale, where the highest rating stands for all above it.",
    )
    warm_start: int = Field(10, ge=1, description="ALS epochs that the Gibbs sampler starts from.")

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if not isinstance(self.init_scale, str) and self.init_scale <= 0:
            raise ValueError(f"init_scale: found {self.init_scale}; expected a positive number or paper2")
        if self.damping != 1.0 and self.effective_rank:
            raise ValueError("damping: applies to the bias model only; add --model bias")
        if self.solver == "coordinate" and self.model in ("hierarchical", "bayes"):
            raise ValueError("solver: coordinate serves the models without features; add --model als")
        if self.model in ("bias", "als") and (self.item_features or self.user_features):
            raise ValueError(f"model: {self.model} has no features; add --model hierarchical")
        if self.likelihood == "censored" and self.model != "bayes":
            raise ValueError("likelihood: censored serves the Gibbs sampler; add --model bayes")
        if self.burn_in >= self.sweeps:
            raise ValueError(f"burn_in: found {self.burn_in}; expected fewer than the {self.sweeps} sweeps")
        return self

    @property
    def effective_rank(self) -> int:
        """Factors a row really has: 0 for the bias model."""
        return 0 if self.model == "bias" else self.rank

    @property
    def ridge(self) -> Ridge:
        """Regularisation relative to λ, as the kernels take it."""
        from daskals.types import Ridge  # not above: it brings NumPy, which no --help needs

        return Ridge(self.tau / self.lambda_, self.gamma / self.lambda_, self.reg_exponent)

    @property
    def relative_eta(self) -> float:
        """Regularisation of W relative to λ."""
        return 5.0 if self.eta is None else self.eta / self.lambda_

    @property
    def initial_deviation(self) -> float:
        """Standard deviation of the initial factors."""
        if isinstance(self.init_scale, str):
            return float(max(self.effective_rank, 1) ** -0.5)
        return self.init_scale


class TrainConfig(ModelConfig, SplitConfig, ReadConfig):
    """All that `daskals.fit` takes: reading, split and model."""

    monitor_test: bool = Field(
        default=False, description="Also report the test RMSE of every epoch (it decides nothing)."
    )

    @model_validator(mode="after")
    def _validates(self) -> Self:
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience: no ratings to validate on; add --validation-fraction")
        if self.patience is not None and self.model == "bayes":
            raise ValueError("patience: the Gibbs sampler has no epochs to choose; leave it out")
        return self


class ClusterConfig(_Section):
    """Where the work runs. Nothing here shapes the numbers."""

    workers: int = Field(1, ge=1, description="Worker processes; 1 keeps everything in this process.")
    threads_per_worker: int | None = Field(
        None, ge=1, description="Threads of each worker; default: the machine's cores shared out."
    )
    numba_threads: int = Field(
        1,
        ge=1,
        description="Threads inside a block, by the solver's Numba-parallel form; a worker then has one Dask "
        "thread. The same bits.",
    )
    cpu: Literal["avx512", "avx2", "x86-64", "generic"] | None = Field(
        None,
        description="CPU that kernels are compiled for, pinned for mixed machines; default: the best here.",
    )
    scheduler: str | None = Field(
        None,
        description="Address of a running Dask scheduler, tcp:// or tls://HOST:PORT, to use instead.",
    )
    tls_ca: Path | None = Field(None, description="Certificate authority's PEM file, for tls:// schedulers.")
    tls_cert: Path | None = Field(None, description="This client's certificate, a PEM file.")
    tls_key: Path | None = Field(None, description="This client's key, a PEM file.")
    ratings_memory: Bytes | None = Field(
        None,
        gt=0,
        description="Memory of each worker process for ratings, as 50MB or 2GiB; what does not fit is laid "
        "aside on its disk. Default: half of the machine's memory, shared out.",
    )
    dashboard_address: str | None = Field(
        "127.0.0.1:8787", description="Address of the Dask dashboard; 'none' for no dashboard."
    )

    @model_validator(mode="after")
    def _one_kind_of_threads(self) -> Self:
        if self.numba_threads > 1 and (self.threads_per_worker or 1) > 1:
            raise ValueError(
                f"numba_threads: found {self.numba_threads} with {self.threads_per_worker} Dask threads a "
                "worker; expected --threads-per-worker 1"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        files = {"tls_ca": self.tls_ca, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        missing = [name for name, file in files.items() if file is None]
        secure = (self.scheduler or "").startswith("tls://")
        if (secure and missing) or (not secure and len(missing) < len(files)):
            raise ValueError(
                f"scheduler: found {self.scheduler!r} with {3 - len(missing)} of --tls-ca, --tls-cert and "
                "--tls-key; expected all three with a tls:// address, and none without"
            )
        for name, file in files.items():
            if file is not None and not file.is_file():
                raise ValueError(f"{name}: found {str(file)!r}, which is no file; expected a PEM file")
        return self


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
    debug: bool = Field(default=False, description="Show tracebacks.")

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


def _readable(error: ValidationError) -> ConfigError:
    parts = []
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]).strip("_") if item["loc"] else ""
        if item["type"] == "value_error":
            text = str(item["ctx"]["error"])
            parts.append(f"--{name.replace('_', '-')}: {text}" if name else _flagged(text))
        elif item["type"] == "extra_forbidden":
            parts.append(f"--{name.replace('_', '-')}: there is no such option")
        else:
            expected = item["msg"].removeprefix("Input should be ")
            parts.append(f"--{name.replace('_', '-')}: found {item['input']!r}; expected {expected}")
    return ConfigError("; ".join(dict.fromkeys(parts)), remedy="See --help for all options")


def _flagged(text: str) -> str:
    name, _, rest = text.partition(":")
    return f"--{name.replace('_', '-')}:{rest}"
