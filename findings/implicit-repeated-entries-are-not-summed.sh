#!/usr/bin/env bash
# implicit 0.7.3: a CSR matrix with a pair in it twice, which SciPy takes for the sum, trains another model.
#
# One would guess: a CSR matrix made from a log of plays sorted by user, one entry a play, is the same as the one
#   whose repeated entries were summed: SciPy says so in every product, sum and conversion, and a COO matrix of the
#   same log trains as the summed one does, since its conversion sums.
# What happens: fit takes a CSR matrix as it lies. ALS adds each entry's confidence to the right side of its equations
#   but to the left only what it exceeds 1 by, so three entries of 1 are a preference of 3 with the weight of one, not
#   a preference of 1 with the weight of three. CosineRecommender yields cosines above 1. No check, no warning;
#   sum_duplicates() before fit helps.
# Seen: implicit 0.7.3, numpy 2.4.6, scipy 1.17.1, Python 3.11, Linux x86-64: 3,000 plays of 1,556 pairs, the greatest
#   predicted preference is 5.82, summed 1.36; the greatest cosine 2.92, summed 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
cat > "$folder/plays.py" <<'PY'
import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

N_USERS, N_ITEMS, N_PLAYS = 50, 40, 3000

rng = np.random.default_rng(0)
users, items = np.sort(rng.integers(0, N_USERS, N_PLAYS)), rng.integers(0, N_ITEMS, N_PLAYS).astype(np.int32)
starts = np.searchsorted(users, np.arange(N_USERS + 1)).astype(np.int32)
shape = (N_USERS, N_ITEMS)
log = sp.csr_matrix((np.ones(N_PLAYS, np.float32), items, starts), shape=shape)
summed = log.copy()
summed.sum_duplicates()
assert abs(log - summed).sum() == 0  # the same matrix to SciPy
assert log.nnz == N_PLAYS > summed.nnz


def predictions(plays, use_cg):
    model = AlternatingLeastSquares(
        factors=8, regularization=0.1, alpha=1.0, iterations=5, use_cg=use_cg, num_threads=1, random_state=1
    )
    model.fit(plays, show_progress=False)
    return model.user_factors @ model.item_factors.T


def cosines(plays):
    model = CosineRecommender(K=N_ITEMS)
    model.fit(plays.copy(), show_progress=False)
    return model.similarity


for use_cg in (False, True):
    of_log, of_sum = predictions(log, use_cg), predictions(summed, use_cg)
    print(f"predictions up to {of_log.max():.2f} from the log, {of_sum.max():.2f} from the sums")
    assert of_log.max() > 4
    assert of_sum.max() < 2
assert np.array_equal(predictions(log.tocoo(), use_cg=False), predictions(summed, use_cg=False))
print(f"cosines up to {cosines(log).max():.2f} and {cosines(summed).max():.2f}")
assert cosines(log).max() > 1.5
assert cosines(summed).max() < 1.000001
PY
"$folder/venv/bin/python" -W ignore "$folder/plays.py"
echo "as described"
