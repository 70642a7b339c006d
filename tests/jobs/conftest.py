"""A few ratings as CSV, for the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """Two hundred ratings of distinct pairs."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(600)[:200]
    frame = pd.DataFrame(
        {
            "userId": pairs // 20,
            "movieId": pairs % 20,
            "rating": rng.integers(1, 11, 200) / 2,
            "timestamp": pairs,
        }
    )
    path = tmp_path / "ratings.csv"
    frame.to_csv(path, index=False)
    return path
