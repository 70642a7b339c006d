"""The papers' dummy users on ml-latest-small: taste found from one film, and α that makes a difference."""

from __future__ import annotations

import pytest

from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.new_users import EXAMPLES

pytestmark = pytest.mark.usefixtures("no_baseline")

TUNED = {"model": "hierarchical", "rank": 20, "lambda": 1.0, "tau": 16.0, "gamma": 4.0, "epochs": 20}
"""The ridge with the lowest validation RMSE of paper 1's split among 18 (τ/λ, γ/λ and ν on a grid)."""
KNOWN = Filters(min_ratings=20)


@pytest.fixture(scope="module", params=[1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def model(request, latest_small, client) -> Model:
    config = {**TUNED, "split": "random", "test_fraction": 0.2, "split_seed": 42, "seed": request.param}
    return fit(resolve_store(latest_small), TrainConfig.parse(config), client=client)


@pytest.mark.long
def test_toy_story_alone_points_to_animation_and_children(model):
    person = model.fold_in({"Toy Story (1995)": 5})
    found = model.recommend(person, 10, alpha=0.05, filters=KNOWN)
    assert sum(bool({"Animation", "Children"} & set(genres)) for genres in found["genres"]) >= 8


def test_toy_story_2_is_near_toy_story(model):
    assert "Toy Story 2 (1999)" in set(model.similar_items("Toy Story (1995)", 10)["title"])


def test_alpha_gives_three_different_lists(model):
    person = model.fold_in(EXAMPLES["Three animations (Salako et al., section 4.2)"])
    lists = [
        set(model.recommend(person, 10, alpha=alpha, filters=KNOWN)["title"]) for alpha in (0.05, 0.5, 1.0)
    ]
    assert len(lists[0] - lists[1]) >= 2
    assert len(lists[1] - lists[2]) >= 2
    assert len(lists[0] - lists[2]) >= 4
