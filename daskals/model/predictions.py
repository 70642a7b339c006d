"""What a model predicts of pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from daskals.types import Float32


class Predictions(NamedTuple):
    """Predicted ratings of pairs, and what of each pair the model knew.

    Attributes
    ----------
    rating
        float32, shape (pairs,), always finite, unclipped unless asked.
    known_user, known_item
        bool, shape (pairs,): whether the model trained on ratings of that user, of that item. What is not
        known adds nothing to the prediction beyond its prior.
    deviation
        float32, shape (pairs,): predictive standard deviation, of Bayesian models; None of others.
    """

    rating: Float32
    known_user: np.ndarray[Any, np.dtype[np.bool_]]
    known_item: np.ndarray[Any, np.dtype[np.bool_]]
    deviation: Float32 | None = None
