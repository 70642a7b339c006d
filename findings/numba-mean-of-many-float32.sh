#!/usr/bin/env bash
# numba 0.68.1: the mean of 32 million float32 ratings comes out a quarter of a star too low in a kernel.
#
# One would guess: ratings.mean() means the same in a jitted function as outside; NumPy's result for float32 is good
#   to six digits whatever the length, since it sums in pairs.
# What happens: Numba adds float32 into one float32, entry after entry. From 2^24 on a one is lost altogether, and
#   well before that each half star is rounded to what the running sum still resolves: sum(), mean() and with it var()
#   and std() go wrong, the wronger the more ratings there are, without a warning. A test with a few thousand entries
#   passes. A sum that begins as 0.0 (float64) in a loop, or mean of an astype(np.float64), is right.
# Seen: numba 0.68.1, numpy 2.4.6, Python 3.11, Linux x86-64: 2.4930 for 32,000,000 half-star ratings whose mean is
#   2.7498 (NumPy 2.7498); of 2^25 ones the sum is 16,777,216, the mean 0.5 and the variance 0.25.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cat > "$folder/mean.py" <<'PY'
import numba
import numpy as np


@numba.njit
def moments(values):
    return values.sum(), values.mean(), values.var()


@numba.njit
def mean_of_doubles(values):
    return values.astype(np.float64).mean()


@numba.njit
def mean_by_loop(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


ratings = np.random.default_rng(0).integers(1, 11, 32_000_000).astype(np.float32) / 2
exact = ratings.mean(dtype=np.float64)
kernel, loop, plain = moments(ratings)[1], mean_by_loop(ratings), float(ratings.mean())
few = moments(ratings[:5000])[1] - ratings[:5000].mean(dtype=np.float64)
ones = moments(np.ones(2**25, np.float32))
print(f"exact {exact:.4f}, NumPy {plain:.4f}, jitted loop {loop:.4f}, jitted mean {kernel:.4f}; of ones {ones}")
assert abs(plain - exact) < 1e-5
assert abs(loop - exact) < 1e-9
assert abs(mean_of_doubles(ratings) - exact) < 1e-9
assert abs(few) < 1e-5
assert kernel < exact - 0.2
assert ones == (2**24, 0.5, 0.25)
PY
"$folder/venv/bin/python" "$folder/mean.py"
echo "as described"
