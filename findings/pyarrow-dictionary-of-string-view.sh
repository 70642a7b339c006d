#!/usr/bin/env bash
# pyarrow 26.0.1: a dictionary column whose values are string views can neither be cast nor decoded.
#
# One would guess: a categorical text column, as some writers hand it over through the Arrow C stream
#   (dictionary<indices=uint8, values=string_view>), casts to string like any other dictionary column.
# What happens: ArrowNotImplementedError, for there is no take kernel for string_view; dictionary_decode() fails
#   the same way. Casting the dictionary alone works, and putting the column together again from that and its
#   indices is the way round. Beside it, filling the nulls of unsigned indices with -1 raises OverflowError,
#   which is no ArrowException and passes by an `except pa.ArrowException`.
# Seen: pyarrow 26.0.1, Linux x86-64, Python 3.11: the two exceptions named, and ['b', 'a', None, 'b'] rebuilt.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" pyarrow==26.0.1
PYTHONPATH="$folder" python3 - <<'PY'
import pyarrow as pa

indices = pa.array([0, 1, None, 0], pa.uint8())
views = pa.array(["b", "a"]).cast(pa.string_view())
column = pa.DictionaryArray.from_arrays(indices, views)


def raised(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "nothing"


said = [
    raised(lambda: column.cast(pa.string())),
    raised(column.dictionary_decode),
    raised(lambda: indices.fill_null(-1)),
    issubclass(OverflowError, pa.ArrowException),
]
rebuilt = pa.DictionaryArray.from_arrays(indices, views.cast(pa.string())).cast(pa.string()).to_pylist()
print(said, rebuilt)
assert said == ["ArrowNotImplementedError", "ArrowNotImplementedError", "OverflowError", False], said
assert rebuilt == ["b", "a", None, "b"]
PY
