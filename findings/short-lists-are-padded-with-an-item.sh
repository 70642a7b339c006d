#!/usr/bin/env bash
# usearch 2.26.6, implicit 0.7.3, faiss-cpu 1.15.1: lists that run out of items go on with a real one.
#
# One would guess: a user who has few items left, or a shop with few items, gets a shorter list, or what is missing is
#   marked in the ids by a value that is no row, and sorts behind all items by its score.
# What happens: usearch fills the keys of a batch with 0, which is an item's key, beside a distance of NaN; only
#   `counts` tells, while a query alone gets a short list. implicit first names what it was told to leave out, with a
#   score of -3.4e38, then item 0 again and again with a score of 0.0: higher than every real score below zero, so
#   whoever sorts by score, or drops the -3.4e38 alone, recommends item 0. faiss fills with -1, which NumPy takes for
#   the last item when ids are looked up. Right are the first `counts` keys of usearch, the rows >= 0 of faiss, and
#   asking implicit for no more than there is beside what is filtered.
# Seen: usearch 2.26.6, implicit 0.7.3, faiss-cpu 1.15.1, numpy 2.4.6, scipy 1.17.1, Python 3.11, Linux x86-64, a
#   catalogue of three items: keys 2 1 0 0 0; ids 2 0 1 0 0 with scores -1 -3.4e38 -3.4e38 0 0; ids 2 1 0 -1 -1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check usearch==2.26.6 implicit==0.7.3 faiss-cpu==1.15.1 \
  numpy==2.4.6 scipy==1.17.1
cat > "$folder/lists.py" <<'PY'
import faiss
import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from usearch.index import Index

N = 5
TITLES = np.array(["first", "second", "third"])

items = np.array([[-3, 0], [-2, 0], [-1, 0]], np.float32)  # rows in order of how little they suit the user
user = np.array([[1, 0]], np.float32)

usearch = Index(ndim=2, metric="ip", dtype="f32")
usearch.add(np.arange(3), items)
alone, batch = usearch.search(user[0], N), usearch.search(np.repeat(user, 2, axis=0), N)
print("usearch:", alone.keys, batch.keys[0], batch.distances[0], batch.counts)
assert alone.keys.tolist() == [2, 1, 0]
assert batch.keys[0].tolist() == [2, 1, 0, 0, 0]
assert np.isnan(batch.distances[0, 3:]).all()
assert batch.counts.tolist() == [3, 3]

model = AlternatingLeastSquares(factors=2)
model.user_factors, model.item_factors = user, items
seen = sp.csr_matrix(np.array([[1, 1, 0]], np.float32))
ids, scores = model.recommend(0, seen, N=N, filter_already_liked_items=True)
print("implicit:", ids, scores)
assert ids[0] == 2
assert sorted(ids[1:3].tolist()) == [0, 1]
assert (scores[1:3] < -1e38).all()
assert ids[3:].tolist() == [0, 0]
assert scores[3:].tolist() == [0.0, 0.0]
assert ids[np.argmax(scores)] == 0  # the seen item, above the only one that was left

faiss_index = faiss.IndexFlatIP(2)
faiss_index.add(items)
scores, ids = faiss_index.search(user, N)
print("faiss:", ids[0], scores[0], TITLES[ids[0]])
assert ids[0].tolist() == [2, 1, 0, -1, -1]
assert TITLES[ids[0]].tolist() == ["third", "second", "first", "third", "third"]
PY
"$folder/venv/bin/python" -W ignore "$folder/lists.py"
echo "as described"
