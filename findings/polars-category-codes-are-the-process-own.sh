#!/usr/bin/env bash
# polars 2.1.0: the codes of a Categorical column count all texts that the process has seen, not those of the column.
#
# One would guess: ids cast to Categorical and read off by to_physical() are 0, 1, 2, ... in order of appearance, as
#   with pandas' category codes or Arrow's dictionary_encode: row numbers of a factor matrix, the same in every
#   process.
# What happens: one table of texts serves the whole process, or rather whatever columns are alive in it. The same
#   column has other codes after another one was made, and begins at 0 again once nobody holds the others; two workers
#   give one item two numbers, and a matrix of n_unique() rows is too short. In a fresh process, as a test is, all is
#   well. Codes of the exported column, to_arrow().indices, or of an Enum of the ids are its own.
# Seen: polars 2.1.0, pyarrow 26.0.1, Python 3.11, Linux x86-64: [3, 2, 4] for three items where a column of three
#   others, one shared, is alive, [0, 1, 2] afterwards and through Arrow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
cat > "$folder/codes.py" <<'PY'
import gc

import polars as pl

TRAIN, TEST = ["tt01", "tt02", "tt03"], ["tt09", "tt03", "tt07"]


def column(ids):
    return pl.Series(ids).cast(pl.Categorical)


fresh = column(TEST).to_physical().to_list()
gc.collect()
train = column(TRAIN)
test = column(TEST)
beside = test.to_physical().to_list()
arrow = test.to_arrow()
through_arrow = arrow.indices.to_pylist()
enum = pl.Series(TEST).cast(pl.Enum(TEST)).to_physical().to_list()
del train, test
gc.collect()
afterwards = column(TEST).to_physical().to_list()
print("alone", fresh, afterwards, "beside another", beside, "through Arrow", through_arrow, "Enum", enum)
assert fresh == through_arrow == enum == afterwards == [0, 1, 2]
assert arrow.dictionary.to_pylist() == TEST
assert beside == [3, 2, 4]
PY
"$folder/venv/bin/python" "$folder/codes.py"
echo "as described"
