"""Layouts of text files found from their first lines, compression and kinds of files by their first bytes."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskals.config import ReadConfig
from daskals.errors import ConfigError, DataError
from daskals.ingest import ingest
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.sniff import looks_like_rating
from daskals.ratings.source import read_ratings
from daskals.store.reader import RatingsStore
from daskals.store.writer import write_store
from tests.cases.four_ratings import NAMES, ROWS, assert_is_the_example

SIGNS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "double colon": "::", "blank": " "}


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def zipped(content: bytes, names: tuple[str, ...] = ("data",)) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return made.getvalue()


PACKINGS = {
    "": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "zip": zipped,
}


def text(sign: str, *, header: bool = True, rows=ROWS) -> str:
    lines = [NAMES, *rows] if header else rows
    return "".join(sign.join(line) + "\n" for line in lines)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- delimiter and header ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt", "ratings", "r.dat"])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("header", [True, False])
def test_any_delimiter(tmp_path, caplog, name, sign, header):
    if name == "r.dat" and (header and sign == "double colon"):
        return  # MovieLens' own, which has none
    path = write(tmp_path / name, text(SIGNS[sign], header=header))
    assert_is_the_example(read_ratings(path))
    own = {"r.tsv": "tab", "r.dat": "double colon"}.get(name, "comma")
    said = [f"separated by {sign}s"] if sign != own else []
    if not header and (name, sign) != ("r.dat", "double colon"):
        said.append("no header: its columns are user, item, rating, timestamp")
    assert [record.getMessage() for record in caplog.records] == (
        [f"{path}: {'; '.join(said)}"] if said else []
    )


def test_many_blanks(tmp_path):
    content = "  userId   movieId rating timestamp  \n" + "".join("   ".join(row) + " \r\n" for row in ROWS)
    assert_is_the_example(read_ratings(write(tmp_path / "r.txt", content)))


def test_a_delimiter_in_quotes(tmp_path):
    content = "note;userId;movieId;rating;timestamp\n" + "".join(f'"a;b,c";{";".join(row)}\n' for row in ROWS)
    assert_is_the_example(read_ratings(write(tmp_path / "r.csv", content)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [("1,2,3", True), ("ab,cd,3.5", True), ("1,2,-.5,100", True), ("1,2,3,2015-03-01 12:00:00", True),
     ("user,item,3", False), ("0,1,2", False), ("0,1,2,3", False), ("1,2", False), ("a,b,c", False),
     ("1,2,3,x", False), ("1,,3", False), ("1,2,3,4,5", False), ("a,Rating,3", False), ("5,1,2", True)],
)  # fmt: skip
def test_looks_like_rating(line, expected):
    assert looks_like_rating(line.split(",")) == expected


def test_numbers_as_names__are_names(tmp_path):
    frame = pd.DataFrame([[7, 30, 4.0], [5, 10, 3.0]])
    frame.to_csv(tmp_path / "r.csv", index=False)
    columns = {"user": "0", "item": "1", "rating": "2"}
    for source in (read_ratings, lambda path: from_frame(pd.read_csv(path).rename(columns=int))):
        with pytest.raises(DataError, match=r"columns found: '0', '1', '2'.*pandas' names") as caught:
            source(tmp_path / "r.csv")
        assert str(caught.value).endswith(f"columns={json.dumps(columns)}.")
    assert from_frame(frame, Reading(columns=columns)).user_ids.to_pylist() == [7, 5]
    assert read_ratings(tmp_path / "r.csv", Reading(columns=columns)).user_ids.to_pylist() == [7, 5]


def test_no_header__counts_the_columns(tmp_path):
    path = write(tmp_path / "r.csv", "x,4.0,30,7,100\nx,3.5,10,7,101\ny,.5,30,5,102\nz,5,20,5,103\n")
    with pytest.raises(DataError, match=r"the column for the user is missing.*looks like a rating"):
        read_ratings(path)
    config = ReadConfig.parse({"no_header": True, "columns": "user=4,item=3,rating=2,timestamp=5"})
    assert_is_the_example(read_ratings(path, Reading(columns=config.columns, header="none")))
    assert ReadConfig.parse({"columns": "1,2,3"}).columns == {"user": "1", "item": "2", "rating": "3"}
    assert (ReadConfig.parse({"columns": "2,1,3,5"}).columns or {})["timestamp"] == "5"
    for wrong in ("1,2", "1,1,2", "1,2,3,4,5", "1,b,3"):
        with pytest.raises(ConfigError, match="expected user=NAME"):
            ReadConfig.parse({"columns": wrong})


def test_no_header__of_a_line_that_looks_like_names(tmp_path):
    path = write(tmp_path / "r.csv", "user,item,5\nanna,book,4\n")
    table = read_ratings(path, Reading(header="none"))
    assert table.user_ids.to_pylist() == ["user", "anna"]
    ingest(path, tmp_path / "store", ReadConfig.parse({"no_header": True}))


# --- compression and kinds of files ------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("named", [True, False])
def test_any_compression(tmp_path, packing, named):
    name = f"r.tsv.{packing}".rstrip(".") if named else "r.csv"
    path = write(tmp_path / name, PACKINGS[packing](text("\t" if named else ",").encode()))
    assert_is_the_example(read_ratings(path))


@pytest.mark.parametrize("packing", [packing for packing in PACKINGS if packing])
def test_a_packed_file_in_a_folder(tmp_path, packing):
    write(tmp_path / f"ratings.csv.{packing}", PACKINGS[packing](text(",").encode()))
    write(tmp_path / "movies.csv", "movieId,title,genres\n30,A (1999),Drama\n")
    table = read_ratings(tmp_path)
    assert_is_the_example(table)
    assert table.catalogue is not None


@pytest.mark.parametrize("packing", [packing for packing in PACKINGS if packing])
def test_a_damaged_packed_file(tmp_path, packing):
    rng = np.random.default_rng(0)
    rows = [(str(k), str(k % 7), "3", str(rng.integers(2**30))) for k in range(3000)]
    content = PACKINGS[packing](text(",", rows=rows).encode())
    path = write(tmp_path / f"r.csv.{packing}", content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be read \("):
        read_ratings(path)


def test_an_archive_of_several_files(tmp_path):
    path = write(tmp_path / "r.zip", zipped(text(",").encode(), ("a.csv", "b.csv")))
    with pytest.raises(DataError, match=r"an archive of 2 files; expected a zip archive with one file"):
        read_ratings(path)


def test_parquet_by_its_first_bytes(tmp_path):
    frame = pd.DataFrame({name: [float(row[k]) for row in ROWS] for k, name in enumerate(NAMES)})
    frame = frame.astype({"userId": int, "movieId": int, "timestamp": int})
    for name in ("r.pq", "r.csv", "part-0000"):
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / name)
        assert_is_the_example(read_ratings(tmp_path / name))


MATRIX = scipy.sparse.coo_array(([4.0, 3.5, 0.5], ([0, 0, 2], [1, 3, 1])), shape=(3, 5))


@pytest.mark.parametrize("kind", ["coo", "csr", "csc"])
def test_npz_counts_from_zero(tmp_path, kind):
    scipy.sparse.save_npz(tmp_path / "m.npz", MATRIX.asformat(kind))
    table = read_ratings(tmp_path / "m.npz")
    assert sorted(table.user_ids.to_pylist()) == [0, 2]
    assert sorted(table.item_ids.to_pylist()) == [1, 3]
    assert sorted(table.values.tolist()) == [0.5, 3.5, 4.0]


def test_matrix_market_counts_from_one(tmp_path):
    scipy.io.mmwrite(tmp_path / "m.mtx", MATRIX)
    table = read_ratings(tmp_path / "m.mtx")
    assert sorted(table.user_ids.to_pylist()) == [1, 3]
    assert sorted(table.item_ids.to_pylist()) == [2, 4]


@pytest.mark.parametrize(
    ("matrix", "why"),
    [(MATRIX.astype(complex), "its values are complex numbers"), (np.eye(3), "it holds a ndarray of 2 dim")],
)
def test_matrices_that_are_no_ratings(tmp_path, matrix, why):
    scipy.io.mmwrite(tmp_path / "m.mtx", matrix)
    with pytest.raises(DataError, match=rf"cannot be read \({why}"):
        read_ratings(tmp_path / "m.mtx")


LARGE = scipy.sparse.coo_array(([4, 2**24 + 1, 2**24 + 2], ([0, 0, 1], [1, 0, 1])))


@pytest.mark.parametrize("kind", ["csv", "headed", "json", "npz", "mtx"])
def test_ratings_that_float32_changes_are_noted(tmp_path, caplog, kind):
    path = tmp_path / f"r.{kind}"
    rows = list(zip(LARGE.row.tolist(), LARGE.col.tolist(), LARGE.data.tolist(), strict=True))
    if kind == "npz":
        scipy.sparse.save_npz(path, LARGE)
    elif kind == "mtx":
        scipy.io.mmwrite(path, LARGE)
    elif kind == "headed":
        write(path, "".join(f"{item}:\n{user},{rating}\n" for user, item, rating in rows))
    elif kind == "json":
        pd.DataFrame(rows, columns=["user", "item", "rating"]).to_json(path, orient="records", lines=True)
    else:
        pd.DataFrame(rows, columns=["user", "item", "rating"]).to_csv(path, index=False)
    read_ratings(path)
    name = "value" if kind in {"npz", "mtx"} else "rating"
    assert [record.getMessage() for record in caplog.records if "2^24" in record.getMessage()] == [
        f"{path}, column '{name}': 1 ratings above 2^24 are rounded to 24 bits, the first from 16777217 to "
        "16777216; divide them by a number first if their differences matter"
    ]


def test_a_damaged_matrix(tmp_path):
    write(tmp_path / "m.mtx", "%%MatrixMarket matrix coordinate real general\n3 3 2\n1 1 4\n")
    with pytest.raises(DataError, match=r"expected a sparse matrix of real numbers"):
        read_ratings(tmp_path / "m.mtx")


def test_what_a_mac_adds_to_an_archive_is_no_data(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("mine/r.csv", text(","))
        archive.writestr("__MACOSX/mine/._r.csv", b"\0\5\x16\7")
        archive.writestr("mine/.DS_Store", b"\0")
    assert_is_the_example(read_ratings(write(tmp_path / "r.zip", made.getvalue())))


# --- ids and the catalogue ---------------------------------------------------------------------------------


def test_a_number_that_is_two_ids_is_said(tmp_path, caplog):
    path = write(tmp_path / "r.csv", "user,item,rating\n7.0,x1,4\n7,x2,3\n8,x1.0,3\n")
    assert read_ratings(path).user_ids.to_pylist() == ["7.0", "7", "8"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 1 numbers are two users each, such as '7' and '7.0'; write ids in one way to make them one"
    ]


def test_whole_floats__are_integers_where_all_are(tmp_path):
    path = write(tmp_path / "r.csv", "user,item,rating\n1.0,29.0,4\n2.0,30.0,3\n")
    table = read_ratings(path)
    assert (table.user_ids.to_pylist(), table.item_ids.to_pylist()) == ([1, 2], [29, 30])
    for other in ("30", "30.5", "x", "007.0", "1e3", "30.00"):
        path = write(tmp_path / "r.csv", f"user,item,rating\n1.0,29.0,4\n2.0,{other},3\n")
        assert read_ratings(path).item_ids.to_pylist() == ["29.0", other]


def test_a_catalogue_of_other_items__is_refused(tmp_path):
    write(tmp_path / "movies.csv", "movieId,title,genres\n1,A,B\n2,C,D\n")
    path = write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,tt1,4\n2,tt2,3\n")
    with pytest.raises(DataError) as caught:
        read_ratings(tmp_path)
    assert str(caught.value) == (
        f"{path}: none of 2 rated items is in the catalogue of 2: rated are 'tt1' and the like, listed 1 and "
        "the like; expected a catalogue that lists the rated items. Name the column of their ids with "
        'catalogue_columns={"item": "…", "title": "…"}, or move the catalogue away.'
    )
    write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,9,4\n2,2,3\n")
    assert read_ratings(tmp_path).item_ids.to_pylist() == [9, 2, 1]
    write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,1.0,4\n2,2.0,3\n")
    assert read_ratings(tmp_path).item_ids.to_pylist() == [1, 2]


def test_blanks_around_text_ids__stay_in_every_form(tmp_path):
    path = write(tmp_path / "r.csv", "user,item,rating\n a,x ,4\nb,y,3\n")
    table = read_ratings(path)
    pq.write_table(
        pa.table({"user": [" a", "b"], "item": ["x ", "y"], "rating": [4, 3]}), tmp_path / "r.parquet"
    )
    assert table.user_ids.to_pylist() == [" a", "b"]
    assert (
        read_ratings(tmp_path / "r.parquet").item_ids.to_pylist() == table.item_ids.to_pylist() == ["x ", "y"]
    )


# --- any layout, one store ---------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from("abcXYZ019é_-"), min_size=1, max_size=6).map(lambda word: f"k{word}")
IDS = st.one_of(st.lists(WORDS, min_size=2, max_size=6, unique=True),
                st.lists(st.integers(1, 10**12).map(str), min_size=2, max_size=6, unique=True))  # fmt: skip


@st.composite
def tables(draw) -> list[tuple[str, str, str, str]]:
    users, items = draw(IDS), draw(IDS)
    pairs = draw(st.permutations([(user, item) for user in users for item in items]))
    n = draw(st.integers(max(len(users), len(items)), len(pairs)))
    rows = [
        (*pair, str(draw(st.integers(1, 10)) / 2), str(draw(st.integers(0, 2**31)))) for pair in pairs[:n]
    ]
    return rows if len({row[0] for row in rows}) > 1 < len({row[1] for row in rows}) else draw(st.nothing())


def bytes_of(made: RatingsStore) -> dict[str, bytes]:
    """All bytes of a store but its metadata, which names the sources."""
    folder = Path(made.path)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "zarr.json"
    }


@pytest.mark.long
@given(data=st.data(), rows=tables())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_writing__gives_the_same_store(tmp_path_factory, data, rows):
    home = tmp_path_factory.mktemp("any")
    plain = pa.table(dict(zip(NAMES, zip(*rows, strict=True), strict=True)))
    pq.write_table(plain, home / "plain.parquet")
    expected = bytes_of(write_store(read_ratings(home / "plain.parquet"), home / "expected"))
    order = data.draw(st.permutations(range(4)))
    header = data.draw(st.booleans())
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    made = io.StringIO()
    writer = csv.writer(made, delimiter=data.draw(st.sampled_from(",;\t|")), quoting=quoting,
                        lineterminator=data.draw(st.sampled_from(["\n", "\r\n"])))  # fmt: skip
    writer.writerows([[row[k] for k in order] for row in ([NAMES, *rows] if header else rows)])
    packing = data.draw(st.sampled_from(list(PACKINGS)))
    path = write(home / data.draw(st.sampled_from(["r.csv", "r.tsv", "r.txt"])),
                 PACKINGS[packing](made.getvalue().encode()))  # fmt: skip
    roles = ("user", "item", "rating", "timestamp")
    columns = None if header else {role: str(order.index(k) + 1) for k, role in enumerate(roles)}
    table = read_ratings(path, Reading(columns=columns, header="find" if header else "none"))
    assert bytes_of(write_store(table, home / "found")) == expected
