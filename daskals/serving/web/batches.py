"""Requests that wait at the same time, answered together by threads that compiled code lets run side by side.

One person's list reads all items from memory, and so do sixty-four: what waits together is scored together.
An answer is the same whatever it is scored with.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from daskals.kernels.scoring.topk import ItemPanels, SeenItems, top_items
from daskals.model.training_ratings import starts_of
from daskals.types import Float32, Int32, Int64

MOST_TOGETHER = 32
"""Requests of one batch; more gains little, and the first would wait for the last."""


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


Work: TypeAlias = Callable[[], bytes | Ranking]
"""Answers a request, or says which list has to be scored for it."""


class Busy(Exception):  # noqa: N818 - a state of the service, not a fault
    """Too many requests wait already."""


class _Waiting(NamedTuple):
    """A request that waits, and where its answer goes."""

    work: Work
    future: asyncio.Future[bytes]
    loop: asyncio.AbstractEventLoop


class _Outcome(NamedTuple):
    """What became of a request."""

    future: asyncio.Future[bytes]
    answer: bytes
    error: BaseException | None


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
            if len(self._waiting) >= self._most_waiting:
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
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._ended)
                if not self._waiting:
                    return
                count = min(len(self._waiting), MOST_TOGETHER)
                batch = [self._waiting.popleft() for _ in range(count)]
            # who gave up waiting is answered no more
            outcomes = _answer_all([one for one in batch if not one.future.done()])
            if outcomes:
                try:
                    batch[0].loop.call_soon_threadsafe(_deliver, outcomes)
                except RuntimeError:  # the loop is closed: nobody waits any longer
                    return


def _answer_all(batch: list[_Waiting]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    rankings: dict[int, list[tuple[_Waiting, Ranking]]] = {}
    for one in batch:
        try:
            found = one.work()
        except Exception as error:  # noqa: BLE001 - it is handed to who asked
            outcomes.append(_Outcome(one.future, b"", error))
            continue
        if isinstance(found, bytes):
            outcomes.append(_Outcome(one.future, found, None))
        else:
            rankings.setdefault(id(found.panels), []).append((one, found))
    for together in rankings.values():
        try:
            outcomes += _rank(together)
        except Exception as error:  # noqa: BLE001 - it is handed to all who asked
            outcomes += [_Outcome(one.future, b"", error) for one, _ in together]
    return outcomes


def _rank(together: list[tuple[_Waiting, Ranking]]) -> list[_Outcome]:
    lists = [ranking for _, ranking in together]
    left_out = starts_of(np.array([len(one.left_out) for one in lists], np.int64))
    seen = SeenItems(left_out, np.concatenate([one.left_out for one in lists]))
    vectors = np.stack([one.vector for one in lists])
    found = top_items(lists[0].panels, vectors, max(one.n for one in lists), seen)
    outcomes = []
    for (waiting, one), items, scores in zip(together, found.items, found.scores, strict=True):
        kept = items[: one.n] >= 0
        try:
            answer = one.finish(items[: one.n][kept].astype(np.int64), scores[: one.n][kept])
            outcomes.append(_Outcome(waiting.future, answer, None))
        except Exception as error:  # noqa: BLE001 - it is handed to who asked
            outcomes.append(_Outcome(waiting.future, b"", error))
    return outcomes


def _deliver(outcomes: list[_Outcome]) -> None:
    for future, answer, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
