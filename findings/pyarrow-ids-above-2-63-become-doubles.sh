#!/usr/bin/env bash
# pyarrow 26.0.1: unsigned 64-bit ids in CSV or JSON are read as doubles, and different users become one.
#
# One would guess: a column of whole numbers that int64 cannot hold, as unsigned 64-bit hashes are in half of all
#   cases, is read as uint64, as a decimal or as text, or raises; pandas reads uint64, Polars and DuckDB 128 bits.
# What happens: pyarrow.csv and pyarrow.json go from int64 to double, so neighbouring ids are equal from then on:
#   doubles are 2,048 apart there; so it is with pandas.read_csv(engine="pyarrow"). All ids of the column are rounded,
#   those below 2^63 too, and one single large id suffices: the same file without it is read as int64, exactly. Naming
#   the type (column_types, explicit_schema) keeps them apart.
# Seen: pyarrow 26.0.1, pandas 3.1.1, polars 2.1.0, duckdb 2.0.1, Python 3.11, Linux x86-64: of six users pyarrow
#   keeps two; pandas, Polars and DuckDB keep all six.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 duckdb==2.0.1
cat > "$folder/users.py" <<'PY'
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

SMALL = [2**60 + step for step in (1, 2, 3)]
IDS = [*SMALL, *(2**63 + step for step in (1, 2, 3))]
TYPE = {"user": pa.uint64()}

csv, small, json = (f"{sys.argv[1]}/{name}" for name in ("users.csv", "small.csv", "users.json"))
for path, ids in ((csv, IDS), (small, SMALL)):
    with open(path, "w") as file:
        file.writelines(["user,rating\n", *(f"{user},3.5\n" for user in ids)])
with open(json, "w") as file:
    file.writelines(f'{{"user": {user}}}\n' for user in IDS)

one_by_one = {
    "pandas": pd.read_csv(csv)["user"].tolist(),
    "polars": pl.read_csv(csv)["user"].to_list(),
    "duckdb": [row[0] for row in duckdb.sql(f"SELECT u FROM '{csv}' AS r(u, rating)").fetchall()],
    "pyarrow, without the large ids": pa.csv.read_csv(small)["user"].to_pylist() + IDS[3:],
    "pyarrow, type named": pa.csv.read_csv(
        csv, convert_options=pa.csv.ConvertOptions(column_types=TYPE)
    )["user"].to_pylist(),
    "pyarrow.json, type named": pa.json.read_json(
        json, parse_options=pa.json.ParseOptions(explicit_schema=pa.schema(TYPE))
    )["user"].to_pylist(),
}
rounded = {
    "pyarrow": pa.csv.read_csv(csv)["user"],
    "pyarrow.json": pa.json.read_json(json)["user"],
    "pandas by pyarrow": pa.chunked_array([pd.read_csv(csv, engine="pyarrow")["user"].to_numpy()]),
}
for name, found in one_by_one.items():
    print(name, len(set(found)))
    assert found == IDS, (name, found)
for name, found in rounded.items():
    print(name, found.type, len(found.unique()))
    assert found.type == pa.float64()
    assert len(found.unique()) == 2
PY
"$folder/venv/bin/python" "$folder/users.py" "$folder"
echo "as described"
