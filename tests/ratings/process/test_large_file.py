"""A file of ML-32M's size, read by a process whose memory is measured."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

HEADER = "userId,movieId,rating,timestamp\n"


@pytest.mark.slow
def test_thirty_two_million_rows(tmp_path):
    """A CSV of ML-32M's size is read within 4 GB and 20 s of processor time (12 s on two free cores)."""

    path = tmp_path / "ratings.csv"
    users = np.repeat(np.arange(1, 200_949), 160)[:32_000_204]
    items = (np.arange(len(users)) * 7919) % 84_432
    with path.open("wb") as stream:
        stream.write(HEADER.encode())
        for start in range(0, len(users), 1_000_000):
            part = slice(start, start + 1_000_000)
            stream.write(
                "".join(
                    f"{u},{i},{i % 10 / 2 + 0.5},1577836800\n"
                    for u, i in zip(users[part].tolist(), items[part].tolist(), strict=True)
                ).encode()
            )
    code = (
        "import sys, time, resource; from daskals.ratings.source import read_ratings; "
        "table = read_ratings(sys.argv[1]); "
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "print(time.process_time(), peak, table.n_ratings)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    seconds, kilobytes, n_ratings = answer.stdout.split()
    assert int(n_ratings) == len(users)
    assert float(seconds) < 20
    assert int(kilobytes) < 4_000_000
