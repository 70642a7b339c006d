#!/usr/bin/env bash
# zarr 3.1.6: appending to an array of a consolidated group overwrites what was appended before, and says nothing.
#
# One would guess: `open_group(path, mode="r+")["ratings"].append(tonight)` adds a night's ratings to the store, every
#   night anew, and whoever opens the group sees them all.
# What happens: the group hands out its arrays with the shapes that were written down by consolidate_metadata.
#   append() writes the new length into the array's own zarr.json, not into that copy. The next night opens the array
#   with the length it had in the beginning, appends there, and so puts its rows over last night's; readers of the
#   group see none of either, while those of the array alone, and TensorStore, see the last night.
#   use_consolidated=False when one opens to write, or consolidating again after every append, keeps all nights.
# Seen: zarr 3.1.6, tensorstore 0.1.86, numpy 2.4.6, Python 3.11, Linux x86-64: of four ratings and three nights of
#   two each the group shows 4 and the array 6, the last two of the third night; without the copy all 10.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zarr==3.1.6 tensorstore==0.1.86 numpy==2.4.6
cat > "$folder/nights.py" <<'PY'
import sys
import warnings

import numpy as np
import tensorstore
import zarr

NIGHTS = (1, 2, 3)
ALL = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]

warnings.simplefilter("ignore")  # that consolidated metadata are an extension


def after_all_nights(path, consolidated=None, again=False):
    group = zarr.create_group(path)
    group.create_array("ratings", shape=(4,), chunks=(4,), dtype="float32")[:] = 0
    zarr.consolidate_metadata(group.store)
    for night in NIGHTS:
        opened = zarr.open_group(path, mode="r+", use_consolidated=consolidated)
        opened["ratings"].append(np.full(2, night, np.float32))
        if again:
            zarr.consolidate_metadata(opened.store)
    by_group = zarr.open_group(path, mode="r")["ratings"][:].tolist()
    by_array = zarr.open_array(f"{path}/ratings", mode="r")[:].tolist()
    store = {"driver": "file", "path": f"{path}/ratings"}
    elsewhere = tensorstore.open({"driver": "zarr3", "kvstore": store}).result().read().result().tolist()
    return by_group, by_array, elsewhere


lost = after_all_nights(f"{sys.argv[1]}/lost")
kept = after_all_nights(f"{sys.argv[1]}/kept", consolidated=False)
renewed = after_all_nights(f"{sys.argv[1]}/renewed", again=True)
print("as it is opened by itself:", *lost, sep="\n  ")
print("with use_consolidated=False:", *kept, sep="\n  ")
print("consolidated again:", *renewed, sep="\n  ")
assert lost == ([0] * 4, [0, 0, 0, 0, 3, 3], [0, 0, 0, 0, 3, 3])
assert kept == ([0] * 4, ALL, ALL)
assert renewed == (ALL, ALL, ALL)
PY
"$folder/venv/bin/python" "$folder/nights.py" "$folder"
echo "as described"
