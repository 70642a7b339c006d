"""Requests a second of the HTTP service, on a planted model: the measurement of `jobs.bench service`.

The client runs in this process and shares the machine with the service. `cpu_ms`, the service's own processor
time a request, hardly changes with what else runs there.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa

from daskals.config import TrainConfig
from daskals.errors import DaskalsError
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.fitted import Model
from daskals.model.training_ratings import KeptRatings

RATINGS_EACH = 100
PROFILE = 30
LENGTH = 10
STARS = (np.arange(1, 11) / 2).astype(np.float32)


class Load(NamedTuple):
    """What the service has to bear.

    Attributes
    ----------
    users, items, rank
        Size of the planted model.
    connections
        Requests at a time: each is followed by the next once it is answered.
    seconds
        How long, for each kind of request.
    """

    users: int
    items: int
    rank: int
    connections: int
    seconds: float


class Served(NamedTuple):
    """What came of one kind of request.

    Attributes
    ----------
    kind
        `known` users' lists of ten, or those of people `folded in` with 30 ratings.
    requests, errors
        Answers, and those among them that were none of 200.
    per_second, p50_ms, p99_ms
        Requests a second; median and 99th percentile of the time to an answer.
    cpu_ms
        Processor time of the service a request.
    """

    kind: str
    requests: int
    errors: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def planted_model(load: Load) -> Model:
    """Return a model of random factors whose users have rated 100 items each, the same every time."""
    rng = np.random.default_rng(1)
    each = min(RATINGS_EACH, load.items // 2)
    rated = np.stack([np.sort(rng.choice(load.items, each, replace=False)) for _ in range(load.users)])
    config = TrainConfig.parse({"model": "als", "rank": load.rank, "order": "rating", "split": "none"})

    def rows(count: int) -> np.ndarray:
        factors = 0.3 * rng.standard_normal((count, load.rank), np.float32)
        return pack_rows(factors, 0.3 * rng.standard_normal(count, np.float32))

    return Model(
        rank=load.rank,
        mean=3.5,
        limits=(0.5, 5.0),
        user_rows=rows(load.users),
        item_rows=rows(load.items),
        user_ids=pa.array(np.arange(load.users)),
        item_ids=pa.array(np.arange(load.items)),
        user_counts=np.full(load.users, each),
        item_counts=np.bincount(rated.ravel(), minlength=load.items),
        catalogue=pa.table({"title": [f"Film {item} (2000)" for item in range(load.items)]}),
        report={"config": config.as_report(), "data": {}},
        kept=KeptRatings(
            indptr=each * np.arange(load.users + 1),
            items=rated.astype(np.int32).ravel(),
            values=rng.integers(0, len(STARS), rated.size).astype(np.uint8),
            scale=STARS,
            held_indptr=np.zeros(load.users + 1, np.int64),
            held_items=np.empty(0, np.int32),
        ),
    )


def measure_service(load: Load, tell: Callable[[str], None]) -> list[Served]:
    """Serve a planted model in a process of its own and ask it; raise DaskalsError if it does not start."""
    with tempfile.TemporaryDirectory(prefix="daskals-bench-") as folder:
        tell(f"a planted model of {load.items:,} items, rank {load.rank} …")
        planted_model(load).save(Path(folder) / "model")
        with _service(Path(folder) / "model") as (process, port):
            found = []
            for kind, request in (("known", _known(load)), ("folded in", _folded_in(load))):
                tell(f"{kind}, {load.connections} connections …")
                before = sum(process.cpu_times()[:2])
                times, errors, seconds = asyncio.run(_ask(port, request, load))
                cpu = sum(process.cpu_times()[:2]) - before
                p50, p99 = 1e3 * np.percentile(times, [50, 99])
                rate = len(times) / seconds
                found.append(
                    Served(kind, len(times), errors, rate, float(p50), float(p99), 1e3 * cpu / len(times))
                )
    return found


@contextmanager
def _service(model: Path) -> Iterator[tuple[psutil.Process, int]]:
    command = [sys.executable, "-m", "daskals", "serve", str(model), "--port", "0", "--quiet"]
    process = subprocess.Popen(  # noqa: S603 - this interpreter, and a folder of ours
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        if not told.startswith("serving "):
            raise DaskalsError(
                "the service did not start", remedy=process.communicate()[1].strip().rstrip(".")
            )
        yield psutil.Process(process.pid), int(told.partition(",")[0].rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate()


def _known(load: Load) -> Callable[[np.random.Generator], bytes]:
    def request(rng: np.random.Generator) -> bytes:
        path = f"/v1/recommend?n={LENGTH}&user={rng.integers(load.users)}"
        return f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode()

    return request


def _folded_in(load: Load) -> Callable[[np.random.Generator], bytes]:
    def request(rng: np.random.Generator) -> bytes:
        items = np.unique(rng.integers(load.items, size=PROFILE))
        rated = [{"item": item, "rating": item % 10 / 2 + 0.5} for item in items.tolist()]
        body = json.dumps({"n": LENGTH, "ratings": rated}).encode()
        head = "content-type: application/json\r\ncontent-length"
        return f"POST /v1/recommend HTTP/1.1\r\nhost: here\r\n{head}: {len(body)}\r\n\r\n".encode() + body

    return request


async def _ask(
    port: int, request: Callable[[np.random.Generator], bytes], load: Load
) -> tuple[list[float], int, float]:
    """Ask on all connections; return the seconds of each request, how many failed, and the time it took."""
    times: list[float] = []
    failed = 0

    async def connection(number: int) -> None:
        nonlocal failed
        rng = np.random.default_rng(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            message = request(rng)
            began = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append(time.perf_counter() - began)
            failed += b" 200 " not in head[:16]
        writer.close()

    began = time.perf_counter()
    until = began + load.seconds
    await asyncio.gather(*(connection(number) for number in range(load.connections)))
    return times, failed, time.perf_counter() - began
