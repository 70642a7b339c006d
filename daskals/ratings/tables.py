"""Columns of any table in memory: pandas, Dask, and all that hand out an Arrow stream (Polars, DuckDB)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import DataError

_N_FIRST = 20


class ArrowStream(Protocol):
    """What hands its rows out by Arrow's C stream: Arrow, Polars, DuckDB and more."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule of the stream."""
        ...


class _Stream:
    """Something with an Arrow stream, which is asked for no schema: DuckDB 1.1 takes none."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._source.__arrow_c_stream__()


class Table:
    """A table in memory, opened: its columns' names, and those columns that are asked for.

    Parameters
    ----------
    source
        A pandas or Dask frame, or anything with `__arrow_c_stream__` or `__arrow_c_array__`; what can be
        read once is read once.
    where
        What messages call it.

    Raises
    ------
    DataError
        If it is none of these, or its stream is not one of tables.
    """

    def __init__(self, source: Any, where: str = "frame") -> None:
        self._where = where
        self._source: Any = source
        self._first: pa.RecordBatch | None = None
        if isinstance(source, pd.DataFrame) or _is_dask(source):
            self._source = source = _with_index(source)
            self.names = [str(name) for name in source.columns]
            return
        if isinstance(source, pa.Table):
            source = source.to_reader()
        if not is_table(source):
            raise DataError(
                f"a {type(source).__name__}",
                where=where,
                expected="a pandas, Polars or Dask frame, or something with an Arrow stream",
                remedy="Collect what is lazy before",
            )
        try:
            if not hasattr(source, "__arrow_c_stream__"):
                batch = pa.record_batch(source)
                source = pa.RecordBatchReader.from_batches(batch.schema, [batch])
            # pyarrow before 25 crashes where its own casts to string views go through a stream
            own = isinstance(source, pa.RecordBatchReader)
            self._source = source if own else pa.RecordBatchReader.from_stream(_Stream(source))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise self._unreadable(error) from None
        self.names = list(self._source.schema.names)

    def read(self, roles: Mapping[str, str]) -> pa.Table:
        """Return the columns of some names (role → name), named by role, in types that all readers know.

        A Dask frame is computed partition by partition, and nothing of it is kept but these columns.

        Raises
        ------
        DataError
            If a column mixes types, or holds what Arrow cannot.
        """
        places = {role: self.names.index(name) for role, name in roles.items()}
        if isinstance(self._source, pd.DataFrame):
            return self._of_pandas(self._source, places)
        if _is_dask(self._source):
            wanted = self._source.iloc[:, list(places.values())]
            order = {role: place for place, role in enumerate(places)}
            parts = [
                self._of_pandas(wanted.partitions[k].compute(), order) for k in range(wanted.npartitions)
            ]
            try:
                return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
            except pa.ArrowException as error:
                raise self._unreadable(error) from None
        columns = list(places.values())
        try:
            schema = pa.schema([self._source.schema.field(place) for place in columns])
            batches = []
            for batch in self._source:
                self._first = batch if self._first is None else self._first
                batches.append(batch.select(columns))
            table = pa.Table.from_batches(batches, schema)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        return pa.table({role: plain_column(table.column(k)) for k, role in enumerate(places)})

    def first_values(self, name: str) -> pa.Array:
        """Return some first values of a column, once the table has been read; none of what is lazy or odd."""
        place = self.names.index(name)
        try:
            if isinstance(self._source, pd.DataFrame):
                return pa.array(_plain_series(self._source.iloc[:_N_FIRST, place]), from_pandas=True)
            if self._first is not None:
                column = plain_column(pa.chunked_array([self._first.column(place).slice(0, _N_FIRST)]))
                return column.combine_chunks()
        except pa.ArrowException:
            pass
        return pa.array([])

    def _of_pandas(self, frame: pd.DataFrame, places: Mapping[str, int]) -> pa.Table:
        return pa.table(
            {role: plain_column(self._pandas_column(frame, place)) for role, place in places.items()}
        )

    def _pandas_column(self, frame: pd.DataFrame, place: int) -> pa.ChunkedArray:
        where = f"{self._where}, column '{frame.columns[place]}'"
        try:
            array = pa.array(_plain_series(frame.iloc[:, place]), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(
                f"values of mixed types ({error})",
                where=where,
                expected="one type a column",
                remedy="Convert the column to one type",
            ) from None
        except pa.ArrowNotImplementedError:
            raise DataError(
                f"values of type {frame.dtypes.iloc[place]}",
                where=where,
                expected="integers, texts, real numbers or times",
                remedy="Convert the column",
            ) from None
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(
            f"cannot be read as a table ({error})", where=self._where, expected="a table with named columns"
        )


def is_table(source: Any) -> TypeGuard[Any]:
    """Tell whether `Table` opens something."""
    return (
        isinstance(source, pd.DataFrame)
        or _is_dask(source)
        or hasattr(source, "__arrow_c_stream__")
        or hasattr(source, "__arrow_c_array__")
    )


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that Arrow's kernels take, with the same values.

    Arrow cannot decode a dictionary of string views, nor fill nulls of unsigned indices, and does nothing
    with extension types and run-end encoding.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_run_end_encoded(column.type):
        kind = column.type.value_type
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind)
    if not pa.types.is_dictionary(column.type):
        return column
    index, value = column.type.index_type, column.type.value_type
    kind = pa.dictionary(
        pa.int64() if pa.types.is_unsigned_integer(index) else index,
        pa.string() if pa.types.is_string_view(value) else value,
    )
    if kind == column.type:
        return column
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(kind.index_type), chunk.dictionary.cast(kind.value_type)
        )
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, kind)


def _with_index(frame: Any) -> Any:
    """Return a frame of pandas or Dask whose index's names are columns too, as in a Parquet file of it."""
    if not isinstance(frame, pd.DataFrame):
        name = frame.index.name
        return frame if name is None or name in frame.columns else frame.reset_index()
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _plain_series(values: Any) -> Any:
    """Return a column of pandas as what Arrow understands: of days and months it sees the numbers alone."""
    return values.dt.to_timestamp() if isinstance(values.dtype, pd.PeriodDtype) else values


def _is_dask(source: Any) -> bool:
    # by what it can do: Dask itself is not for this floor
    return hasattr(source, "npartitions") and hasattr(source, "partitions") and hasattr(source, "columns")
