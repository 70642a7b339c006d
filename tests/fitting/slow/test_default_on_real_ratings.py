"""The default model of ml-latest-small: its error, and whether its neighbours are about taste."""

from __future__ import annotations

import pytest

from daskals.analysis.geometry import describe_geometry
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.model.fitted import Model

LIKE_TOY_STORY = {
    "Toy Story 2 (1999)",
    "Toy Story 3 (2010)",
    "Bug's Life, A (1998)",
    "Aladdin (1992)",
    "Finding Nemo (2003)",
    "Monsters, Inc. (2001)",
    "Lion King, The (1994)",
}


def agreement(model: Model) -> float:
    """Return the share of nearest neighbours that have a genre in common."""
    return float(describe_geometry(model)["neighbours"]["agreement"])


@pytest.fixture(scope="module", params=[0.1, 0.2])
def default(request, latest_small, client) -> Model:
    return fit(latest_small, TrainConfig.parse({"test_fraction": request.param, "seed": 42}), client)


def test_the_default_is_as_good_as_the_table_says(default):
    assert default.report["test_rmse"] <= 0.820


def test_neighbours_of_the_default_are_liked_by_the_same_people(default, latest_small, client):
    nearest = default.similar_items("Toy Story (1995)", 5)["title"].tolist()
    assert len(set(nearest) & LIKE_TOY_STORY) >= 3, nearest
    plain = TrainConfig.parse({"model": "als", "epochs": 15, "test_fraction": 0.2})
    assert agreement(fit(latest_small, plain, client)) < agreement(default) < 0.9
