"""Order of a person's list: by predicted rating, or by the papers' blends with popularity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daskals.config.arguments import is_number, shown
from daskals.errors import ConfigError


@dataclass(frozen=True)
class Scoring:
    """How much popularity counts beside taste.

    A score is c + w·b_i + p_u·q_i. Without options it is the predicted rating, w = 1 and c = μ + b_u
    (paper 1, Eq. 1).

    Attributes
    ----------
    alpha
        α of paper 2's Eq. 10, α(μ + b_i) + p_u·q_i: 0 is taste alone, 1 popularity in full.
    bias_weight
        w_b of paper 1's Eq. 9, μ + p_u·q_i + w_b·b_i.

    Raises
    ------
    ConfigError
        If both are given, or one is not a number from 0 up.
    """

    alpha: float | None = None
    bias_weight: float | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and self.bias_weight is not None:
            raise ConfigError(
                "found alpha and bias_weight together", where="scoring", expected="one of the two, or none"
            )
        for name, value in (("alpha", self.alpha), ("bias_weight", self.bias_weight)):
            if value is not None and not (is_number(value) and math.isfinite(value) and value >= 0):
                raise ConfigError(f"found {shown(value)}", where=name, expected="a number from 0 up")

    @property
    def item_weight(self) -> float:
        """Weight w of an item's bias."""
        if self.alpha is not None:
            return self.alpha
        return 1.0 if self.bias_weight is None else self.bias_weight

    def constant(self, mean: float, user_bias: float) -> float:
        """Return c, which all items of a person share."""
        if self.alpha is not None:
            return self.alpha * mean
        return mean + user_bias if self.bias_weight is None else mean
