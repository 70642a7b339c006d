#!/usr/bin/env bash
# zarr 3.1.6: an array made empty and filled by append() keeps chunks of one row for ever, a file for each rating.
#
# One would guess: chunks="auto" chooses a sensible length whatever there is at first, as it does for a long array, so
#   that `create_array(shape=(0,), dtype=...)` followed by append() ends in few files.
# What happens: the chunks are guessed from the shape of that moment. A dimension of length 0 gets chunks of 1, which
#   no append changes: each rating becomes a file of its own. 32 million ratings would be 32 million files. chunks=
#   given by hand is the way round; shards="auto" is not.
# Seen: zarr 3.1.6, numpy 2.4.6, Python 3.11, Linux x86-64: chunks of 1, and of (1, 20) for a matrix of factors; 3,000
#   ratings in 3,000 files, in one file where the array began with that length.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6
cat > "$folder/grow.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import zarr

N = 3000


def files(name, shape, shards=None):
    path = Path(sys.argv[1]) / name
    array = zarr.create_array(str(path), shape=shape, shards=shards, dtype="float32")
    values = np.ones((N, *shape[1:]), np.float32)
    if shape[0]:
        array[:] = values
    else:
        array.append(values)
    assert array[:].sum() == values.sum()
    return array.chunks, sum(file.is_file() for file in (path / "c").rglob("*"))


said = {
    "grown": files("grown", (0,)),
    "grown factors": files("factors", (0, 20)),
    "grown, shards": files("shards", (0,), "auto"),
    "at once": files("at-once", (N,)),
}
print(said)
assert said == {
    "grown": ((1,), N), "grown factors": ((1, 20), N), "grown, shards": ((1,), N), "at once": ((N,), 1)
}
PY
"$folder/venv/bin/python" -W ignore "$folder/grow.py" "$folder"
echo "as described"
