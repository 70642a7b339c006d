"""Which worker a block lives on: balanced by threads, and moved as little as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SLOTS = 1024


def place_slots(threads: Mapping[str, int], before: Sequence[str] = ()) -> tuple[str, ...]:
    """Give every slot a worker's address, so that any leading run of slots is shared out by threads.

    Block k of a side lives in slot k modulo their number. `threads` are those of each worker, at least one. A
    slot stays where it was `before` as long as that worker is there and has no more than its share.
    """
    workers = sorted(threads)
    total = sum(threads.values())
    load = dict.fromkeys(workers, 0)
    slots = []
    for number in range(SLOTS):
        chosen = before[number] if before else ""
        if chosen not in load or load[chosen] * total >= (number + 1) * threads[chosen]:
            chosen = min(workers, key=lambda worker: (load[worker] / threads[worker], worker))
        load[chosen] += 1
        slots.append(chosen)
    return tuple(slots)
