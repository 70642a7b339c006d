"""Protocols that part ratings into train, validation and test (paper 1, section 5; paper 2, section 4).

A part is decided for every rating of the store, in user order. Test comes first; validation is then cut
from what is left, by the same rule where a rule has an order (per-user, last, time) and at random where it
has none, from a random stream of its own: the test ratings never depend on the validation share.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError
from daskals.kernels.data.parts import mark_last, mark_random_share, mark_uniform
from daskals.kernels.toolkit.random import key_of
from daskals.types import FOLD_IN, TEST, TRAIN, VALIDATION, Int64, UInt8

SplitMethod: TypeAlias = Literal[
    "random", "per-user", "last", "time", "kfold", "none", "predefined", "recent", "users"
]

STREAM_SPLIT_TEST = 16
"""Random order of a user's ratings that decides which of them test."""
STREAM_SPLIT_VALIDATION = 17
"""Which ratings of the rest validate; so many streams further, which do in another draw of them."""

MOST_DRAWS = 8
"""Draws of a validation part that have streams of their own."""

FOUND_SHARE = Fraction(1, 5)
"""Share of a held-out user's ratings that test; from the others the user is folded in."""

_PROTOCOL_VERSION = 1
_ORDERLY = ("last", "time", "recent")
_HELD_OUT_METHODS = ("random", "per-user", "last", "time", "recent", "users")
_SET_ASIDE = 255
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SplitSpec:
    """A protocol that parts ratings.

    Attributes
    ----------
    method
        random: rating at input position j tests where the j-th draw of `numpy.random.RandomState(seed)`
        is below the fraction (paper 1's split to the bit). per-user: ⌊fraction·n⌋ of every user's n
        ratings at random (paper 2). last: the latest max(1, ⌊fraction·n⌋) of every user's, but never
        all. time: the latest ⌊fraction·n⌋ of all ratings. kfold: fold `fold` of `folds`. none: no test.
        predefined: the source's own. recent: as last, but of the ratings at input positions from `since`
        on alone, so that what was appended since is judged. users: ⌊fraction·users⌋ of all users, at
        random, do not train; max(1, ⌊n/5⌋) of the n ratings of each test, the others fold them in
        (strong generalisation). A user with one rating cannot be tested: it folds in.
    test_fraction
        Share that tests, for the first four methods, recent and users; read as the decimal it is written as.
    validation_fraction
        Share of the remaining ratings that validates; 0 for no validation.
    folds, fold
        For kfold.
    since
        For recent.
    seed
        Of all random choices.
    validation_draw
        Which of several independent draws of the validation part, from 0; one of the orderly methods, whose
        validation part is the latest, is the same in all.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    method: SplitMethod = "random"
    test_fraction: float = 0.1
    validation_fraction: float = 0.0
    folds: int = 10
    fold: int = 0
    seed: int = 42
    since: int = 0
    validation_draw: int = 0

    def __post_init__(self) -> None:
        if self.method not in get_args(SplitMethod):
            raise ConfigError(f"split {self.method!r}", expected=f"one of {', '.join(get_args(SplitMethod))}")
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction {self.test_fraction}", expected="a share between 0 and 1")
        if not 0 <= self.validation_fraction < 1:
            raise ConfigError(
                f"validation_fraction {self.validation_fraction}", expected="a share from 0 to below 1"
            )
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ConfigError(
                f"fold {self.fold} of {self.folds} folds",
                expected="at least 2 folds, and a fold counted from 0",
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"split seed {self.seed}", expected="a whole number from 0 to below 2³²")
        if not 0 <= self.validation_draw < MOST_DRAWS:
            raise ConfigError(
                f"validation draw {self.validation_draw}",
                expected=f"a whole number from 0 to below {MOST_DRAWS}",
            )

    @property
    def draws_validation(self) -> bool:
        """Whether the validation part is drawn at random, so that there are several."""
        return self.method not in _ORDERLY

    def protocol(self) -> dict[str, str | int | float]:
        """Return what decides the parts, and nothing else: equal protocols give equal parts."""
        protocol: dict[str, str | int | float] = {"method": self.method, "version": _PROTOCOL_VERSION}
        if self.method in _HELD_OUT_METHODS:
            protocol["test_fraction"] = float(self.test_fraction)
        if self.method == "kfold":
            protocol |= {"folds": self.folds, "fold": self.fold}
        if self.method == "recent":
            protocol["since"] = self.since
        if self.validation_fraction:
            protocol["validation_fraction"] = float(self.validation_fraction)
            if self.validation_draw and self.draws_validation:
                protocol["validation_draw"] = self.validation_draw
        no_seed = () if self.validation_fraction else ("none", "predefined")
        if self.draws_validation and self.method not in no_seed:
            protocol["seed"] = self.seed
        return protocol

    def key(self) -> str:
        """Return a short stable name of the protocol, fit for a folder."""
        text = json.dumps(self.protocol(), sort_keys=True)
        return f"{self.method}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def compute_parts(
    spec: SplitSpec,
    *,
    positions: Int64,
    timestamps: Int64 | None,
    indptr: Int64,
    n_input: int,
    predefined_test: NDArray[np.bool_] | UInt8 | None = None,
) -> UInt8:
    """Part all ratings of a store.

    Parameters
    ----------
    spec
        The protocol.
    positions
        int64, shape (ratings,): place of each rating in the input, in user order.
    timestamps
        int64, shape (ratings,), in user order, or None.
    indptr
        int64, shape (users + 1,).
    n_input
        Rows of the input; positions are below it.
    predefined_test
        Shape (ratings,), in user order: true where the source's own split tests, or None.

    Returns
    -------
        uint8, shape (ratings,): TRAIN, VALIDATION, TEST or FOLD_IN, in user order.

    Raises
    ------
    DataError
        If the ratings lack what the protocol needs, or a part that must not be empty is.
    """
    _check_source(spec, has_timestamps=timestamps is not None, has_own=predefined_test is not None)
    parts = np.zeros(len(positions), dtype=np.uint8)
    if spec.method == "random":
        parts[_drawn_below(spec.seed, spec.test_fraction, n_input)[positions]] = TEST
    elif spec.method == "kfold":
        parts[_folds(spec, positions, n_input) == spec.fold] = TEST
    elif spec.method == "predefined":
        parts[np.asarray(predefined_test, dtype=bool)] = TEST
    elif spec.method == "recent":
        parts[positions < spec.since] = _SET_ASIDE
        last = replace(spec, method="last")
        _mark_by_rule(parts, last, TEST, positions=positions, timestamps=timestamps, indptr=indptr)
        parts[parts == _SET_ASIDE] = TRAIN
    elif spec.method == "users":
        _hold_users_out(parts, spec, positions, indptr)
    elif spec.method != "none":
        _mark_by_rule(parts, spec, TEST, positions=positions, timestamps=timestamps, indptr=indptr)
    if spec.validation_fraction:
        if spec.method in ("per-user", "last", "time"):
            _mark_by_rule(parts, spec, VALIDATION, positions=positions, timestamps=timestamps, indptr=indptr)
        else:
            key = key_of(spec.seed, STREAM_SPLIT_VALIDATION + spec.validation_draw)
            mark_uniform(parts, positions, key, spec.validation_fraction, VALIDATION)
    _check_parts(spec, parts)
    return parts


def _check_source(spec: SplitSpec, *, has_timestamps: bool, has_own: bool) -> None:
    """Refuse a protocol that needs what the ratings do not bring."""
    if not has_timestamps and spec.method == "time":
        raise DataError(
            "the ratings have no timestamps",
            where="--split=time",
            expected="a timestamp for every rating",
            remedy="Name a timestamp column, or choose another split",
        )
    if not has_own and spec.method == "predefined":
        raise DataError(
            "the ratings bring no split of their own",
            where="--split=predefined",
            expected="a source with test ratings of its own",
            remedy="Choose another split",
        )


def _hold_users_out(parts: UInt8, spec: SplitSpec, positions: Int64, indptr: Int64) -> None:
    """Take all ratings of some users out of training: a fifth of each tests, the rest folds in."""
    lengths = np.diff(indptr)
    rated = np.flatnonzero(lengths)
    n_held = max(1, _share(Fraction(str(spec.test_fraction)), len(rated)))
    held_out = np.zeros(len(lengths), dtype=bool)
    held_out[np.random.RandomState(spec.seed).permutation(rated)[:n_held]] = True
    found = np.where(held_out, _shares(FOUND_SHARE, lengths, at_least=1), 0)
    mark_random_share(parts, indptr, found, positions, key_of(spec.seed, STREAM_SPLIT_TEST), TEST)
    parts[np.repeat(held_out, lengths) & (parts == TRAIN)] = FOLD_IN


def _drawn_below(seed: int, fraction: float, n_input: int) -> NDArray[np.bool_]:
    """Return RandomState(seed).rand(n_input) < fraction, drawn in pieces to spare memory."""
    state = np.random.RandomState(seed)
    below = np.empty(n_input, dtype=bool)
    for start in range(0, n_input, _CHUNK):
        stop = min(start + _CHUNK, n_input)
        below[start:stop] = state.rand(stop - start) < fraction
    return below


def _folds(spec: SplitSpec, positions: Int64, n_input: int) -> Int64:
    """Return each rating's fold: a random permutation of the ratings in input order, dealt in turn."""
    kept = np.zeros(n_input, dtype=bool)
    kept[positions] = True
    fold_of_place = np.zeros(n_input, dtype=np.int64)
    fold_of_place[kept] = np.random.RandomState(spec.seed).permutation(len(positions)) % spec.folds
    return fold_of_place[positions]


def _mark_by_rule(
    parts: UInt8,
    spec: SplitSpec,
    part: int,
    *,
    positions: Int64,
    timestamps: Int64 | None,
    indptr: Int64,
) -> None:
    """Move some of the ratings that still train to `part`, by the method's own rule."""
    fraction = Fraction(str(spec.test_fraction if part == TEST else spec.validation_fraction))
    times = positions if timestamps is None else timestamps
    if spec.method == "time":
        _mark_latest(parts, _share(fraction, int(np.count_nonzero(parts == TRAIN))), times, positions, part)
        return
    lengths = _count_train(parts, indptr)
    if spec.method == "last":
        mark_last(parts, indptr, _shares(fraction, lengths, at_least=1), times, positions, part)
    else:
        stream = STREAM_SPLIT_TEST if part == TEST else STREAM_SPLIT_VALIDATION + spec.validation_draw
        held = _shares(fraction, lengths, at_least=0)
        mark_random_share(parts, indptr, held, positions, key_of(spec.seed, stream), part)


def _mark_latest(parts: UInt8, n_marked: int, times: Int64, positions: Int64, part: int) -> None:
    """Move the `n_marked` latest of the training ratings to `part`, equal times by position."""
    if n_marked == 0:
        return
    candidates = np.flatnonzero(parts == TRAIN)
    of_candidates = times[candidates]
    cut = np.partition(of_candidates, len(candidates) - n_marked)[len(candidates) - n_marked]
    later = candidates[of_candidates > cut]
    equal = candidates[of_candidates == cut]
    parts[later] = part
    n_equal = n_marked - len(later)
    by_position = np.argsort(positions[equal])
    parts[equal[by_position[len(equal) - n_equal :]]] = part


def _count_train(parts: UInt8, indptr: Int64) -> Int64:
    running = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum(parts == TRAIN, out=running[1:])
    return running[indptr[1:]] - running[indptr[:-1]]


def _share(fraction: Fraction, count: int) -> int:
    """Return ⌊fraction·count⌋ of the decimal fraction: 0.29 of 100 is 29, not 28."""
    return fraction.numerator * count // fraction.denominator


def _shares(fraction: Fraction, counts: Int64, *, at_least: int) -> Int64:
    """Return ⌊fraction·n⌋, at least `at_least`, for each count n, but never all of n."""
    distinct, inverse = np.unique(counts, return_inverse=True)
    shares = [max(0, min(int(n) - 1, max(at_least, _share(fraction, int(n))))) for n in distinct]
    return np.array(shares, dtype=np.int64)[inverse]


def _check_parts(spec: SplitSpec, parts: UInt8) -> None:
    counts = np.bincount(parts, minlength=4)
    needed = [(TRAIN, "train")]
    if spec.method != "none":
        needed.append((TEST, "test"))
    if spec.validation_fraction:
        needed.append((VALIDATION, "validation"))
    for part, name in needed:
        if counts[part] == 0:
            raise DataError(
                f"the {name} part of {len(parts):,} ratings is empty",
                where=f"--split={spec.method}",
                expected="at least one rating in each part",
                remedy="Change the fractions, or use more ratings",
            )
