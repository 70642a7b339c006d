"""Weights of an order that held-out training ratings choose: moved where that surely helps, else kept."""

from __future__ import annotations

import click
import click.testing
import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.fitting import order_choice
from daskals.fitting.fit import fit
from daskals.fitting.order import learn_order
from daskals.fitting.order_choice import FEWEST_USERS, choose_settings, hold_out
from daskals.fitting.order_data import gather_interactions
from daskals.model.order.learnt import OrderSettings
from daskals.types import RatingsBlock
from jobs._command import field_options, given

LIMITS = (0.5, 5.0)


def popular_only(n_users: int = 400, n_items: int = 60, seed: int = 0) -> RatingsBlock:
    """Return ratings, all liked, of people who choose by nothing but popularity."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / (1.0 + np.arange(n_items)) ** 0.8
    rows = [
        np.sort(rng.choice(n_items, 20, replace=False, p=weights / weights.sum())) for _ in range(n_users)
    ]
    indptr = np.arange(0, 20 * n_users + 1, 20)
    return RatingsBlock(
        0,
        indptr,
        np.concatenate(rows).astype(np.int32),
        np.full(20 * n_users, 4, np.float32),
        np.empty(0, np.float32),
    )


def choice_of(block: RatingsBlock, settings: OrderSettings):
    genres = np.zeros((60, 0))
    held = hold_out(block, np.ones(len(block.indices), np.float32), 60, seed=3)
    assert held is not None
    order = learn_order(gather_interactions(held.train, 60, genres, LIMITS, 0.5), settings, 0.0)
    return choose_settings(order, held, genres, LIMITS, order_choice.GRID)


def test_a_weight_moves_where_that_surely_helps():
    block = popular_only()
    start = OrderSettings(ridge=1.0, popularity_weight=0.0)
    found = choice_of(block, start)
    assert found.settings.popularity_weight > 0
    assert found.after > found.before
    assert found.settings == choice_of(block, start).settings
    assert found.section() == {"users": found.users, "before": found.before, "after": found.after}


@pytest.mark.parametrize("most_ratings", [order_choice.MOST_RATINGS, 1_500])
def test_the_default_chooses_of_few_ratings_and_of_many(monkeypatch, most_ratings):
    monkeypatch.setattr(order_choice, "MOST_RATINGS", most_ratings)
    rng = np.random.default_rng(5)
    users, popular = np.repeat(np.arange(2_000), 3), 1.0 / (1.0 + np.arange(600)) ** 0.9
    items = rng.choice(600, len(users), p=popular / popular.sum())  # of nothing but popularity
    frame = pd.DataFrame({"user": users, "item": items, "rating": np.where(users < 9, 1.0, 4.0 + items % 2)})
    frame = frame.drop_duplicates(["user", "item"])

    def weights(**given) -> dict:
        config = TrainConfig(model="als", rank=2, epochs=1, test_fraction=0.1, **given)
        return fit(frame, config).report["order"]

    default = OrderSettings().popularity_weight
    assert weights()["popularity_weight"] >= 1 > default
    assert weights(choose_order=False)["popularity_weight"] == default


@pytest.mark.parametrize(("flag", "said"), [("--choose-order", True), ("--no-choose-order", False)])
def test_a_command_can_choose_or_not(flag, said):
    @click.command()
    @field_options(TrainConfig, ["choose_order"])
    def main(**options):
        assert given(options) == {"choose_order": said}

    assert click.testing.CliRunner().invoke(main, [flag]).exception is None


def test_users_that_are_judged_together_are_no_matter(monkeypatch):
    block, start = popular_only(), OrderSettings(ridge=1.0, popularity_weight=0.0)
    one_by_one = choice_of(block, start)
    assert one_by_one.users > 1
    monkeypatch.setattr(order_choice, "TOGETHER", 7 * 60)
    assert choice_of(block, start) == one_by_one


def test_what_is_within_chance_is_left_alone(monkeypatch):
    monkeypatch.setattr(order_choice, "GRID", {"popularity_weight": (0.0100001, 0.0099999)})
    settings = OrderSettings(ridge=1.0)
    found = choice_of(popular_only(), settings)
    assert found.settings == settings
    assert found.after == found.before


def test_what_is_held_out_is_not_learnt_from():
    block = popular_only(n_users=700)
    liked = np.where(np.arange(len(block.indices)) % 2, 1.0, 0.0).astype(np.float32)
    held = hold_out(block, liked, 60, seed=3)
    owners = np.repeat(np.arange(block.n_rows), np.diff(held.train.indptr))
    train = set(zip(owners.tolist(), held.train.indices.tolist(), strict=True))
    wanted = np.repeat(held.users, np.diff(held.liked.indptr))
    found = set(zip(wanted.tolist(), held.liked.indices.tolist(), strict=True))
    assert found
    assert not found & train
    everything = np.repeat(np.arange(block.n_rows), 20)[liked == 1.0]
    assert found <= set(zip(everything.tolist(), block.indices[liked == 1.0].tolist(), strict=True))
    assert 0.05 < 1 - len(train) / len(block.indices) < 0.15


def test_too_few_people_keep_the_defaults():
    block = popular_only(n_users=FEWEST_USERS // 2)
    assert hold_out(block, np.ones(len(block.indices), np.float32), 60, seed=3) is None


def test_of_very_many_ratings_some_users_teach_and_all_who_are_judged(monkeypatch):
    block = popular_only()
    liked = np.ones(len(block.indices), np.float32)
    everybody = hold_out(block, liked, 60, seed=3)
    monkeypatch.setattr(order_choice, "MOST_RATINGS", len(block.indices) // 4)
    monkeypatch.setattr(order_choice, "FEWEST_USERS", 20)
    monkeypatch.setattr(order_choice, "MOST_USERS", 20)
    some = hold_out(block, liked, 60, seed=3)
    assert everybody is not None
    assert some is not None
    assert 100 <= some.train.n_rows <= 120
    assert len(some.users) == 20
    rows = everybody.users[np.linspace(0, len(everybody.users) - 1, 20).astype(int)]
    for user, row in zip(some.users, rows, strict=True):
        own, all_of_them = (
            held.train.indices[held.train.indptr[one] : held.train.indptr[one + 1]]
            for held, one in ((some, user), (everybody, row))
        )
        np.testing.assert_array_equal(own, all_of_them)
