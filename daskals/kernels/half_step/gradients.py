"""Half-step of a block by conjugate gradients, for ranks whose exact solve takes too long.

A row's ridge regression (`half_step.weighted`) is not solved but improved: from where the last epoch left it,
it takes some steps of conjugate gradients, each to the lowest point along its direction, so that none raises
the objective. A step passes over the row's ratings once, 2K multiply-adds each, and forms no matrix. The
gradient is first multiplied by the inverse of what the row's equations would be with the pooled curvature C
of all rows of the other side (`half_step.curvature`) for its own, (m·C + c^ν·T)⁻¹, m = a + Σw/n with a the
share of C that all rows have and n its rows: one or two such steps come about as far as an exact solve.
Takács, Pilászy and Tikk (2011) take three without it, as the library implicit does.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from daskals.errors import DataError
from daskals.kernels.half_step.batch import LANES, row_status
from daskals.kernels.half_step.block import BlockInput, BlockOutput, frozen, make_input, make_output, outcome
from daskals.kernels.half_step.curvature import Curvature
from daskals.kernels.half_step.gradient_batches import improve_rows
from daskals.kernels.half_step.gradient_row_batches import LEAST_BEND, GradientInput
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.threads import run_strips
from daskals.kernels.half_step.weighted import Weighting, check_weighting, weighted_gram, weighted_squares
from daskals.kernels.toolkit.codes import look_up
from daskals.kernels.toolkit.jit import PLAIN
from daskals.types import BlockStats, FactorRows, Float32, Float64, RatingsBlock, Ridge

STEPS = 2
"""Steps of a row in an epoch; see bench/README.md."""


class Course(NamedTuple):
    """How far rows go in a half-step.

    Attributes
    ----------
    steps
        Steps of conjugate gradients that each row takes, at least 1.
    relaxation
        How many times the way of its steps a row goes, above 0 and below 2. The objective along that way is a
        parabola whose lowest point is at 1, so that no such number raises it. Beyond 1 a row goes on to where
        it will be drawn once the other side has followed: successive over-relaxation (Young 1954).
    """

    steps: int = STEPS
    relaxation: float = 1.0


UNRELAXED = Course()
"""Each row to the lowest point that its steps lead to."""

SUMMED = 1
"""Factors whose Gram matrix is formed at a time: none is formed here."""


def _precondition(diagonal: Float64, beside: Float64, shift: float, right: Float64) -> Float64:
    """Solve (U + shift)x = right for a tridiagonal U, shape (n,), pivots not below the shift."""
    size = len(right)
    pivots, x = np.empty(size), right.copy()
    for k in range(size):
        share = beside[k - 1] / pivots[k - 1] if k > 0 else 0.0
        pivots[k] = max(diagonal[k] + shift - share * beside[k - 1], shift)
        x[k] -= share * x[k - 1]
    for k in range(size - 1, -1, -1):
        x[k] /= pivots[k]
        if k < size - 1:
            x[k] -= beside[k] / pivots[k] * x[k + 1]
    return x


def _step_plainly(
    matrix: Float64,
    right: Float64,
    curvature: Curvature,
    multiple: float,
    c: float,
    course: Course,
    x: Float64,
) -> None:
    """Take the steps of one row whose equations are matrix·x = right."""
    begun = x.copy()
    rotation, diagonal, beside, scales = (
        of.astype(np.float64)
        for of in (curvature.rotation, curvature.diagonal, curvature.beside, curvature.scales)
    )
    along, before, expected = np.zeros(len(x)), 0.0, 0.0
    for _ in range(course.steps):
        gradient = right - matrix @ x
        rotated = rotation.T @ (gradient / scales)
        turned = rotation @ _precondition(multiple * diagonal, multiple * beside, c, rotated) / scales
        slope = float(gradient @ turned)
        kept = slope / before if before > 0.0 else 0.0
        along, before, expected = turned + kept * along, slope, slope + kept**2 * expected
        bend = float(along @ matrix @ along)
        if bend > max(LEAST_BEND * expected, 0.0):  # more than rounding
            x += float(gradient @ along) / bend * along
    x += (course.relaxation - 1) * (x - begun)


def _improve_plainly(
    block: BlockInput, given: GradientInput, curvature: Curvature, shared: Float64, output: BlockOutput
) -> None:
    """Improve rows one by one by way of their Gram matrices; the plain twin of `gradient_batches`."""
    rank, size = block.rank, given.size
    gram, roots = np.empty((rank + 2, rank + 2)), np.sqrt(given.weights)
    for row in range(len(given.counts)):
        output.status[row] = weighted_gram(block, roots, row, gram)
        prior = np.zeros(rank + 1)
        if len(block.priors) > 0:
            prior[:] = block.priors[row]
        x = prior.copy()
        if output.status[row] == OK and block.indptr[row + 1] > block.indptr[row]:
            x[:] = 0.0
            x[:size] = [*block.current[row, :rank], block.current[row, rank + 1]][:size]
            c = given.counts[row] ** block.ridge_exponent
            ridge = np.full(rank + 1, c * block.ridge_factors)
            ridge[rank] = c * block.ridge_bias
            matrix = np.tril(gram[:size, :size]) + np.tril(gram[:size, :size], -1).T + np.diag(ridge[:size])
            matrix += shared
            right = gram[rank + 1, :size] + (ridge * prior)[:size]
            weight = float(np.sum(given.weights[block.indptr[row] : block.indptr[row + 1]]))
            multiple = given.shared + given.of_rating * weight
            course = Course(given.steps, float(given.relaxation))
            _step_plainly(matrix, right, curvature, multiple, c, course, x[:size])
            stats = output.stats[row]
            stats[0] = weighted_squares(block, roots, row, x) + x[:size] @ shared @ x[:size]
            stats[1] = np.sum((ridge * (x - prior) ** 2)[:size])
            output.status[row] = row_status(stats[0], 1, stats[1])
        output.rows[row, :rank] = x[:rank]
        output.rows[row, rank + 1] = x[rank]


def improve_by_gradients(
    block: RatingsBlock,
    other: FactorRows,
    current: FactorRows,
    curvature: Curvature,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    weighting: Weighting | None = None,
    share: float = 0.0,
    prior: Float32 | None = None,
    course: Course = UNRELAXED,
    threads: int = 1,
) -> tuple[FactorRows, BlockStats]:
    """Improve every row of a block by conjugate gradients.

    Parameters
    ----------
    block
        The rows' ratings.
    other, current
        Factor rows of the other side, shape (rows of the other side, stride), and those that the block's rows
        begin from, shape (rows, stride).
    curvature
        `side_curvature` of the other side; with a bias where rows have one.
    rank, mean, ridge
        Number of factors; mean rating μ; regularisation of this side.
    weighting
        What the ratings weigh; None where all count once and rows have a bias. What all rows share is told by
        `share` instead.
    share
        Times the pooled curvature: what all rows share; 0 for none.
    prior
        Prior means [factors, bias], float32, shape (rows, rank + 1); zero if absent.
    course
        How far rows go; the steps of an epoch unless named.
    threads
        Threads that share out the block's rows; the result is the same to the bit.

    Returns
    -------
    tuple
        The block's new factor rows, float32, shape (rows, stride), and what it adds to the objective. Rows
        without ratings are at their prior.

    Raises
    ------
    DataError
        If arrays do not fit one another, or a weight is not a positive number.
    RowError
        If a row holds an index out of range, or its solution is not finite.
    """
    biased = weighting is None or weighting.biased
    if len(curvature.scales) != rank + int(biased):
        raise DataError(
            f"a curvature of {len(curvature.scales)} unknowns", expected=f"{rank + int(biased)} of each row"
        )
    shown = make_input(block, other, rank, mean, ridge, prior=prior, current=current, summed=SUMMED)
    given = _gradient_input(block, shown, weighting, curvature, share, course)
    output = make_output(shown)
    if PLAIN:
        shared = share * _dense(curvature)
        given = given._replace(weights=given.weights[: len(block.indices)])
        with np.errstate(all="ignore"):  # what is not finite is found by status, as in compiled code
            _improve_plainly(shown, given, curvature, shared, output)
    else:
        # of all ways to hold ratings one is compiled
        none = frozen(np.empty(0), np.float32)
        shown = shown._replace(values=none, table=none)
        run_strips(partial(improve_rows, shown, given, output), block.indptr, rank, threads)
    return outcome(output, block.start)


def _dense(curvature: Curvature) -> Float64:
    """Return the pooled curvature as a matrix, float64, shape (unknowns, unknowns)."""
    beside = curvature.beside[:-1].astype(np.float64)
    middle = np.diag(curvature.diagonal.astype(np.float64)) + np.diag(beside, 1) + np.diag(beside, -1)
    rotation = curvature.rotation.astype(np.float64)
    return np.outer(curvature.scales, curvature.scales) * (rotation @ middle @ rotation.T)


def _gradient_input(
    block: RatingsBlock,
    shown: BlockInput,
    weighting: Weighting | None,
    curvature: Curvature,
    share: float,
    course: Course,
) -> GradientInput:
    ratings, size = len(block.indices), len(curvature.scales)
    weights = np.zeros(ratings + LANES, np.float32)
    if len(shown.table) > 0:
        known = look_up(shown.values, shown.table, LANES)
    else:
        known = np.zeros(ratings + LANES, np.float32)
        np.subtract(shown.values, shown.mean, out=known[:ratings])
    if weighting is None:
        weights[:], counts = 1.0, np.diff(block.indptr)
    else:
        check_weighting(block, weighting, shown.rank)
        weights[:ratings], counts = weighting.weights, weighting.counts
    return GradientInput(
        known=frozen(known, np.float32),
        weights=frozen(weights, np.float32),
        counts=frozen(counts, np.float64),
        shared=float(share),
        of_rating=1.0 / max(curvature.n_rows, 1),
        into=frozen(curvature.into, np.float32),
        back=frozen(curvature.back, np.float32),
        diagonal=frozen(curvature.diagonal, np.float32),
        beside=frozen(curvature.beside, np.float32),
        scales=frozen(curvature.scales, np.float32),
        inverses=frozen(1 / curvature.scales, np.float32),
        size=size,
        steps=course.steps,
        relaxation=np.float32(course.relaxation),
    )
