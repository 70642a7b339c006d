#!/usr/bin/env bash
# pyarrow 26.0.1: strptime takes a day that its month does not have for a day of the next one.
#
# One would guess: pyarrow.compute.strptime with error_is_null=True gives null for a text that is no date, so
#   that "2015-02-30" in a column of rating dates can be counted as a bad row.
# What happens: it gives 2015-03-02. Texts that do not fit the format at all ("2015-13-01", "yesterday") are
#   null as promised. Whoever validates dates this way keeps wrong ones; comparing the day of the result with
#   the text's finds them.
# Seen: pyarrow 26.0.1, Linux x86-64, Python 3.11: ['2015-02-28', '2015-03-02', None, None].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" pyarrow==26.0.1
PYTHONPATH="$folder" python3 - <<'PY'
import pyarrow as pa
import pyarrow.compute as pc

texts = pa.array(["2015-02-28", "2015-02-30", "2015-13-01", "yesterday"])
found = pc.strptime(texts, format="%Y-%m-%d", unit="s", error_is_null=True)
said = [None if value is None else value.date().isoformat() for value in found.to_pylist()]
print(said)
assert said == ["2015-02-28", "2015-03-02", None, None], said
PY
