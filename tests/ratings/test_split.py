"""Split protocols against plain twins, the papers' figures, and bad input."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskals.errors import ConfigError, DataError
from daskals.ratings.split import (
    MOST_DRAWS,
    STREAM_SPLIT_TEST,
    STREAM_SPLIT_VALIDATION,
    SplitSpec,
    compute_parts,
)
from daskals.types import FOLD_IN, TEST, TRAIN, VALIDATION
from tests.cases import naive

METHODS = ("random", "per-user", "last", "time", "kfold", "none", "predefined")


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Ratings of a few users in user order."""

    positions: np.ndarray
    timestamps: np.ndarray
    indptr: np.ndarray
    n_input: int
    predefined_test: np.ndarray

    def part(self, spec: SplitSpec, **changes: object) -> np.ndarray:
        """Return the parts as a spec has them."""
        return compute_parts(spec, **{**dataclasses.asdict(self), **changes})


def make_ratings(counts, *, seed=0, times=10, extra=3) -> Ratings:
    rng = np.random.default_rng(seed)
    n = int(np.sum(counts))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Ratings(
        positions=rng.permutation(n + extra)[:n].astype(np.int64),
        timestamps=rng.integers(0, times, n).astype(np.int64),
        indptr=indptr,
        n_input=n + extra,
        predefined_test=rng.random(n) < 0.4,
    )


some_ratings = st.builds(
    make_ratings,
    st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(lambda counts: sum(counts) >= 2),
    seed=st.integers(0, 99),
    times=st.sampled_from([1, 3, 1000]),
)
fractions = st.sampled_from([0.05, 0.1, 0.2, 0.29, 0.5, 0.9])


def parts_or_none(ratings: Ratings, spec: SplitSpec) -> np.ndarray | None:
    """Return the parts, or None where one of them is empty."""
    try:
        return ratings.part(spec)
    except DataError:
        return None


def rows_of(ratings: Ratings):
    return list(zip(ratings.indptr[:-1].tolist(), ratings.indptr[1:].tolist(), strict=True))


@given(some_ratings, st.sampled_from(["per-user", "last"]), fractions, fractions, st.integers(0, 5))
def test_rules_by_user_equal_the_twin(ratings, method, test, validation, seed) -> None:
    spec = SplitSpec(method, test, validation_fraction=validation, seed=seed)
    expected = np.zeros(len(ratings.positions), dtype=np.uint8)
    for row, (start, stop) in enumerate(rows_of(ratings)):
        left = list(range(start, stop))
        for part, fraction, stream in (
            (TEST, test, STREAM_SPLIT_TEST),
            (VALIDATION, validation, STREAM_SPLIT_VALIDATION),
        ):
            held = naive.hold_out(
                method,
                fraction,
                left,
                row=row,
                positions=ratings.positions,
                times=ratings.timestamps,
                key=(seed, stream),
            )
            expected[held] = part
            left = [k for k in left if k not in held]
        assert left or start == stop
    found = parts_or_none(ratings, spec)
    if found is None:
        assert {TRAIN, VALIDATION, TEST} - set(expected.tolist())
    else:
        np.testing.assert_array_equal(found, expected)


@given(some_ratings, fractions, st.integers(0, 5))
def test_users_are_held_out_whole(ratings, fraction, seed) -> None:
    found = parts_or_none(ratings, SplitSpec("users", fraction, seed=seed))
    lengths = np.diff(ratings.indptr)
    rated = np.flatnonzero(lengths)
    n_held = max(1, naive.exact_floor(fraction, len(rated)))
    held_out = np.random.RandomState(seed).permutation(rated)[:n_held]
    if found is None:
        # nobody is left to train, or nobody has a rating to find beside one that folds in
        assert n_held == len(rated) or lengths[held_out].max() == 1
        return
    for row, (start, stop) in enumerate(rows_of(ratings)):
        own = found[start:stop]
        if row not in held_out:
            assert set(own.tolist()) <= {TRAIN}
            continue
        n = stop - start
        assert np.count_nonzero(own == TEST) == (max(1, n // 5) if n > 1 else 0)
        assert np.count_nonzero(own == FOLD_IN) == n - np.count_nonzero(own == TEST)


def test_users_validate_on_those_that_train() -> None:
    ratings = make_ratings([40] * 20)
    spec = SplitSpec("users", 0.25, validation_fraction=0.2)
    found = ratings.part(spec).reshape(20, 40)
    held_out = (found == TEST).any(axis=1)
    assert held_out.sum() == 5
    assert np.all(np.isin(found[held_out], [TEST, FOLD_IN]))
    assert np.all(np.isin(found[~held_out], [TRAIN, VALIDATION]))
    assert 60 < np.count_nonzero(found == VALIDATION) < 180
    np.testing.assert_array_equal(
        found == TEST, ratings.part(SplitSpec("users", 0.25)).reshape(20, 40) == TEST
    )


@given(some_ratings, fractions, st.sampled_from([0.0, 0.1, 0.5]))
def test_time_cuts_the_latest_of_all(ratings, test, validation) -> None:
    found = parts_or_none(ratings, SplitSpec("time", test, validation_fraction=validation))
    order = np.lexsort((ratings.positions, ratings.timestamps))
    n_test = naive.exact_floor(test, len(order))
    n_validation = naive.exact_floor(validation, len(order) - n_test)
    expected = np.zeros(len(order), dtype=np.uint8)
    expected[order[len(order) - n_test :]] = TEST
    expected[order[len(order) - n_test - n_validation : len(order) - n_test]] = VALIDATION
    if found is None:
        assert n_test == 0 or (validation > 0 and n_validation == 0)
    else:
        np.testing.assert_array_equal(found, expected)


def test_random_is_the_first_papers_split_to_the_bit() -> None:
    ratings = make_ratings([30, 0, 50, 20], extra=11)
    drawn = np.random.RandomState(7).rand(ratings.n_input) < 0.2
    expected = np.where(drawn[ratings.positions], TEST, TRAIN)
    np.testing.assert_array_equal(ratings.part(SplitSpec("random", 0.2, seed=7)), expected)


def test_random_on_ml_latest_small_has_the_published_counts(latest_small) -> None:
    n = len((latest_small / "ratings.csv").read_text(encoding="utf-8").splitlines()) - 1
    parts = compute_parts(
        SplitSpec("random", 0.2, seed=42),
        positions=np.arange(n),
        timestamps=None,
        indptr=np.array([0, n]),
        n_input=n,
    )
    assert np.bincount(parts, minlength=3).tolist() == [80_651, 0, 20_185]


@pytest.mark.parametrize("method", ["random", "kfold", "none", "predefined"])
def test_validation_is_drawn_by_position_from_what_is_left(method) -> None:
    ratings = make_ratings([40, 60])
    without = ratings.part(SplitSpec(method, 0.3, seed=5))
    found = ratings.part(SplitSpec(method, 0.3, validation_fraction=0.25, seed=5))
    draws = [naive.hashed_uniform(5, STREAM_SPLIT_VALIDATION, 0, int(p)) for p in ratings.positions]
    expected = np.where((without == TRAIN) & (np.array(draws) < 0.25), VALIDATION, without)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_validation_never_moves_a_test_rating(method) -> None:
    ratings = make_ratings([40, 60, 12])
    tests = [
        np.flatnonzero(ratings.part(SplitSpec(method, 0.3, validation_fraction=share)) == TEST).tolist()
        for share in (0.0, 0.1, 0.5)
    ]
    assert tests[0] == tests[1] == tests[2]


@pytest.mark.parametrize("method", METHODS)
def test_draws_of_a_validation_part_differ_and_leave_the_test_alone(method) -> None:
    ratings = make_ratings([400, 600])
    specs = [
        SplitSpec(method, 0.3, validation_fraction=0.2, validation_draw=draw) for draw in range(MOST_DRAWS)
    ]
    parts = [ratings.part(spec) for spec in specs]
    assert np.array_equal(parts[0], ratings.part(SplitSpec(method, 0.3, validation_fraction=0.2)))
    assert all(np.array_equal(part == TEST, parts[0] == TEST) for part in parts)
    validating = [np.flatnonzero(part == VALIDATION) for part in parts]
    if not specs[0].draws_validation:
        assert len({spec.key() for spec in specs}) == 1
        assert all(np.array_equal(found, validating[0]) for found in validating)
        return
    assert len({spec.key() for spec in specs}) == MOST_DRAWS
    for one, other in itertools.combinations(validating, 2):
        # as independent draws of a fifth have it
        assert 0.1 < len(np.intersect1d(one, other)) / len(one) < 0.35


def test_folds_are_disjoint_and_cover_all_in_near_equal_sizes() -> None:
    ratings = make_ratings([40, 63])
    folds = [ratings.part(SplitSpec("kfold", folds=10, fold=fold, seed=3)) == TEST for fold in range(10)]
    assert (np.sum(folds, axis=0) == 1).all()
    sizes = np.sum(folds, axis=1)
    assert sizes.max() - sizes.min() <= 1
    others = [ratings.part(SplitSpec("kfold", folds=10, fold=fold, seed=4)) == TEST for fold in range(10)]
    assert not np.array_equal(folds, others)


def test_last_without_timestamps_goes_by_position() -> None:
    ratings = make_ratings([10])
    parts = ratings.part(SplitSpec("last", 0.2), timestamps=None)
    assert set(np.flatnonzero(parts == TEST)) == set(np.argsort(ratings.positions)[-2:])


def test_per_user_does_not_depend_on_other_users() -> None:
    both, first = make_ratings([20, 30]), make_ratings([20, 30])
    parts = both.part(SplitSpec("per-user", 0.2))
    alone = compute_parts(
        SplitSpec("per-user", 0.2),
        positions=np.argsort(np.argsort(first.positions[:20])),  # the same order, other places
        timestamps=None,
        indptr=np.array([0, 20]),
        n_input=20,
    )
    np.testing.assert_array_equal(parts[:20], alone)
    assert np.count_nonzero(parts[:20] == TEST) == 4
    assert np.count_nonzero(parts[20:] == TEST) == 6


def test_a_users_only_rating_always_trains() -> None:
    for method in ("per-user", "last"):
        parts = make_ratings([1, 1, 1, 10]).part(SplitSpec(method, 0.9))
        assert parts[:3].tolist() == [TRAIN] * 3
        assert np.count_nonzero(parts == TEST) == 9


def test_fractions_are_the_decimals_they_are_written_as() -> None:
    parts = make_ratings([100]).part(SplitSpec("per-user", 0.29))  # 0.29 · 100 is 28.999… in float64
    assert np.count_nonzero(parts == TEST) == 29


def test_predefined_and_none() -> None:
    ratings = make_ratings([30])
    np.testing.assert_array_equal(ratings.part(SplitSpec("predefined")) == TEST, ratings.predefined_test)
    assert not ratings.part(SplitSpec("none")).any()


# --- keys --------------------------------------------------------------------------------------------------


def test_keys_name_what_matters_and_nothing_else() -> None:
    assert SplitSpec("random", 0.2).key() == SplitSpec("random", 0.2, folds=5, fold=2).key()
    assert SplitSpec("time", 0.2, seed=1).key() == SplitSpec("time", 0.2, seed=2).key()
    assert SplitSpec("none", 0.2, seed=1).key() == SplitSpec("none", 0.3, seed=2).key()
    different = [
        SplitSpec("random", 0.2),
        SplitSpec("random", 0.3),
        SplitSpec("random", 0.2, seed=1),
        SplitSpec("random", 0.2, validation_fraction=0.1),
        SplitSpec("per-user", 0.2),
        SplitSpec("kfold"),
        SplitSpec("kfold", fold=1),
        SplitSpec("kfold", folds=5),
        SplitSpec("none", validation_fraction=0.1),
        SplitSpec("none", validation_fraction=0.1, seed=1),
    ]
    assert len({spec.key() for spec in different}) == len(different)


def test_a_key_is_the_same_in_every_release() -> None:
    assert SplitSpec("random", 0.2).key() == "random-6343cff655c0"


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "rand"}, r"split 'rand'; expected one of random, per-user"),
        ({"test_fraction": 0.0}, r"test_fraction 0.0; expected a share between 0 and 1"),
        ({"test_fraction": 1.0}, r"test_fraction 1.0"),
        ({"test_fraction": float("nan")}, r"test_fraction nan"),
        ({"validation_fraction": -0.1}, r"validation_fraction -0.1; expected a share from 0 to below 1"),
        ({"validation_fraction": 1.0}, r"validation_fraction 1.0"),
        ({"folds": 1}, r"fold 0 of 1 folds; expected at least 2 folds"),
        ({"folds": 5, "fold": 5}, r"fold 5 of 5 folds"),
        ({"fold": -1}, r"fold -1 of 10 folds"),
        ({"validation_draw": -1}, r"validation draw -1; expected a whole number from 0 to below 8"),
        ({"validation_draw": 8}, r"validation draw 8"),
        ({"seed": -1}, r"split seed -1; expected a whole number from 0 to below 2³²"),
        ({"seed": 2**32}, r"split seed 4294967296"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitSpec(**options)


def test_time_needs_timestamps() -> None:
    with pytest.raises(DataError, match=r"split=.time.: the ratings have no timestamps.*Name a timestamp"):
        make_ratings([10]).part(SplitSpec("time"), timestamps=None)


def test_predefined_needs_a_split_of_the_sources_own() -> None:
    with pytest.raises(DataError, match=r"split=.predefined.: the ratings bring no split of their own"):
        make_ratings([10]).part(SplitSpec("predefined"), predefined_test=None)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SplitSpec("time", 0.1), "test"),
        (SplitSpec("per-user", 0.1), "test"),
        (SplitSpec("random", 1e-9), "test"),
        (SplitSpec("random", 1 - 1e-9), "train"),
        (SplitSpec("last", 0.5, validation_fraction=1e-6), None),
        (SplitSpec("time", 0.5, validation_fraction=0.1), "validation"),
    ],
)
def test_empty_parts_are_refused(spec, name) -> None:
    ratings = make_ratings([5])
    if name is None:
        assert np.count_nonzero(ratings.part(spec) == VALIDATION) == 1
        return
    message = rf"split=.{spec.method}.: the {name} part of 5 ratings is empty; expected at least one"
    with pytest.raises(DataError, match=message):
        ratings.part(spec)
