#!/usr/bin/env bash
# distributed 2026.8.0: Client.scheduler_info(), asked for all workers, at times answers that there are none.
#
# One would guess: a synchronous client's scheduler_info(n_workers=-1) fetches the answer and returns what it fetched,
#   so that it holds every worker for as long as the worker is there.
# What happens: the answer is written to a field of the client, and the method returns what that field holds by the time
#   the calling thread runs again. In between the client's own periodic question, which asks for no workers
#   (`distributed.client.scheduler-info-interval`, 2 s), may have replaced it. On a busy machine a thread that watches
#   for lost workers thus sees all of them die at once, though none did. To wait for the answer of
#   `client.scheduler.identity(n_workers=-1)` itself is right.
# Seen: distributed 2026.8.0, Python 3.11, Linux x86-64, two busy cores, with the interval at 1 ms to see it soon: 749 of
#   3,000 answers were without the worker, none of those of `identity`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" distributed==2026.8.0 dask==2026.8.0
cat > "$folder/ask.py" <<'PY'
import dask
from distributed import Client, LocalCluster

QUESTIONS = 3000

dask.config.set({"distributed.client.scheduler-info-interval": "1ms"})
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
    with Client(cluster) as client:
        client.wait_for_workers(1)
        known = sum(not client.scheduler_info(n_workers=-1)["workers"] for _ in range(QUESTIONS))
        direct = sum(
            not client.sync(client.scheduler.identity, n_workers=-1)["workers"] for _ in range(QUESTIONS)
        )
print(f"without the worker: {known} of {QUESTIONS} by scheduler_info, {direct} by identity")
assert known > 0
assert direct == 0
PY
PYTHONPATH="$folder" python3 "$folder/ask.py"
echo "as described"
