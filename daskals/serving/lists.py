"""Recommendation lists for many at once, over Dask: best items, nearest items, as Parquet parts.

Every task loads the model from its folder, once a process and not where it is at hand, scores a range of
rows and writes one file under a temporary name. The folder of parts appears under its own name when all are
there, or not at all.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daskals.cluster.workers import Cluster, Task
from daskals.errors import DataError
from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import NOTHING, ItemPanels, SeenItems, TopItems, pack_items, top_items
from daskals.model.filters import NO_FILTERS, Filters
from daskals.model.fitted import Model
from daskals.model.list_order import Scoring
from daskals.model.order.diversity import check_diversity, diverse
from daskals.model.ordered import ListOrder
from daskals.model.top_items import check_wanted
from daskals.model.training_ratings import History, starts_of
from daskals.store.atomic_folder import Existing, staged_directory
from daskals.types import Int64

ROWS_A_PART, LEAST_ROWS = 8192, 512
"""Rows of a part at most; where all are fewer than `PARTS` such, a part has fewer, down to these."""

PARTS = 8
"""Parts that there are at least, so that threads and workers share the rows out evenly."""

RATINGS_AT_ONCE = 4_000_000
SCORES_AT_ONCE = 1 << 20
"""Affinities of users together, 4 MB a thread: as many as share what is read, and no more."""

LeaveOut: TypeAlias = Literal["all", "train", "none"]
"""Which of a user's rated items are not listed: all, those of the training part, or none of them."""

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""


@dataclass(frozen=True)
class ListRequest:
    """What lists are asked for. Small and hashable: it travels with every task.

    Attributes
    ----------
    model
        Folder of the model, which every worker can read.
    version
        Its `list_version`, so that a worker never answers with a model it kept from before.
    n
        Length of a list.
    scoring, filters
        How items are ordered, and which may be listed.
    order
        As in `Model.recommend`.
    leave_out
        What of the items that users rated is not listed.
    titles
        Write the items' titles too.
    neighbours
        List each item's nearest items instead of users' best items. Items whose factors say nothing have
        none, and are none.
    diversity
        As in `Model.recommend`.
    as_of
        The date that the lists are of, of a model that knows dates; None for the model's own.
    """

    model: str
    version: str
    n: int = 10
    scoring: Scoring = field(default_factory=Scoring)
    filters: Filters = NO_FILTERS
    order: ListOrder | None = None
    leave_out: LeaveOut = "all"
    titles: bool = False
    neighbours: bool = False
    diversity: float = 0.0
    as_of: str | None = None


def recommend_all(
    cluster: Cluster,
    request: ListRequest,
    out: Path,
    *,
    rows: Int64 | None = None,
    existing: Existing = "refuse",
    progress: Progress | None = None,
    model: Model | None = None,
) -> int:
    """Write the lists of many rows as a folder of Parquet parts.

    Parameters
    ----------
    cluster
        Where the tasks run; they must see the model, its ratings and `out`.
    request
        What is asked for.
    out
        Folder to write: `part-00000.parquet`, … with the columns `user`, `rank` (from 1), `item`, `score`,
        `title` if asked for and `stars` (the predicted rating, within the scale; not of clicks), or for
        neighbours `item`, `rank`, `similar_item`, `similarity`; users in the order of their rows.
    rows
        Rows to list, shape (rows,), distinct; all if absent.
    existing
        What to do with a folder that is already there.
    progress
        Told after each part.
    model
        What the request names, where this process has loaded it: it is not loaded again.

    Returns
    -------
    int
        Lines written.

    Raises
    ------
    ConfigError
        If n is out of range.
    DataError
        If nothing is left to recommend.
    StoreError
        If the ratings are gone, so that seen items are not known.
    OutputError
        If `out` cannot be written or is taken.
    """
    if model is not None:
        _at_hand[request.model, request.version] = model
    request, n_rows = _checked(request)
    if rows is not None:
        n_rows = len(rows)
    with staged_directory(out.absolute(), existing=existing) as folder:
        chosen: str | None = None
        if rows is not None:
            chosen = str(folder / ".rows.npy")
            np.save(chosen, np.sort(rows))
        size = min(ROWS_A_PART, max(LEAST_ROWS, -(-n_rows // PARTS)))  # of no number of workers: same files
        bounds = [(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
        begun: dict[int, Task] = {}

        def begin(part: int) -> Task:
            key = f"recommend-{uuid.uuid4().hex[:8]}-{part}"
            return cluster.submit(write_part, request, chosen, bounds[part], str(folder), part, key=key)

        def write(part: int) -> int:
            # a part whose workers died under it is begun anew
            return int(cluster.result(begun.pop(part, None) or begin(part)))

        begun |= {part: begin(part) for part in range(len(bounds))}
        lines = 0
        for part, (_, stop) in enumerate(bounds):
            lines += cluster.repeated(partial(write, part))
            if progress is not None:
                progress(stop, n_rows)
        if chosen is not None:
            Path(chosen).unlink()
    return lines


def write_part(
    request: ListRequest, chosen: str | None, bounds: tuple[int, int], folder: str, part: int
) -> int:
    """Score one range of rows and write its file; a pure task for workers. Return the lines written.

    Parameters
    ----------
    request
        What is asked for.
    chosen, bounds
        File of the rows to list (all rows if None), and the first of them and the one after the last.
    folder, part
        Where the file is written, and its number.
    """
    rows = np.arange(*bounds) if chosen is None else np.load(chosen)[slice(*bounds)]
    model, panels = _prepare(request)
    tables = [_lists(request, model, panels, *some) for some in _runs(request, model, rows)]
    table = pa.concat_tables(tables)
    target = Path(folder) / f"part-{part:05d}.parquet"
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    pq.write_table(table, temporary)
    temporary.replace(target)
    return len(table)


_loading = threading.Lock()

_at_hand: WeakValueDictionary[tuple[str, str], Model] = WeakValueDictionary()
"""Models that callers hold, by folder and version."""


@lru_cache(maxsize=1)
def _load(folder: str, version: str, as_of: str | None) -> Model:
    model = _at_hand.get((folder, version))
    if model is None:
        model = Model.load(folder)
        if model.list_version() != version:
            raise DataError(
                "the model changed while its lists were made",
                where=folder,
                expected=f"factors and order {version[:12]}",
                remedy="Run the command again",
            )
    return model if as_of is None else model.as_of(as_of)


@lru_cache(maxsize=2)
def _pack(request: ListRequest) -> ItemPanels:
    model = _load(request.model, request.version, request.as_of)
    allowed = model.allowed(request.filters)
    if request.neighbours:
        told = allowed & ~model.is_dust("item")
        return model.neighbours.packed(told)
    offsets = np.float32(request.scoring.item_weight) * model.item_biases
    return pack_items(np.ascontiguousarray(model.item_factors), offsets, allowed)


def _prepare(request: ListRequest) -> tuple[Model, ItemPanels]:
    with _loading:  # one load a process, not one a thread
        return _load(request.model, request.version, request.as_of), _pack(request)


def _checked(request: ListRequest) -> tuple[ListRequest, int]:
    """Refuse, before any work, what cannot be asked of the model; settle the order and count the rows."""
    model = _load(request.model, request.version, request.as_of)
    if not request.neighbours:
        request = replace(request, order=model.list_order(request.order, request.scoring))
        check_diversity(request.diversity, request.order)
    check_wanted(request.n, model.allowed(request.filters), "items")
    if request.neighbours and model.is_dust("item").all():
        raise DataError(
            "the factors of no item say anything, so nothing is near to anything",
            where="neighbours",
            expected="factors that the ratings taught a taste",
            remedy=model.taste_remedy.capitalize(),
        )
    if _needs_history(request):
        _history(model)
    return request, len(model.item_ids if request.neighbours else model.user_ids)


def _needs_history(request: ListRequest) -> bool:
    return not request.neighbours and (request.leave_out != "none" or request.order == "affinity")


def _history(model: Model) -> History:
    return model.history("add --include-seen --order=rating")


def _runs(request: ListRequest, model: Model, rows: Int64) -> Iterator[tuple[Int64, SeenItems]]:
    """Cut rows into runs whose ratings fit into memory, with the items not to list."""
    if request.neighbours:
        yield rows, SeenItems(np.arange(len(rows) + 1), rows.astype(np.int32))
        return
    if not _needs_history(request):
        yield rows, SeenItems(np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int32))
        return
    history = _history(model)
    indptr = starts_of(history.counts())
    start = 0
    while start < len(rows):
        limit = indptr[rows[start]] + RATINGS_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(indptr[rows + 1], limit, side="right")))
        yield rows[start:stop], _left_out(request, history, rows[start:stop])
        start = stop


def _left_out(request: ListRequest, history: History, rows: Int64) -> SeenItems:
    if request.leave_out == "none":
        return SeenItems(np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int32))
    if request.leave_out == "train":
        known = history.train(rows)
        return SeenItems(known.indptr, known.items)
    return history.seen(rows)


def _by_affinity(request: ListRequest, model: Model, rows: Int64, seen: SeenItems) -> TopItems:
    known = _history(model).train(rows)
    with _loading:  # made once, not once a thread
        scorer = model.order_scorer
    allowed = model.allowed(request.filters)
    best = np.full((len(rows), request.n), NOTHING, np.int32)
    scores = np.full((len(rows), request.n), -np.inf, np.float32)
    size = max(1, SCORES_AT_ONCE // len(allowed))
    for start in range(0, len(rows), size):
        stop = min(start + size, len(rows))
        scored = scorer.scores_of(known.of_people(start, stop), model.user_factors[rows[start:stop]])
        own = seen.of_users(start, stop)
        if not request.diversity:
            best[start:stop], scores[start:stop] = top_of_scores(scored, request.n, own, allowed)
            continue
        for k, every in enumerate(scored):
            left = allowed.copy()
            left[own.indices[own.indptr[k] : own.indptr[k + 1]]] = False
            found = diverse(scorer, every, request.n, left, request.diversity)
            best[start + k, : len(found)], scores[start + k, : len(found)] = found, every[found]
    return TopItems(best, scores)


def _lists(request: ListRequest, model: Model, panels: ItemPanels, rows: Int64, seen: SeenItems) -> pa.Table:
    if request.neighbours:
        dust = model.is_dust("item")
        told = model.allowed(request.filters) & ~dust
        found = model.neighbours.nearest(rows, request.n, told, panels)
        found.items[dust[rows]] = NOTHING
        return _table(model, request, rows, found)
    if request.order == "affinity":
        return _table(model, request, rows, _by_affinity(request, model, rows, seen))
    found = top_items(panels, np.ascontiguousarray(model.user_factors[rows]), request.n, seen)
    own = model.user_biases[rows] if request.scoring.constant(0.0, 1.0) else np.zeros(len(rows), np.float32)
    constant = np.float32(request.scoring.constant(model.mean, 0.0)) + own
    scores = found.scores + constant[:, None]
    found = TopItems(found.items, model.as_rating(scores) if request.scoring == Scoring() else scores)
    return _table(model, request, rows, found)


def _table(model: Model, request: ListRequest, rows: Int64, found: TopItems) -> pa.Table:
    if request.neighbours:
        own, ids, listed, score = "item", model.item_ids, "similar_item", "similarity"
    else:
        own, ids, listed, score = "user", model.user_ids, "item", "score"
    n = found.items.shape[1]
    kept = found.items.ravel() >= 0
    ranks = np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows))[kept]
    owners, items = np.repeat(rows, n)[kept], found.items.ravel()[kept].astype(np.int64)
    columns = {
        own: ids.take(pa.array(owners)),
        "rank": pa.array(ranks),
        listed: model.item_ids.take(pa.array(items)),
        score: pa.array(found.scores.ravel()[kept]),
    }
    if not request.neighbours:
        titles = model.catalogue_column("title") if request.titles else None
        if titles is not None:
            columns["title"] = titles.take(pa.array(items))
        if model.predicts_ratings:
            stars = np.clip(model.predict_rows(owners, items), *model.limits).astype(np.float32)
            columns["stars"] = pa.array(stars)
    return pa.table(columns)
