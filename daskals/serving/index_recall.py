"""How much of the exact lists an index of vectors finds: recall of the libraries that are installed.

Every index gets the model's vectors by inner product, twice where the order of adding them matters to what it
finds: as the model has them, and the longest first.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from daskals.serving.vectors import Vectors
from daskals.types import Float32, Int64

WIDTH = 32
"""Neighbours that each item keeps in an index of neighbours."""

SEARCHED = 128
"""Candidates that a search keeps there; on building it, twice as many."""

AT_ONCE = 256
CLOSE = 1e-5
"""Scores that differ by less than this part of the greatest are the same: float32 sums in another order."""

Search: TypeAlias = Callable[[Float32, int], Any]
"""Rows of the items that a search finds for users' vectors, shape (users, n)."""


class Recall(NamedTuple):
    """What one index found.

    Attributes
    ----------
    library, kind, order
        Whose it is, which, and in what order the items were added.
    recall
        Part of the exact lists' places that it filled with an item as good.
    build_seconds, ms
        To add all items; milliseconds a list, all users asked at once.
    """

    library: str
    kind: str
    order: str
    recall: float
    build_seconds: float
    ms: float


class Recalls(NamedTuple):
    """What the indexes found, and the libraries that are not installed."""

    found: list[Recall]
    absent: list[str]


def measure_recall(vectors: Vectors, users: Int64, n: int = 10) -> Recalls:
    """Ask every installed library for the lists of some users.

    Parameters
    ----------
    vectors
        Of all users and items, by whose inner product lists are ordered.
    users
        Rows of users who are asked for, int64, shape (asked,).
    n
        Length of the lists.
    """
    asked, items = np.ascontiguousarray(vectors.users[users]), np.ascontiguousarray(vectors.items)
    n = min(n, len(items))
    least = _least_scores(asked, items, n)
    longest_first = np.argsort(-np.einsum("ij,ij->i", items, items), kind="stable")
    orders = {"any": np.arange(len(items)), "longest first": longest_first}
    found: list[Recall] = []
    absent: list[str] = []
    for library, indexes in INDEXES.items():
        try:
            module = importlib.import_module(library)
        except ImportError:
            absent.append(library)
            continue
        for name, build in indexes.items():
            for order, rows in orders.items() if name != FLAT else [("any", orders["any"])]:
                began = time.perf_counter()
                search = build(module, np.ascontiguousarray(items[rows]))
                built = time.perf_counter()
                lists = rows[np.asarray(search(asked, n)).astype(np.int64)]
                ended = time.perf_counter()
                recall = _recall(asked, items, lists, least)
                found.append(
                    Recall(library, name, order, recall, built - began, 1e3 * (ended - built) / len(asked))
                )
    return Recalls(found, absent)


def _least_scores(users: Float32, items: Float32, n: int) -> Float32:
    """Return the score of the last item of each exact list, shape (users,)."""
    least = [
        np.partition(users[start : start + AT_ONCE] @ items.T, -n, axis=1)[:, -n]
        for start in range(0, len(users), AT_ONCE)
    ]
    return np.concatenate(least)


def _recall(users: Float32, items: Float32, lists: Int64, least: Float32) -> float:
    """Return the part of places whose item is as good as the exact list's last; none counts twice."""
    right = 0
    for user, rows, bound in zip(users, lists, least, strict=True):
        known = np.unique(rows[rows >= 0])
        scores = items[known] @ user
        right += int(
            np.count_nonzero(scores >= bound - CLOSE * max(1.0, float(np.abs(scores).max(initial=0))))
        )
    return right / lists.size


def _faiss_flat(faiss: Any, items: Float32) -> Search:
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    return lambda users, n: index.search(users, n)[1]


def _faiss_neighbours(faiss: Any, items: Float32) -> Search:
    index = faiss.IndexHNSWFlat(items.shape[1], WIDTH, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 2 * SEARCHED, SEARCHED
    index.add(items)
    return lambda users, n: index.search(users, n)[1]


def _usearch_flat(usearch: Any, items: Float32) -> Search:
    return lambda users, n: usearch.search(items, users, n, usearch.MetricKind.IP, exact=True).keys


def _usearch_neighbours(usearch: Any, items: Float32) -> Search:
    index = usearch.Index(
        ndim=items.shape[1], metric="ip", dtype="f32", connectivity=WIDTH, expansion_add=2 * SEARCHED,
        expansion_search=SEARCHED,
    )  # fmt: skip
    index.add(np.arange(len(items)), items)
    return lambda users, n: index.search(users, n).keys


def _hnswlib_neighbours(hnswlib: Any, items: Float32) -> Search:
    index = hnswlib.Index("ip", items.shape[1])
    index.init_index(len(items), ef_construction=2 * SEARCHED, M=WIDTH, random_seed=1)
    index.add_items(items)
    index.set_ef(SEARCHED)
    return lambda users, n: index.knn_query(users, n)[0]


def _voyager_neighbours(voyager: Any, items: Float32) -> Search:
    index = voyager.Index(
        voyager.Space.InnerProduct, items.shape[1], M=WIDTH, ef_construction=2 * SEARCHED, random_seed=1
    )
    index.add_items(items)
    return lambda users, n: index.query(users, n, query_ef=SEARCHED)[0]


FLAT, NEIGHBOURS = "flat", "neighbours"
INDEXES: dict[str, dict[str, Callable[[Any, Float32], Search]]] = {
    "faiss": {FLAT: _faiss_flat, NEIGHBOURS: _faiss_neighbours},
    "usearch.index": {FLAT: _usearch_flat, NEIGHBOURS: _usearch_neighbours},
    "hnswlib": {NEIGHBOURS: _hnswlib_neighbours},
    "voyager": {NEIGHBOURS: _voyager_neighbours},
}
"""Indexes by the module that makes them."""
