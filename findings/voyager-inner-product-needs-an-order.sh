#!/usr/bin/env bash
# voyager 2.2.3: how many of the best items an inner-product index finds is a matter of the order they were added in.
#
# One would guess: Space.InnerProduct of an HNSW index finds nearly all of the ten best items for a user, as the plain
#   inner product of faiss' HNSW does with the same M, ef and items, and the order of the items hardly matters.
# What happens: items are given one more coordinate that makes them as long as the longest seen, so that the inner
#   product becomes a distance. Where item vectors differ much in length, as those of popular and rare titles may,
#   searches then miss the longest, and most of a list is wrong. Added in order of length, either way, they are found.
#   Space.Euclidean with that coordinate put in by hand, and right for all, fails alike, so it is not that lengths are
#   unknown at first. Nothing tells: distances of what is found are right.
# Seen: voyager 2.2.3, faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11, Linux x86-64, one thread, seed 1, 10,000 items in
#   20 dimensions with log-normal lengths (sigma 0.7), M 16, ef 50: recall@10 .177 as they come, .998 shortest first,
#   1.000 longest first, .142 with the coordinate by hand; faiss .988 as they come. Median length of the items found
#   in the first case 16.8, of the best 29.6.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check voyager==2.2.3 faiss-cpu==1.15.1 numpy==2.4.6
cat > "$folder/recall.py" <<'PY'
import faiss
import numpy as np
import voyager

N, K, DIM, M, EF = 10_000, 10, 20, 16, 50

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
items = rng.standard_normal((N, DIM)) * np.exp(0.7 * rng.standard_normal((N, 1)))
items = items.astype(np.float32)
users = rng.standard_normal((300, DIM)).astype(np.float32)
best = np.argsort(-(users @ items.T), axis=1)[:, :K]
lengths = np.linalg.norm(items, axis=1)
added = np.sqrt(np.maximum(lengths.max() ** 2 - lengths**2, 0))


def recall(lists):
    hits = [len(set(found.tolist()) & set(right.tolist())) for found, right in zip(lists, best)]
    return round(sum(hits) / best.size, 3)


def of_voyager(order, space=voyager.Space.InnerProduct, items=items, users=users):
    index = voyager.Index(space, items.shape[1], M=M, ef_construction=200, random_seed=1)
    index.add_items(items[order], order, num_threads=1)
    return recall(index.query(users, K, num_threads=1, query_ef=EF)[0])


def of_faiss():
    index = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 200, EF
    index.add(items)
    return recall(index.search(users, K)[1])


any_order = np.arange(N)
longer = np.column_stack([items, added]).astype(np.float32)
flat = np.column_stack([users, np.zeros(len(users))]).astype(np.float32)
found = {
    "as they come": of_voyager(any_order),
    "by hand": of_voyager(any_order, voyager.Space.Euclidean, longer, flat),
    "shortest first": of_voyager(np.argsort(lengths)),
    "longest first": of_voyager(np.argsort(-lengths)),
    "faiss, as they come": of_faiss(),
}
print(found)
assert max(found["as they come"], found["by hand"]) < 0.5, found
assert min(found["shortest first"], found["longest first"], found["faiss, as they come"]) > 0.95, found
PY
"$folder/venv/bin/python" "$folder/recall.py"
echo "as described"
