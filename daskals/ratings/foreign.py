"""Files that hold something else than ratings as text, JSON, Parquet or a matrix: each told by name."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from daskals.errors import DataError
from daskals.ratings.packing import STREAM_ERRORS, first_bytes, open_stream, packing_of

_N_BYTES = 1024
_UNPACK = "Unpack it, and name the file or the folder"


class _Kind(NamedTuple):
    """What a file is, by which bytes, and how it becomes one that is read."""

    mark: str
    name: str
    remedy: str


_KINDS = (
    _Kind(
        r"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as AnnData's .h5ad",
        "Convert it: anndata.read_h5ad(FILE).write_zarr(FOLDER)",
    ),
    _Kind(
        r"MATLAB 5\.0",
        "a MATLAB file",
        "Write its array as text: numpy.savetxt(CSV, scipy.io.loadmat(FILE)[NAME], delimiter=',')",
    ),
    _Kind(
        r"\x93NUMPY",
        "an array of NumPy",
        "Write it as text: numpy.savetxt(CSV, numpy.load(FILE), delimiter=',')",
    ),
    _Kind(
        r"SQLite format 3\0",
        "a SQLite database",
        "Write its table: pandas.read_sql('select * from TABLE', sqlite3.connect(FILE)).to_parquet(PARQUET)",
    ),
    _Kind(
        r".{8}DUCK(?=.*\0)",
        "a DuckDB database",
        "Write its table: duckdb.connect(FILE).table(TABLE).write_parquet(PARQUET)",
    ),
    _Kind(
        r"(ARROW1|FEA1)(?=.*\0)",
        "an Arrow or Feather file",
        "Write it as Parquet: pandas.read_feather(FILE).to_parquet(PARQUET)",
    ),
    _Kind(
        r"\xff\xff\xff\xff",
        "a stream of Arrow",
        "Write it as Parquet: pyarrow.parquet.write_table(pyarrow.ipc.open_stream(FILE).read_all(), PARQUET)",
    ),
    _Kind(r"ORC(?=.*\0)", "an ORC file", "Write it as Parquet: pandas.read_orc(FILE).to_parquet(PARQUET)"),
    _Kind(
        r"Obj\x01",
        "an Avro file",
        "Write it as Parquet: polars.read_avro(FILE).write_parquet(PARQUET)",
    ),
    _Kind(
        r"\x80[\x02-\x05]",
        "a pickle, which may run anything when it is opened",
        "Where you trust it, write it as Parquet: pandas.read_pickle(FILE).to_parquet(PARQUET)",
    ),
    _Kind(
        r"X\n\0|RDX[23]\n",
        "data of R",
        "Write it as text, in R by write.csv(readRDS(FILE), CSV, row.names = FALSE)",
    ),
    _Kind(
        r"\xd0\xcf\x11\xe0",
        "an Excel workbook",
        "Save its sheet as CSV: pandas.read_excel(FILE).to_csv(CSV, index=False)",
    ),
    _Kind(r"7z\xbc\xaf|Rar!\x1a|.{257}ustar", "an archive", _UNPACK),
    _Kind(
        r"\xff\xfe|\xfe\xff",
        "a text in UTF-16",
        "Write it in UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW`",
    ),
    _Kind(
        r"(?i)\s*<(!doctype|html|\?xml)",
        "a web page or XML, perhaps in place of the file",
        "Look at it in a browser, and fetch the file again",
    ),
    _Kind(
        r"version https://git-lfs",
        "a pointer of Git LFS, not the file",
        "Fetch the file: `git lfs pull`",
    ),
    _Kind(
        r"\s*[\[{]\s*\{?u?'",
        "records as Python prints them, which are no JSON",
        'Write JSON, a record a line: `python -c "import ast, json, sys; '
        '[print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]" < FILE > NEW`',
    ),
    _Kind(
        r"\w+ ?= ?\{\}\s+\w+\[",
        "a program of Python that makes records, as LibraryThing's",
        'Write JSON, a record a line: `python -c "import ast, json, sys; '
        "[print(json.dumps(ast.literal_eval(line.partition('] = ')[2]))) for line in sys.stdin "
        "if '] = ' in line]\" < FILE > NEW`",
    ),
    _Kind(
        r"(?i)(\s*|%[^\n]*\n)*@relation\s",
        "an ARFF file, as Weka and LibRec write",
        "Keep what follows @DATA: `sed '1,/^@data/Id' FILE > CSV`",
    ),
    _Kind(
        r"([A-Za-z]+/[A-Za-z]+: .*\n){3}",
        "records of several lines, a field on each",
        "Write a line for each rating, with user, item, rating and time parted by commas",
    ),
)


def refuse_foreign(path: Path) -> None:
    """Refuse a file of a known kind that holds no ratings as they are read; raise DataError.

    Files of text and of ratings are never taken for one: what begins as such a file does, with bytes that no
    text has or with what no row is, is nothing else.
    """
    if packing_of(path) == "zip":
        _refuse_office(path)
        return
    if packing_of(path) is None:
        start = first_bytes(path, _N_BYTES)
    else:
        try:
            with open_stream(path) as stream:
                start = bytes(stream.read(_N_BYTES))
        except STREAM_ERRORS:  # said where it is read
            return
    kind = next((kind for kind in _KINDS if re.match(kind.mark.encode(), start, re.DOTALL)), None)
    if kind is not None:
        raise _foreign(path, kind.name, kind.remedy)


def _refuse_office(path: Path) -> None:
    """Refuse what is a zip archive and no archive of files: documents, and arrays of NumPy."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except STREAM_ERRORS:
        return
    if "[Content_Types].xml" in names or "content.xml" in names:
        raise _foreign(
            path, "a spreadsheet", "Save its sheet as CSV: pandas.read_excel(FILE).to_csv(CSV, index=False)"
        )
    if all(name.endswith(".npy") for name in names) and "format.npy" not in names:
        raise _foreign(
            path,
            f"arrays of NumPy, {', '.join(sorted(names)[:5])}",
            "Write the ratings as text: numpy.savetxt(CSV, numpy.load(FILE)[NAME], delimiter=',')",
        )


def _foreign(path: Path, name: str, remedy: str) -> DataError:
    return DataError(
        name,
        where=str(path),
        expected="a text, JSON or Parquet file, a sparse matrix, or AnnData in a Zarr folder",
        remedy=remedy,
    )
