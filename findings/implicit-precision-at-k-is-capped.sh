#!/usr/bin/env bash
# implicit 0.7.3: precision_at_k divides by the number of relevant items where that is below k.
#
# One would guess: precision@10 is the part of the ten recommended items that are relevant, so that with one relevant
#   item held out for each user, as leave-one-out has it, it cannot exceed 0.1; trec_eval's P_10 is that.
# What happens: implicit divides by the smaller of k and the number of a user's relevant items, and does so over all
#   users at once. With one held-out item each it is the hit rate, ten times what others call precision@10, and with k
#   above what users have it is recall. Users with much to find weigh more in it than others, while its map and ndcg
#   are means over users. Tables that put its precision beside another library's compare unlike things.
# Seen: implicit 0.7.3, pytrec_eval-terrier 0.5.11, numpy 2.4.6, scipy 1.17.1, Python 3.11, Linux x86-64, one list of
#   ten: precision@10 1.0 and 0.1 for one relevant item in it; for two users with 1 of 1 and 5 of 20 found, 6/11 and
#   (0.1 + 0.5)/2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check implicit==0.7.3 \
  pytrec_eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
cat > "$folder/precision.py" <<'PY'
import numpy as np
import pytrec_eval
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.evaluation import ranking_metrics_at_k

N_ITEMS, K = 40, 10


def both(*relevant):
    # precision@10 by either library, where 0, 1, 2, ... is recommended to everybody
    n_users = len(relevant)
    rows = np.repeat(np.arange(n_users), [len(items) for items in relevant])
    entries = (np.ones(len(rows), np.float32), (rows, np.concatenate(relevant)))
    test = sp.csr_matrix(entries, shape=(n_users, N_ITEMS))
    model = AlternatingLeastSquares(factors=1)
    model.user_factors = np.ones((n_users, 1), np.float32)
    model.item_factors = np.arange(N_ITEMS, 0, -1, dtype=np.float32)[:, None]
    nothing = sp.csr_matrix(test.shape, dtype=np.float32)
    of_implicit = ranking_metrics_at_k(model, nothing, test, K=K, show_progress=False, num_threads=1)
    truth = {str(user): {str(item): 1 for item in items} for user, items in enumerate(relevant)}
    run = {user: {str(item): float(-item) for item in range(N_ITEMS)} for user in truth}
    judged = pytrec_eval.RelevanceEvaluator(truth, {"P_10", "ndcg_cut_10"}).evaluate(run).values()
    of_trec = {name: float(np.mean([user[name] for user in judged])) for name in ("P_10", "ndcg_cut_10")}
    print(of_implicit, of_trec)
    assert abs(of_implicit["ndcg"] - of_trec["ndcg_cut_10"]) < 1e-6  # the lists are the same
    return of_implicit["precision"], of_trec["P_10"]


one = both([1])
assert np.allclose(one, (1.0, 0.1)), one
two = both([1], [0, 2, 4, 6, 8, *range(20, 35)])
assert np.allclose(two, (6 / 11, (0.1 + 0.5) / 2)), two
PY
"$folder/venv/bin/python" -W ignore "$folder/precision.py"
echo "as described"
