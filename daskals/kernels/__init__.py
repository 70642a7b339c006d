"""Compiled kernels: the only room that knows numba. No Dask, no Zarr, no BLAS.

`toolkit`
    Compilation and its cache, the CPU's vectors, random numbers, dense systems, the layout of factor rows.
`half_step`
    Ridge regression of every row of a block: `solve_rows`, with the formulas in `plain` and Cholesky's
    factorisation in `cholesky`; rows of large ranks are improved, not solved: by conjugate `gradients` with
    the pooled `curvature` of the other side, or by `slices` of factors.
`prior`
    Rows whose prior mean is predicted from features: eliminated, W's linear system, filled in.
`gibbs`
    Draws of the Bayesian sampler: rows, ratings cut off at the ends of their scale, moments of a side.
`scoring`
    Predictions, error sums, posterior samples, the best items of each user.
`data`
    Compressed rows by counting sort, parts of a split, planted ratings, weighted draws.
`statistics`
    What anomalies are found with: leverages, regressions, mixtures, permutations.

`warm_up` runs what a training takes once, on two ratings; `fitting.ahead` lets other processes do so.

A module `x_batches` is the form of `x` that takes a batch of rows side by side, one in each lane of a vector,
and `x_lanes` emits its instructions. A rating's way through a half-step::

    RatingsBlock        user 7 rated item 42: indices[j] = 42, values[j] = 9
      │  block.make_input       checked, packed: table[9] = 4.5 − μ
      ▼
    z = [q, 1, y]       row 42 of the other side, y = table[9] − b
      │  gram.row_gram          a multiply-add for each tile of gram_tiles, all in registers
      ▼
    tiles → Σ zzᵀ       of each of the batch's rows, then interleave_grams: a row in each lane
      │  solve_batches          + ridge weights w·T, prior means w·T·m
      ▼
    L Lᵀ x = v          cholesky.solve_interleaved, `lanes` systems at a time
      │  fit.fit_interleaved    SSE and penalty by way of the same Gram matrix; status
      ▼
    [p, 1, b, 0, …]     row 7 of the block's new factor rows
"""
