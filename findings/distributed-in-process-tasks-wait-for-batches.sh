#!/usr/bin/env bash
# distributed 2026.8.0: a task that depends on another waits five milliseconds, though all of it is one process.
#
# One would guess: with processes=False scheduler and worker share an event loop and hand each other objects, so a
#   chain of tiny tasks costs what the bookkeeping costs, about a millisecond or two a task.
# What happens: the scheduler sends to a worker at most every 5 ms, and no option says otherwise: the interval is
#   written in the source, 2 ms the other way, 10 ms from a client. An algorithm of many small dependent steps, as
#   alternating least squares on a small set, waits longer than it computes. Setting `interval` of the streams to 0
#   takes a third of it away or more.
# Seen: distributed 2026.8.0, Python 3.11, Linux x86-64, two cores: 6.5 to 7.0 ms a task in a chain of a hundred,
#   3.7 ms with the intervals at 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" distributed==2026.8.0 dask==2026.8.0
cat > "$folder/chain.py" <<'PY'
import time

from distributed import Client, LocalCluster

N = 100


def same(value):
    return value


def seconds_a_task(client, name):
    started = time.perf_counter()
    task = client.submit(same, 0, key=f"{name}-first")
    for number in range(N):
        task = client.submit(same, task, key=f"{name}-{number}")
    task.result()
    return (time.perf_counter() - started) / N


def best(client, name):
    return min(seconds_a_task(client, f"{name}{turn}") for turn in range(5))


with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
    with Client(cluster) as client:
        usual = best(client, "usual")
        scheduler = cluster.scheduler
        streams = [*scheduler.stream_comms.values(), *scheduler.client_comms.values()]
        streams += [worker.batched_stream for worker in cluster.workers.values()]
        assert scheduler.stream_comms[next(iter(scheduler.stream_comms))].interval == 0.005
        for stream in streams:
            stream.interval = 0
        direct = best(client, "direct")
print(f"{usual * 1e3:.1f} ms a task, {direct * 1e3:.1f} ms without intervals")
assert usual > 0.005
assert direct < 0.8 * usual
PY
PYTHONPATH="$folder" python3 "$folder/chain.py"
echo "as described"
