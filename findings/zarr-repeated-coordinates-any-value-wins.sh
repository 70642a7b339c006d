#!/usr/bin/env bash
# zarr 3.1.6: where a row is written twice in one assignment, it is not the last value that stays, as in NumPy.
#
# One would guess: `array[rows] = values` with a row in it more than once does what it does with a NumPy array: values
#   are put in one after another, so that of a log of updates in order of time the newest remains.
# What happens: rows that are not in the order of their chunks are sorted by chunk first, by an argsort that is not
#   stable, so entries of one row change places and an older value may be the one that stays. It holds for
#   array[rows], oindex and set_coordinate_selection. Keeping the last of each row before one writes is right.
# Seen: zarr 3.1.6, numpy 2.4.6, Python 3.11, Linux x86-64: of 100 rows written ten times each on average 89 hold an
#   older value (which ones is the CPU's), none with NumPy, none where the last of each row was kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6
cat > "$folder/updates.py" <<'PY'
import numpy as np
import zarr

N_ROWS, N_UPDATES = 100, 1000


def stale(rows, write):
    newest = np.zeros(N_ROWS, np.int32)
    for at, row in enumerate(rows):
        newest[row] = at + 1
    array = zarr.create_array({}, shape=(N_ROWS,), chunks=(3,), dtype="int32")
    write(array, rows, np.arange(1, len(rows) + 1, dtype=np.int32))
    return int(np.count_nonzero(array[:] != newest))


def by_index(array, rows, values):
    array[rows] = values


def orthogonal(array, rows, values):
    array.oindex[rows] = values


def coordinates(array, rows, values):
    array.set_coordinate_selection(rows, values)


def last_of_each(array, rows, values):
    kept, reverse = np.unique(rows[::-1], return_index=True)
    array[kept] = values[::-1][reverse]


rng = np.random.default_rng(0)
rows = rng.integers(0, N_ROWS, N_UPDATES)
found = {write.__name__: stale(rows, write) for write in (by_index, orthogonal, coordinates, last_of_each)}
plain = np.zeros(N_ROWS, np.int32)
plain[rows] = np.arange(1, N_UPDATES + 1)
newest = [int(np.flatnonzero(rows == row)[-1]) + 1 for row in range(N_ROWS)]
print(found, "NumPy:", int(np.count_nonzero(plain != newest)))
assert found.pop("last_of_each") == 0
assert min(found.values()) > 0
assert plain.tolist() == newest
PY
"$folder/venv/bin/python" "$folder/updates.py"
echo "as described"
