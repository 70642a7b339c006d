"""Rows that workers of one machine share: who finds them, who does not, and what is sent instead."""

from __future__ import annotations

import os
import pickle
import stat
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from dask.sizeof import sizeof
from distributed.protocol import deserialize, serialize

from daskals.cluster.exchange import Slab, Whole, gather_parts, share_part, solve_part
from daskals.cluster.shared_memory import Reference, SharedFile, Sharing, offer, reaches
from daskals.cluster.solved_part import SolvedPart
from daskals.kernels.toolkit.layout import aligned_empty
from daskals.types import BlockStats
from tests.cases.shared_files import held_files

WHOLE = Whole("user", 64, 16)
STARTS = range(0, 64, 8)
BY_VALUE = 64 * 16 * 4 // 2


class Starts(NamedTuple):
    """What blocks leave to be added up here: where they start, in the order of the sum."""

    found: tuple[int, ...]

    def plus(self, other: Starts) -> Starts:
        return Starts(self.found + other.found)


def slab_of(start: int) -> Slab:
    rows = (np.arange(8 * 16, dtype=np.float32) + 1000 * start).reshape(8, 16)
    return Slab(start, rows, BlockStats(0.1 * start, 1.0), moments=Starts((start,)))


def part_of(half: int, solve=share_part) -> SolvedPart:
    """Solve every other block, the last first."""
    starts = list(STARTS[half::2])[::-1]
    part: SolvedPart = solve(WHOLE, slab_of, "user", [(start,) for start in starts], starts, ())
    return part


def sent(part: SolvedPart) -> tuple[dict[str, Any], list[Any]]:
    """Serialise a part as it is sent to another worker."""
    header, frames = serialize(part, context={"compression": None})
    return header, [bytes(frame) for frame in frames]


def received(part: SolvedPart) -> SolvedPart:
    found: SolvedPart = deserialize(*sent(part))
    return found


def check_whole(parts: list[SolvedPart]) -> None:
    found = gather_parts(parts)
    np.testing.assert_array_equal(found.rows, np.concatenate([slab_of(start).rows for start in STARTS]))
    assert found.rows.ctypes.data % 64 == 0
    sse = 0.0
    for start in STARTS:
        sse += 0.1 * start
    assert found.stats == BlockStats(sse, 8.0)
    assert found.moments == Starts(tuple(STARTS))


def test_what_is_sent_is_where_the_rows_lie() -> None:
    own, other = part_of(0), part_of(1)
    assert sum(map(len, sent(other)[1])) < BY_VALUE / 2
    assert sizeof(other) < BY_VALUE
    there = received(other)
    check_whole([own, there])
    check_whole([there, own])
    check_whole([received(own), received(received(other))])  # where neither was solved


def test_rows_are_put_into_those_of_a_part_that_is_here() -> None:
    own = part_of(0)
    assert gather_parts([received(part_of(1, solve_part)), own]).rows is own.whole


def test_received_rows_outlive_their_writer() -> None:
    other = part_of(1)
    there = received(other)
    del other
    check_whole([part_of(0), there])


def test_rows_whose_writer_is_gone_are_lost_as_any_result() -> None:
    other = part_of(1)
    header, frames = sent(other)
    del other
    with pytest.raises(futures.CancelledError, match="a process that is gone"):
        gather_parts([part_of(0), deserialize(header, frames)])


def test_a_disk_gets_the_rows_themselves() -> None:
    other = part_of(1)
    for part in (other, received(other)):
        header, frames = serialize(part)  # as Dask spills
        assert header["serializer"] == "pickle"
        check_whole([part_of(0), deserialize(header, frames)])
    there = received(other)
    copied = pickle.loads(pickle.dumps(there))
    assert sizeof(copied) > BY_VALUE > sizeof(there)


@pytest.mark.parametrize("solve", [solve_part, share_part])
def test_where_there_is_no_such_memory_the_rows_are_sent(monkeypatch, solve) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    if solve is share_part:
        monkeypatch.setattr(os, "pwrite", refuse)
    other = part_of(1, solve)
    assert sizeof(other) > BY_VALUE
    assert sum(map(len, sent(other)[1])) > BY_VALUE
    check_whole([part_of(0, solve), received(other)])


def test_a_system_without_such_files(monkeypatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert SharedFile.create() is None
    monkeypatch.delattr(os, "memfd_create")
    assert SharedFile.create() is None
    other = part_of(1)
    assert other.shared is None
    check_whole([part_of(0), received(other)])


def test_nobody_else_may_open_it_and_no_folder_has_it() -> None:
    shared = SharedFile.create()
    assert shared is not None
    found = os.fstat(shared.reference.descriptor)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_nlink == 0
    assert not os.get_inheritable(shared.reference.descriptor)
    other = SharedFile.find(shared.reference)
    assert other is not None
    with pytest.raises(OSError, match="Bad file descriptor"):  # whoever reads cannot write
        os.pwrite(other.reference.descriptor, b"x", 0)


def test_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    shared = SharedFile.create()
    assert shared is not None
    process, descriptor, name = shared.reference
    assert held_files(name) == 1
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        assert SharedFile.find(Reference(process, pipe, name)) is None
        assert SharedFile.find(Reference(process, descriptor, name[:-1] + "x")) is None
        assert SharedFile.find(Reference(2**22 + 1, descriptor, name)) is None
    finally:
        os.close(pipe)
    del shared
    assert SharedFile.find(Reference(process, descriptor, name)) is None
    assert held_files(name) == 0


def test_a_block_may_be_written_in_several_turns(monkeypatch) -> None:
    real = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real[0](file, data[:100], at))
    monkeypatch.setattr(os, "preadv", lambda file, data, at: real[1](file, [data[0][:100]], at))
    shared, rows, found = SharedFile.create(), slab_of(3).rows, aligned_empty(8, 16)
    assert shared is not None
    shared.write(rows, 640)
    shared.read(found, 640)
    np.testing.assert_array_equal(found, rows)


class Workers:
    """Workers that answer as they are told, in place of `Cluster.everywhere`."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    def __call__(self, function, *arguments, workers):
        return self.answers.pop(0)


HOMES = ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
THERE = dict.fromkeys(HOMES, Reference(1, 2, "x"))


@pytest.mark.parametrize(
    ("expected", "answers"),
    [
        (True, [THERE, dict.fromkeys(HOMES, True)]),
        (False, [THERE, {HOMES[0]: True, HOMES[1]: False}]),
        (False, [THERE, {HOMES[0]: True}]),
        (False, [{**THERE, HOMES[0]: None}]),
        (False, [{HOMES[0]: THERE[HOMES[0]]}]),
    ],
)
def test_memory_is_shared_where_all_workers_read_it(expected: bool, answers) -> None:
    sharing = Sharing(Workers(*answers))
    assert sharing.among(HOMES) is expected
    assert sharing.among(HOMES) is expected  # asked once


def test_workers_are_asked_again_once_rows_were_not_there() -> None:
    sharing = Sharing(Workers(THERE, dict.fromkeys(HOMES, True), {}))
    assert sharing.among(HOMES)
    sharing.ask_again()
    assert not sharing.among(HOMES)


def test_workers_of_one_process_and_new_ones() -> None:
    sharing = Sharing(Workers(THERE, dict.fromkeys(HOMES, True), {}))
    assert not sharing.among(("inproc://1", "inproc://2"))
    assert sharing.among(HOMES)
    assert not sharing.among((HOMES[0], "tcp://127.0.0.1:3"))


def test_a_worker_reaches_what_it_offers() -> None:
    reference = offer()
    assert reference is not None
    assert offer() == reference
    assert reaches([reference])
    assert not reaches([reference, reference._replace(name="another")])
