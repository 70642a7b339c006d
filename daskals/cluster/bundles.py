"""Bundles: all tasks of small epochs in one, where there is one worker in this process.

A task costs ten milliseconds on its way through the scheduler and back, a half-step on a hundred thousand
ratings one. What is submitted while a bundle is open becomes a `Part` of it, and the bundle one task that
calls its parts in the order in which they were submitted.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any, NamedTuple

from distributed import Client, Future

SMALL_EPOCH = 1e9
"""Multiplications up to which an epoch is small: some tens of milliseconds' worth."""


def is_small(n_ratings: int, n_rows: int, rank: int) -> bool:
    """Tell whether an epoch takes less than its tasks on their way through a scheduler.

    `n_rows` are those of both sides: each takes a system to solve.
    """
    size = rank + 2
    return n_ratings * size**2 + n_rows * size**3 / 3 <= SMALL_EPOCH


class Part:
    """A task in a bundle; whoever holds it wants its result, and nobody else does."""

    def __init__(self, bundle: Bundle, number: int) -> None:
        self.bundle = bundle
        self.number = number

    @property
    def key(self) -> str:
        """Name, for messages."""
        return self.bundle.names[self.number]


class Reference(NamedTuple):
    """What stands for a result in the arguments of a call: of the bundle's own call, or of another task.

    `part` tells which of another bundle's results is meant.
    """

    own: int | None = None
    other: int | None = None
    part: int | None = None


class Call(NamedTuple):
    """One call of a bundle, results that it needs in the form of references."""

    function: Callable[..., Any]
    arguments: list[Any]


class Failure(NamedTuple):
    """What a call raised, in its result's place: calls before it, of earlier epochs, are none the worse."""

    error: Exception


class Bundle:
    """Calls that go to the cluster as one task.

    `names` are the keys of its parts; `results` what came back, once somebody asked.

    Parameters
    ----------
    key, submit
        Of the task; submits a function and its arguments under a key.
    """

    def __init__(self, key: str, submit: Callable[..., Future]) -> None:
        self.names: list[str] = []
        self.results: dict[int, Any] | None = None
        self.key, self.submit = key, submit
        self._calls: list[Call] = []
        self._parts: list[weakref.ref[Part]] = []
        self._others: list[Future] = []
        self._places: dict[int, int] = {}
        self._sent: Future | None = None

    def add(self, function: Callable[..., Any], arguments: Sequence[Any], key: str) -> Part:
        """Add a call; `arguments` as `Cluster.submit` takes them."""
        part = Part(self, len(self._calls))
        self._calls.append(Call(function, mapped(list(arguments), self._referred)))
        self._parts.append(weakref.ref(part))
        self.names.append(key)
        return part

    def _referred(self, value: Any) -> Any:
        """Return what stands for a task in a call's arguments."""
        if isinstance(value, Part):
            if value.bundle is self:
                return Reference(own=value.number)
            return Reference(other=self._place_of(value.bundle.future), part=value.number)
        if isinstance(value, Future):
            return Reference(other=self._place_of(value))
        return value

    def _place_of(self, future: Future) -> int:
        place = self._places.setdefault(id(future), len(self._others))
        if place == len(self._others):
            self._others.append(future)
        return place

    @property
    def future(self) -> Future:
        """The task that was sent."""
        assert self._sent is not None, "what is awaited was sent"
        return self._sent

    def send(self) -> None:
        """Submit the task; its result are those of the parts that somebody still holds."""
        wanted = [number for number, part in enumerate(self._parts) if part() is not None]
        self._sent = self.submit(run_bundle, self._calls, wanted, self._others, key=self.key)
        self._calls, self._others, self._places = [], [], {}


class OpenBundle(local):
    """The bundle that a thread is filling, if it is."""

    bundle: Bundle | None = None

    @contextmanager
    def filled(self, key: str, submit: Callable[..., Future]) -> Iterator[Bundle]:
        """Fill one in the block, and send it at its end.

        Parameters
        ----------
        key, submit
            As `Bundle` takes them.
        """
        self.bundle = Bundle(key, submit)
        try:
            yield self.bundle
        finally:
            last, self.bundle = self.bundle, None
        last.send()

    def send_awaited(self, part: Part) -> None:
        """Send what is being filled, where `part` is of it; another takes what follows."""
        if part.bundle is self.bundle:
            self.bundle.send()
            self.bundle = Bundle(f"{self.bundle.key}-more", self.bundle.submit)


def future_of(task: Future | Part) -> Future:
    """Return the task that brings a task's result."""
    return task.bundle.future if isinstance(task, Part) else task


def apart(client: Client, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments of a task with tasks of their own in place of bundles' parts."""

    def alone(value: Any) -> Any:
        if not isinstance(value, Part):
            return value
        return client.submit(part_of, value.bundle.future, value.number, key=f"{value.key}-alone", pure=False)

    changed: tuple[Any, ...] = mapped(arguments, alone)
    return changed


def run_bundle(calls: Sequence[Call], wanted: Sequence[int], others: Sequence[Any]) -> dict[int, Any]:
    """Call all in turn; return the results that are wanted, by their numbers.

    Parameters
    ----------
    calls, wanted
        The calls, and the numbers of those whose results are asked for. What no later call needs is let go.
    others
        Results of other tasks that calls refer to.
    """
    needed = Counter(reference.own for call in calls for reference in references_in(call.arguments))
    found: dict[int, Any] = {}
    kept = frozenset(wanted)

    def resolved(value: Any) -> Any:
        if not isinstance(value, Reference):
            return value
        if value.own is not None:
            return of_part(found[value.own])
        assert value.other is not None
        other = others[value.other]
        return other if value.part is None else of_part(other[value.part])

    for number, call in enumerate(calls):
        result: Any
        try:
            result = call.function(*mapped(call.arguments, resolved))
        except Exception as error:  # noqa: BLE001 - raised for whoever awaits this part, or one that needs it
            result = Failure(error)
        if needed[number] or number in kept:
            found[number] = result
        for reference in references_in(call.arguments):
            needed[reference.own] -= 1
            if reference.own is not None and not needed[reference.own] and reference.own not in kept:
                found.pop(reference.own, None)
    return found


def part_of(results: Mapping[int, Any], number: int) -> Any:
    """Return one result of a bundle; raise what its call raised."""
    return of_part(results[number])


def of_part(result: Any) -> Any:
    """Return what a call returned; raise what it raised."""
    if isinstance(result, Failure):
        raise result.error
    return result


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value with `change` made to whatever lies in its lists, tuples and dictionaries."""
    if isinstance(value, list):
        return [mapped(one, change) for one in value]
    if type(value) is tuple:
        return tuple(mapped(one, change) for one in value)
    if type(value) is dict:
        return {name: mapped(one, change) for name, one in value.items()}
    return change(value)


def references_in(value: Any) -> Iterator[Reference]:
    """Yield the references in lists, tuples and dictionaries."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, list) or type(value) is tuple:
        for one in value:
            yield from references_in(one)
    elif type(value) is dict:
        yield from references_in(list(value.values()))
