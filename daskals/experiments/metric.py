"""What a search judges trials and epochs by: the validation RMSE, or the order of validation items."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from daskals.errors import ConfigError
from daskals.evaluation.figures import UserFigures, user_figures
from daskals.evaluation.ranking import RankingTask
from daskals.evaluation.scorers import Scorer
from daskals.types import FactorRows


class Metric(NamedTuple):
    """A figure of the validation part.

    Attributes
    ----------
    figure
        RMSE, or a mean over users with a relevant item, ordered by predicted rating.
    k
        Length of a list; 0 for the RMSE.
    """

    figure: Literal["rmse", "ndcg", "recall"] = "rmse"
    k: int = 0

    def __str__(self) -> str:
        return f"{self.figure}@{self.k}" if self.k else self.figure

    @property
    def key(self) -> str:
        """The figure's name in a record."""
        return f"validation_{self.figure}" + (f"_at_{self.k}" if self.k else "")

    def cost(self, record: Mapping[str, Any]) -> float | None:
        """Return what a search makes small; None for a trial that failed."""
        value = record.get(self.key)
        if value is None:
            return None
        return -float(value) if self.k else float(value)


RMSE = Metric()


def parse_metric(text: str) -> Metric:
    """Read `rmse`, `ndcg@10`, `recall@20` and the like; raise ConfigError for anything else."""
    found = re.fullmatch(r"(ndcg|recall)@([1-9]\d{0,6})", text.lower())
    if found is not None:
        return Metric(found[1], int(found[2]))  # type: ignore[arg-type]
    if text.lower() != "rmse":
        raise ConfigError(
            f"found {text!r}", where="--metric", expected="rmse, ndcg@K or recall@K, such as ndcg@10"
        )
    return RMSE


def order_figures(
    task: RankingTask, user_rows: FactorRows, item_rows: FactorRows, rank: int, ks: tuple[int, ...]
) -> list[UserFigures]:
    """Rank by predicted rating, and find each user's figures at several lengths.

    Parameters
    ----------
    task
        Users and what they like; its lists are as long as the longest of `ks`.
    user_rows, item_rows
        Factor rows of all users and items, float32, shape (rows, stride).
    rank
        Number of factors.
    ks
        Lengths of lists.
    """
    users, items = (rows[:, : max(rank, 1)] * (rank > 0) for rows in (user_rows, item_rows))
    scorer = Scorer(
        "rating",
        np.ascontiguousarray(users, np.float32),
        np.ascontiguousarray(items, np.float32),
        np.ascontiguousarray(item_rows[:, rank + 1]),
    )
    lists = scorer.best(task.users, task.seen, task.k)
    return [user_figures(np.ascontiguousarray(lists[:, :k]), task.relevant) for k in ks]
