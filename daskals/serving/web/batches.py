"""Requests that wait at the same time, answered together by threads that compiled code lets run side by side.

One person's list reads all items from memory, and so do forty-eight; one person folded in fills one lane of a
vector register, and so do eight. So what waits together is solved and scored together, and while one thread
scores, what comes meanwhile is gathered for the next pass. An answer is the same whatever it is solved and
scored with.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import TOGETHER, ItemPanels, SeenItems, TopItems, top_items
from daskals.model.fitted import Model
from daskals.model.order.scoring import OrderScorer
from daskals.model.profile import Profile, RatedRows
from daskals.model.training_ratings import TrainingRatings, starts_of
from daskals.types import Float32, Int32, Int64


@dataclass(frozen=True, eq=False)
class Ranking:
    """A list still to be scored.

    Attributes
    ----------
    panels
        The items, packed.
    vector
        float32, shape (panels.rank,): what they are multiplied with.
    n
        Length of the list.
    left_out
        int32, shape (left out,): rows that are not listed.
    finish
        Makes the answer of the rows found and their scores.
    """

    panels: ItemPanels
    vector: Float32
    n: int
    left_out: Int32
    finish: Callable[[Int64, Float32], bytes]


@dataclass(frozen=True, eq=False)
class AffinityRanking:
    """A list by affinity still to be scored.

    Attributes
    ----------
    scorer
        What scores items.
    person
        Whose list it is.
    n, left_out, finish
        As of `Ranking`.
    """

    scorer: OrderScorer
    person: Profile
    n: int
    left_out: Int32
    finish: Callable[[Int64, Float32], bytes]


@dataclass(frozen=True, eq=False)
class Folding:
    """Somebody still to be placed.

    Attributes
    ----------
    model
        Where.
    rated
        Their ratings.
    finish
        Makes the answer, or the list still to be scored, once they are placed.
    """

    model: Model
    rated: RatedRows
    finish: Callable[[Profile], Ranking | AffinityRanking]


Step: TypeAlias = bytes | Ranking | AffinityRanking | Folding
"""An answer, or what has to be done for it with others."""

Asked = TypeVar("Asked", Ranking, AffinityRanking)

Work: TypeAlias = Callable[[], Step]
"""Answers a request, or says what has to be done for it."""


class Busy(Exception):  # noqa: N818 - a state of the service, not a fault
    """Too many requests wait already."""


class _Waiting(NamedTuple):
    """A request that waits, and where its answer goes."""

    work: Work
    future: asyncio.Future[bytes]
    loop: asyncio.AbstractEventLoop


class _List(NamedTuple, Generic[Asked]):
    """A request whose list waits to be scored."""

    waiting: _Waiting
    ranking: Asked


class _Outcome(NamedTuple):
    """What became of a request."""

    waiting: _Waiting
    answer: bytes
    error: BaseException | None = None


class Batches:
    """Threads that answer what waits.

    Parameters
    ----------
    threads
        How many.
    most_waiting
        Requests that may wait at once.
    """

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._lists: deque[_List[Ranking]] = deque()
        self._scoring = 0
        self._changed = threading.Condition()
        self._ended = False
        self._threads = [
            threading.Thread(target=self._run, name=f"daskals-answers-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def answer(self, work: Work) -> bytes:
        """Have a request answered; raise Busy where too many wait, and whatever its work raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        with self._changed:
            if len(self._waiting) + len(self._lists) >= self._most_waiting:
                raise Busy
            self._waiting.append(_Waiting(work, future, loop))
            self._changed.notify()
        return await future

    def end(self) -> None:
        """End the threads, once what waits is answered."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._take():
            # who gave up waiting is answered no more
            lists, outcomes = _work([one for one in batch if not one.future.done()])
            _deliver(outcomes)
            with self._changed:
                self._lists.extend(lists)
            while together := self._take_lists():
                try:
                    _deliver(
                        _ranked(together, partial(_best_by_rating, [ranking for _, ranking in together]))
                    )
                finally:
                    with self._changed:
                        self._scoring -= 1

    def _take(self) -> list[_Waiting]:
        """Wait for requests and take them; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._ended)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]

    def _take_lists(self) -> list[_List[Ranking]]:
        """Take the lists of one pass; none if they are few and another thread scores: it takes them next."""
        with self._changed:
            if not self._lists or (self._scoring and len(self._lists) < TOGETHER):
                return []
            self._scoring += 1
            panels = self._lists[0].ranking.panels
            together: list[_List[Ranking]] = []
            while self._lists and self._lists[0].ranking.panels is panels and len(together) < TOGETHER:
                together.append(self._lists.popleft())
            return together


def _work(batch: list[_Waiting]) -> tuple[list[_List[Ranking]], list[_Outcome]]:
    """Do what requests ask for; return the lists to score with those of other threads, and answers.

    Lists by affinity are scored here: what they read is large, and each thread reads its own part of it.
    """
    lists: list[_List[Ranking]] = []
    outcomes: list[_Outcome] = []
    affinities: dict[int, list[_List[AffinityRanking]]] = {}
    foldings: dict[int, list[tuple[_Waiting, Folding]]] = {}

    def go_on(one: _Waiting, step: Callable[[], Step]) -> None:
        try:
            found = step()
        except Exception as error:  # noqa: BLE001 - it is handed to who asked
            outcomes.append(_Outcome(one, b"", error))
            return
        if isinstance(found, Ranking):
            lists.append(_List(one, found))
        elif isinstance(found, AffinityRanking):
            affinities.setdefault(id(found.scorer), []).append(_List(one, found))
        elif isinstance(found, Folding):
            foldings.setdefault(id(found.model), []).append((one, found))
        else:
            outcomes.append(_Outcome(one, found))

    for one in batch:
        go_on(one, one.work)
    for together in foldings.values():
        for (one, folding), placed in zip(together, _place([f for _, f in together]), strict=True):
            go_on(one, partial(_finish_folding, folding, placed))
    for alike in affinities.values():
        outcomes.extend(_ranked(alike, partial(_best_by_affinity, [ranking for _, ranking in alike])))
    return lists, outcomes


def _place(together: list[Folding]) -> list[Profile | None]:
    """Place people of one model; None for each where that fails for one of them."""
    try:
        return [*together[0].model.place([one.rated for one in together])]
    except Exception:  # noqa: BLE001 - each is placed alone then, and told what is wrong
        return [None] * len(together)


def _finish_folding(folding: Folding, placed: Profile | None) -> Ranking | AffinityRanking:
    return folding.finish(folding.model.place([folding.rated])[0] if placed is None else placed)


def _best_by_affinity(lists: list[AffinityRanking]) -> TopItems:
    """Score lists by affinity, of one model."""
    people = [one.person for one in lists]
    known = TrainingRatings.joined([person.known for person in people])
    scores = lists[0].scorer.scores_of(known, np.stack([person.factors for person in people]))
    return top_of_scores(scores, max(one.n for one in lists), _left_out(lists))


def _best_by_rating(lists: list[Ranking]) -> TopItems:
    """Score lists of the same items."""
    vectors = np.stack([one.vector for one in lists])
    return top_items(lists[0].panels, vectors, max(one.n for one in lists), _left_out(lists))


def _left_out(lists: Sequence[Ranking | AffinityRanking]) -> SeenItems:
    starts = starts_of(np.array([len(one.left_out) for one in lists], np.int64))
    return SeenItems(starts, np.concatenate([one.left_out for one in lists]))


def _ranked(together: Sequence[_List[Asked]], find: Callable[[], TopItems]) -> list[_Outcome]:
    """Answer requests with the lists that are found for all of them."""
    try:
        found = find()
    except Exception as error:  # noqa: BLE001 - it is handed to all who asked
        return [_Outcome(one.waiting, b"", error) for one in together]
    outcomes = []
    for (waiting, one), items, scores in zip(together, found.items, found.scores, strict=True):
        kept = items[: one.n] >= 0
        try:
            answer = one.finish(items[: one.n][kept].astype(np.int64), scores[: one.n][kept])
            outcomes.append(_Outcome(waiting, answer))
        except Exception as error:  # noqa: BLE001 - it is handed to who asked
            outcomes.append(_Outcome(waiting, b"", error))
    return outcomes


def _deliver(outcomes: list[_Outcome]) -> None:
    """Hand outcomes to the loop that waits for them; where it is closed, nobody does any longer."""
    if outcomes:
        with suppress(RuntimeError):
            outcomes[0].waiting.loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[_Outcome]) -> None:
    for (_, future, _), answer, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
