#!/usr/bin/env bash
# distributed 2026.8.0 with glibc: in a worker process each new array of 128 kB or more is new pages from the system.
#
# One would guess: NumPy code that makes and frees arrays of a megabyte runs in a Dask worker process as it does in the
#   process that wrote it: after a few rounds the C library keeps what was freed and hands it out again, so that hardly
#   a page is new. The documented purpose of MALLOC_TRIM_THRESHOLD_=65536, which the nanny sets for its workers, is to
#   give memory back that lies free at a heap's end.
# What happens: in glibc, to set any of these thresholds turns off the one that grows by itself. Arrays from 128 kB on
#   are mapped by themselves for good, unmapped when they are freed, and filled with zeros by the system page by page
#   the next time. Work on blocks of arrays, as a half-step of alternating least squares, pays a tenth of its CPU time
#   for that. Setting MALLOC_MMAP_THRESHOLD_ and a larger MALLOC_TRIM_THRESHOLD_ for workers
#   (`distributed.nanny.pre-spawn-environ`) brings it back.
# Seen: distributed 2026.8.0, NumPy 2.4.6, glibc 2.36, Linux x86-64: some 2,050 page faults for eight arrays of a
#   megabyte made one after the other in a worker process; 0 in the process itself, and 0 with both thresholds set.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" distributed==2026.8.0 dask==2026.8.0 numpy==2.4.6
cat > "$folder/faults.py" <<'PY'
import resource
import sys

import dask
import numpy as np
from distributed import Client, LocalCluster

ARRAYS, PAGES = 8, 2**20 // 4096


def new_pages():
    """Count the page faults of eight arrays of a megabyte, once arrays of that size were made before."""
    for _ in range(50):
        np.ones(2**20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ARRAYS):
        np.ones(2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def in_a_worker():
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            return min(client.submit(new_pages, pure=False).result() for _ in range(3))


if __name__ == "__main__":
    environ = "distributed.nanny.pre-spawn-environ"
    kept = {f"{environ}.MALLOC_MMAP_THRESHOLD_": 32 << 20, f"{environ}.MALLOC_TRIM_THRESHOLD_": 64 << 20}
    with dask.config.set(kept if sys.argv[1] == "told" else {}):
        here, there = min(new_pages() for _ in range(3)), in_a_worker()
    print(f"{sys.argv[1]}: {here} new pages here, {there} in a worker process")
    few = ARRAYS * PAGES / 10
    assert here < few
    assert there < few if sys.argv[1] == "told" else there >= ARRAYS * PAGES
PY
# a cluster leaves what it set in its own process, where it wins over later settings: two processes
PYTHONPATH="$folder" python3 "$folder/faults.py" usual
PYTHONPATH="$folder" python3 "$folder/faults.py" told
echo "as described"
