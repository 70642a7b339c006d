"""`auto` and days, where later ratings test: what validates is later too, and days to come tell nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from daskals.config import TrainConfig
from daskals.fitting.fit import fit

DAY, START = 86_400, 1_000_000_000 // 86_400 * 86_400


def test_later_ratings_judge_where_later_ones_test(client):
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((80, 40)) < 0.5)
    days = rng.integers(0, 200, len(users))
    # the level of a day tells nothing of the next one's
    values = (
        5 + rng.normal(size=200)[days] + 0.5 * rng.normal(size=40)[items] + 0.4 * rng.normal(size=len(users))
    )
    frame = pd.DataFrame(
        {"user": users, "item": items, "rating": values.round(2), "timestamp": START + DAY * days}
    )
    asked = {"rank": 2, "item_features": "none", "order": "rating", "time_budget": 1e6, "test_fraction": 0.2}
    taken = {
        split: fit(frame, TrainConfig.parse({**asked, "split": split}), client).report["config"]["time_bins"]
        for split in ("time", "random")
    }
    assert taken == {"time": "none", "random": "day"}
