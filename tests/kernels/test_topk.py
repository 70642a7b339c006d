"""The selection kernel against a full sort, ties and all, and every way its input can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.errors import ConfigError, DataError
from daskals.kernels.scoring.score_tiles import (
    SHAPE,
    _plain_lowest_bit,
    _plain_tile,
    lowest_bit,
    score_tile,
    tile_shape,
)
from daskals.kernels.scoring.topk import BLOCK_GROUPS, SeenItems, pack_items, top_items
from daskals.kernels.toolkit.jit import numba
from daskals.kernels.toolkit.target import TARGETS
from tests.cases import naive


def make_seen(rng, n_users, n_items, most):
    rows = [rng.permutation(n_items)[: rng.integers(0, most + 1)] for _ in range(n_users)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return SeenItems(indptr, np.concatenate([np.empty(0), *rows]).astype(np.int32))


@st.composite
def cases(draw):
    """Small whole numbers, so that float32 sums are exact and equal scores are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_users, n_items, rank = draw(st.integers(0, 60)), draw(st.integers(1, 300)), draw(st.integers(0, 20))
    spread = draw(st.integers(1, 3))
    factors, offsets, users = (
        rng.integers(-spread, spread + 1, shape).astype(np.float32)
        for shape in ((n_items, rank), n_items, (n_users, rank))
    )
    allowed = rng.random(n_items) < 0.6 if draw(st.booleans()) else None
    seen = make_seen(rng, n_users, n_items, draw(st.integers(0, n_items))) if draw(st.booleans()) else None
    return factors, offsets, users, draw(st.integers(1, 40)), allowed, seen


@given(cases())
@settings(max_examples=80)
def test_top_items__equals_a_full_sort_with_ties(case):
    factors, offsets, users, n, allowed, seen = case
    found = top_items(pack_items(factors, offsets, allowed), users, n, seen)
    items, scores = naive.top_items(factors, offsets, users, n, allowed, seen)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.long
def test_top_items__equals_a_full_sort_of_real_numbers_over_many_stretches():
    rng = np.random.default_rng(3)
    factors, users = (
        rng.normal(0, 0.3, (n, 20)).astype(np.float32) for n in (7001, 2 * BLOCK_GROUPS * 6 + 5)
    )
    offsets = rng.normal(0, 0.4, 7001).astype(np.float32)
    seen = make_seen(rng, len(users), 7001, 900)
    found = top_items(pack_items(factors, offsets), users, 25, seen)
    items, scores = naive.top_items(factors, offsets, users, 25, None, seen)
    np.testing.assert_allclose(found.scores, scores, atol=2e-6)
    assert np.mean(found.items == items) > 0.999  # neighbours within a rounding error may change places


def test_top_items__a_user_alone_gets_what_he_gets_in_company():
    rng = np.random.default_rng(4)
    factors, users = (rng.normal(0, 0.3, (n, 7)).astype(np.float32) for n in (500, 101))
    items = pack_items(factors, np.zeros(500, np.float32))
    together = top_items(items, users, 12)
    for user in (0, 5, 47, 48, 100):
        alone = top_items(items, users[user : user + 1], 12)
        np.testing.assert_array_equal(alone.items[0], together.items[user])
        np.testing.assert_array_equal(alone.scores[0], together.scores[user])


def test_top_items__all_scores_equal_gives_the_first_rows():
    items = pack_items(np.zeros((300, 4), np.float32), np.ones(300, np.float32))
    found = top_items(
        items,
        np.ones((3, 4), np.float32),
        5,
        SeenItems(np.array([0, 2, 2, 3]), np.array([0, 2, 4], np.int32)),
    )
    assert found.items.tolist() == [[1, 3, 4, 5, 6], [0, 1, 2, 3, 4], [0, 1, 2, 3, 5]]


def test_top_items__gives_fewer_where_fewer_are_left():
    items = pack_items(
        np.zeros((3, 1), np.float32), np.array([1, 3, 2], np.float32), np.array([True, False, True])
    )
    found = top_items(items, np.zeros((1, 1), np.float32), 4)
    assert found.items.tolist() == [[2, 0, -1, -1]]
    assert found.scores.tolist() == [[2.0, 1.0, -np.inf, -np.inf]]
    nothing = pack_items(np.zeros((3, 1), np.float32), np.zeros(3, np.float32), np.zeros(3, dtype=bool))
    assert top_items(nothing, np.zeros((1, 1), np.float32), 1).items.tolist() == [[-1]]


def test_score_tile__agrees_with_its_plain_form():
    rng = np.random.default_rng(5)
    rank, users, width = 9, SHAPE.users, SHAPE.width
    panels = rng.integers(-3, 4, 2 * (rank + 1) * width).astype(np.float32)
    factors = rng.integers(-3, 4, 3 * rank * users).astype(np.float32)
    thresholds = np.array([-np.inf, 40, np.inf, 15, 25, np.nan] * 2, np.float32)
    results = []
    for tile in (score_tile_through_jit(), _plain_tile):
        scores, masks = np.zeros(users * width, np.float32), np.zeros(users, np.uint64)
        place = ((rank + 1) * width, factors, 2 * rank * users, rank)
        hits = tile(panels, *place, thresholds, users, scores, masks)
        results.append((hits, scores.tolist(), masks.tolist()))
    assert results[0] == results[1]
    hits, _, masks = results[0]
    assert hits & 1
    assert masks[0] == 2**width - 1
    assert not hits & 0b100100


def score_tile_through_jit():
    @numba.njit
    def tile(panels, panel, users, user, rank, thresholds, threshold, scores, masks):
        return score_tile(panels, panel, users, user, rank, thresholds, threshold, scores, masks)

    return tile


def test_lowest_bit__agrees_with_its_plain_form():
    @numba.njit
    def lowest(mask):
        return lowest_bit(mask)

    for place in (0, 1, 31, 32, 63):
        mask = np.uint64((1 << place) | (1 << 63))
        assert lowest(mask) == _plain_lowest_bit(mask) == place


def test_tile_shape__fits_masks_and_registers():
    for target in TARGETS:
        shape = tile_shape(target)
        assert shape.width <= 64
        assert shape.users * shape.vectors + shape.vectors < target.registers


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"factors": np.full((4, 2), np.nan, np.float32)}, "item factors or biases are not finite"),
        ({"offsets": np.full(4, np.inf, np.float32)}, "item factors or biases are not finite"),
        ({"offsets": np.zeros(3, np.float32)}, "4 items, offsets of shape (3,) and a filter of shape None"),
        (
            {"allowed": np.ones(5, dtype=bool)},
            "a filter of shape (5,); expected one offset and one filter entry",
        ),
    ],
)
def test_pack_items__refuses_what_does_not_fit(broken, message):
    good = {"factors": np.zeros((4, 2), np.float32), "offsets": np.zeros(4, np.float32), "allowed": None}
    with pytest.raises(DataError) as caught:
        pack_items(**{**good, **broken})
    assert message in str(caught.value)


def test_top_items__refuses_what_does_not_fit():
    items = pack_items(np.zeros((4, 2), np.float32), np.zeros(4, np.float32))
    with pytest.raises(ConfigError, match="found n = 0; expected at least 1"):
        top_items(items, np.zeros((1, 2), np.float32), 0)
    with pytest.raises(DataError, match=r"user factors of shape \(1, 3\); expected \(users, 2\)"):
        top_items(items, np.zeros((1, 3), np.float32), 1)
    with pytest.raises(DataError, match="user factors are not finite"):
        top_items(items, np.full((1, 2), np.nan, np.float32), 1)
