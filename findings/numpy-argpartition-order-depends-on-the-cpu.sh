#!/usr/bin/env bash
# numpy 2.4.6: how argpartition and argsort leave equal or unordered entries depends on the CPU at run time.
#
# One would guess: a seeded simulation is the same data on every machine with the same NumPy: random streams are
#   specified to the bit, and partitioning is a deterministic algorithm. So "the n items with the largest noisy
#   weights", np.argpartition(-keys, n - 1)[:n], would come in one order everywhere.
# What happens: the set is the same, the order is not: NumPy chooses a vectorised partition by the CPU it finds
#   (AVX2, AVX-512), and each leaves the part in an order of its own. Whatever is drawn next and laid beside those
#   entries, such as a rating for each item, then belongs to others: the planted ratings of two machines differ,
#   with the same seed. The default argsort orders ties differently for the same reason. kind="stable", or sorting
#   what a partition returns, makes both the same.
# Seen: numpy 2.4.6, Python 3.11, Linux x86-64 with AVX-512: with the optional CPU features switched off by
#   NPY_DISABLE_CPU_FEATURES the order of the ten largest of 1,000 and of ties differs, sorted and stable agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" numpy==2.4.6
cat > "$folder/draw.py" <<'PY'
import hashlib

import numpy as np


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, np.int64).tobytes()).hexdigest()[:12]


rng = np.random.default_rng(1)
keys = rng.gumbel(size=(50, 1000))
largest = np.concatenate([np.argpartition(-row, 9)[:10] for row in keys])
ties = rng.integers(0, 5, 1000).astype(np.float64)
print(digest(largest), digest(np.argsort(ties)))
print(digest(np.sort(largest.reshape(50, 10), axis=1)), digest(np.argsort(ties, kind="stable")))
PY
export PYTHONPATH="$folder"
found=$(python3 -c "from numpy._core._multiarray_umath import __cpu_dispatch__ as d, __cpu_features__ as f
print(' '.join(name for name in d if f.get(name)))")
echo "optional features of this CPU: ${found:-none}"
here=$(python3 "$folder/draw.py")
plain=$(NPY_DISABLE_CPU_FEATURES="$found" python3 "$folder/draw.py")
printf 'as it is:\n%s\nwithout them:\n%s\n' "$here" "$plain"
python3 - "$here" "$plain" <<'PY'
import sys

here, plain = (text.split() for text in sys.argv[1:])
assert here[0] != plain[0], "the order of a partition does not depend on the CPU any more"
assert here[1] != plain[1], "the order of ties does not depend on the CPU any more"
assert here[2:] == plain[2:], "sorted and stable orders differ"
PY
