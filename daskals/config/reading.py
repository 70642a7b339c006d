"""Options of how ratings are read, and which of them train."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from daskals.config.section import Columns, ItemColumns, Numbers, Section


class ReadConfig(Section):
    """How ratings files are read."""

    columns: Columns | None = Field(
        None,
        description="Columns of the ratings file: user=NAME,item=NAME,rating=NAME[,timestamp=NAME]"
        "[,weight=NAME], a rating of weight 2 counting in training as the rating twice; without rating=NAME, "
        "or where no column is called like one, every row counts once for --model ials, or as its "
        "weight=NAME says, and rows of a pair add up.",
    )
    no_header: bool = Field(
        default=False,
        description="The first line is a rating; --columns then counts them, as 1,2,3 or user=2,….",
    )
    duplicates: Literal["last", "first", "mean", "sum", "error"] = Field(
        "last",
        description="What a (user, item) pair rated twice counts as: by time, else by place in the file. "
        "Rows of clicks add up in one reading; with sum, also with those that a store or a model has "
        "already, as counts of a day do.",
    )
    invalid: Literal["error", "drop"] = Field(
        "error", description="Stop at a bad row, or drop bad rows and count them by reason."
    )
    leave_out_ratings: Numbers = Field(
        (),
        description="Values that are no rating, such as -1,99: their rows are left out and counted. Of rows "
        "that were shown, 0 leaves those out that were not clicked.",
    )
    catalogue: str | None = Field(
        None, description="CSV or Parquet file of what the items are, instead of one beside the ratings."
    )
    catalogue_columns: ItemColumns | None = Field(
        None, description="Its columns: item=NAME[,title=NAME][,genres=NAME][,year=NAME]."
    )

    @property
    def takes_clicks(self) -> bool:
        """Whether rows without a rating are observations, as only a model of clicks takes them."""
        return getattr(self, "model", None) == "ials"


class ReadAsConfig(ReadConfig):
    """How ratings are read where no model is trained on them at once."""

    model: Literal["ials"] | None = Field(
        None, description="ials: rows without a rating are clicks or plays, which such a model trains on."
    )


class SplitConfig(Section):
    """Which ratings train, validate and test."""

    split: Literal["random", "per-user", "last", "time", "kfold", "none", "predefined", "users"] = Field(
        "random",
        description="Test ratings: a random share of all (paper 1), of every user's (paper 2), every user's "
        "latest, the latest of all, one fold of --folds, none, or the source's own (u1.base with u1.test; "
        "then the default); users: a share of the users does not train, 80 % of each folds in, 20 % tests.",
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
