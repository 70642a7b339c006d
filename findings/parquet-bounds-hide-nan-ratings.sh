#!/usr/bin/env bash
# duckdb 2.0.1, pyarrow 26.0.1: isnan() is false for every row of a Parquet file of pyarrow's with a NaN in it.
#
# One would guess: to look for broken ratings by isnan(rating), rating > 5 or NOT rating <= 5 finds the same rows in a
#   table and in the Parquet file written from it, whoever wrote the file.
# What happens: pyarrow and Polars leave NaN out of a column's least and greatest value, as the format has it, and
#   DuckDB takes a column that has these for one without NaN: even SELECT isnan(rating) is false in every row, the
#   filters are decided before a row is read, and the mean of the same column is NaN. DuckDB's own files have no
#   bounds in that case and are right; so is not isfinite(rating). pyarrow passes over row groups of its own files
#   likewise: not rating <= 5 is true of NaN in a table and finds nothing in the file, though its is_nan does.
# Seen: duckdb 2.0.1, pyarrow 26.0.1, polars 2.1.0, Python 3.11, Linux x86-64: rows found by DuckDB in memory, in
#   pyarrow's, Polars' and DuckDB's file: 1 0 0 1 by each of the three conditions, 1 1 1 1 by isfinite; by pyarrow 1
#   and 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1 polars==2.1.0
cat > "$folder/broken.py" <<'PY'
import math
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

ratings = pa.table({"rating": [1.0, 2.0, math.nan, 5.0]})
path = {name: f"{sys.argv[1]}/{name}.parquet" for name in ("pyarrow", "polars", "duckdb")}
pq.write_table(ratings, path["pyarrow"])
pl.from_arrow(ratings).write_parquet(path["polars"])
duckdb.sql(f"COPY ratings TO '{path['duckdb']}'")
sources = ["ratings", *(f"'{file}'" for file in path.values())]


def found(condition):
    query = "SELECT count(*) FROM {} WHERE {}"
    return [duckdb.sql(query.format(source, condition)).fetchall()[0][0] for source in sources]


said = {
    condition: found(condition)
    for condition in ("isnan(rating)", "rating > 5", "NOT rating <= 5", "NOT isfinite(rating)")
}
column = [row[0] for row in duckdb.sql(f"SELECT isnan(rating) FROM {sources[1]}").fetchall()]
mean = duckdb.sql(f"SELECT avg(rating) FROM {sources[1]}").fetchall()[0][0]
print("DuckDB:", said, column, mean)
assert said.pop("NOT isfinite(rating)") == [1, 1, 1, 1]
assert list(said.values()) == [[1, 0, 0, 1]] * 3
assert column == [False] * 4
assert math.isnan(mean)

outside, broken = ~(ds.field("rating") <= 5), pc.is_nan(ds.field("rating"))
file = ds.dataset(path["pyarrow"])
of_pyarrow = [rows.num_rows for rows in (ratings.filter(outside), file.to_table(filter=outside))]
print("pyarrow:", of_pyarrow, "by is_nan", file.to_table(filter=broken).num_rows)
assert of_pyarrow == [1, 0]
assert file.to_table(filter=broken).num_rows == 1
PY
"$folder/venv/bin/python" "$folder/broken.py" "$folder"
echo "as described"
