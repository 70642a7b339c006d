"""Vectors whose plain inner product is the order by rating: for whatever store of vectors one has.

r̂ = μ + b_u + b_i + p_u·q_i. What all items of a user share does not order them, so that the item's vector
[q_i, b_i] and the user's [p_u, 1] order as the model does. A store that knows cosines alone gets unit
vectors: with M the length of the longest item x, [x, √(M² − |x|²)] / M all have length 1, and [u, 0] / |u|
has the same order among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TextIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daskals.model.fitted import Model
from daskals.store.atomic_folder import Existing, staged_directory
from daskals.types import Float32, Side

VectorFormat: TypeAlias = Literal["parquet", "npy", "sql"]
VECTOR_FORMATS: tuple[VectorFormat, ...] = ("parquet", "npy", "sql")
ROWS_AT_ONCE = 4096

OPERATORS = {"vector_ip_ops": "<#>", "vector_cosine_ops": "<=>"}
"""Classes of pgvector's operators, and the operator that orders."""

HEAD = """-- psql DATABASE -f vectors.sql; then the ten best items of user 1, by predicted rating, are:
--   SELECT item FROM item_vectors
--   ORDER BY vector {operator} (SELECT vector FROM user_vectors WHERE "user" = 1) LIMIT 10;
-- CREATE INDEX ON item_vectors USING hnsw (vector {operators}); makes that quick, and approximate.
BEGIN;
CREATE EXTENSION IF NOT EXISTS vector;
"""


class Vectors(NamedTuple):
    """Vectors of a model, by row.

    Attributes
    ----------
    users, items
        float32, shape (users, dimensions) and (items, dimensions).
    """

    users: Float32
    items: Float32


def rating_vectors(model: Model, *, cosine: bool = False) -> Vectors:
    """Return the vectors of all users and items of a model.

    Parameters
    ----------
    model
        The model, of rank K.
    cosine
        Unit vectors of K + 2 dimensions, whose cosine orders; else K + 1, whose inner product does and is
        the predicted rating less μ + b_u.
    """
    items = np.column_stack([model.item_factors, model.item_biases]).astype(np.float32)
    users = np.column_stack([model.user_factors, np.ones(len(model.user_ids), np.float32)]).astype(np.float32)
    return Vectors(users_as_units(users), items_as_units(items)) if cosine else Vectors(users, items)


def items_as_units(items: Float32) -> Float32:
    """Lengthen items, shape (items, dimensions), to one length by a coordinate more, and scale it to 1."""
    exact = items.astype(np.float64)
    squares = (exact**2).sum(axis=1)
    longest = max(float(squares.max(initial=0.0)), np.finfo(np.float64).tiny)
    rest = np.sqrt(np.maximum(longest - squares, 0.0))
    units: Float32 = (np.column_stack([exact, rest]) / np.sqrt(longest)).astype(np.float32)
    return units


def users_as_units(users: Float32) -> Float32:
    """Scale users, shape (users, dimensions), to length 1, with a coordinate 0 more."""
    exact = users.astype(np.float64)
    lengths = np.sqrt((exact**2).sum(axis=1, keepdims=True))
    units: Float32 = np.column_stack([exact / lengths, np.zeros(len(exact))]).astype(np.float32)
    return units


def export_vectors(
    model: Model,
    out: Path,
    *,
    cosine: bool = False,
    formats: Sequence[VectorFormat] = ("parquet", "npy"),
    existing: Existing = "refuse",
) -> dict[str, int]:
    """Write the vectors of all users and items as a folder.

    Parameters
    ----------
    model
        The model.
    out
        Folder to write:

        - `user_vectors.parquet`: `user`, `vector` (float32, fixed size); `item_vectors.parquet`: `item`,
          `title` and `year` where they are known, `vector`.
        - `user_vectors.npy`, `item_vectors.npy`: the vectors alone, in the same order of rows.
        - `vectors.sql`: for `psql` and pgvector: the tables `user_vectors` and `item_vectors`, by COPY.
    cosine
        As in `rating_vectors`.
    formats
        Which of these.
    existing
        What to do with a folder that is already there.

    Returns
    -------
    dict
        Vectors written, by file.

    Raises
    ------
    OutputError
        If `out` cannot be written or is taken.
    """
    vectors = rating_vectors(model, cosine=cosine)
    sides: dict[Side, Float32] = {"user": vectors.users, "item": vectors.items}
    written: dict[str, int] = {}
    with staged_directory(out.absolute(), existing=existing) as folder:
        for side, own in sides.items():
            if "parquet" in formats:
                pq.write_table(_table(model, side, own), folder / f"{side}_vectors.parquet")
                written[f"{side}_vectors.parquet"] = len(own)
            if "npy" in formats:
                np.save(folder / f"{side}_vectors.npy", own)
                written[f"{side}_vectors.npy"] = len(own)
        if "sql" in formats:
            with (folder / "vectors.sql").open("w", encoding="utf-8") as file:
                _write_sql(file, model, sides, "vector_cosine_ops" if cosine else "vector_ip_ops")
            written["vectors.sql"] = sum(map(len, sides.values()))
    return written


def _table(model: Model, side: Side, vectors: Float32) -> pa.Table:
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        side: model.user_ids if side == "user" else model.item_ids
    }
    if side == "item" and model.catalogue is not None:
        names = [name for name in ("title", "year") if name in model.catalogue.column_names]
        columns |= {name: model.catalogue[name] for name in names}
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.table({**columns, "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})


def _write_sql(file: TextIO, model: Model, sides: dict[Side, Float32], operators: str) -> None:
    file.write(HEAD.format(operators=operators, operator=OPERATORS[operators]))
    for side, vectors in sides.items():
        ids = model.user_ids if side == "user" else model.item_ids
        kind = "bigint" if pa.types.is_integer(ids.type) else "text"
        table = f"{side}_vectors"
        file.write(
            f'CREATE TABLE {table} ("{side}" {kind} PRIMARY KEY, vector vector({vectors.shape[1]}));\n'
            f'COPY {table} ("{side}", vector) FROM stdin;\n'
        )
        file.writelines(_lines(ids, vectors))
        file.write("\\.\n")
    file.write("COMMIT;\n")


def _lines(ids: pa.Array, vectors: Float32) -> Iterator[str]:
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        some = ids[start : start + ROWS_AT_ONCE].to_pylist()
        for key, vector in zip(some, vectors[start : start + ROWS_AT_ONCE], strict=True):
            # a float32 as its shortest text is read back as the same float32
            yield f"{_escaped(str(key))}\t[{','.join(map(str, vector))}]\n"


def _escaped(text: str) -> str:
    """Write a text as COPY reads it."""
    for character, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, written)
    return text
