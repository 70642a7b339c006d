"""Layouts of public data sets and of the tools that write ratings, made here and read as they are meant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskals.errors import DataError
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.item_numbers import are_item_numbers
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.ratings.times import convert_timestamps
from tests.cases.four_ratings import NAMES, ROWS, assert_is_the_example


def convert(values) -> list[int]:
    found = convert_timestamps(pa.chunked_array([pa.array(values)]), where="x", name="time")
    return found.values.tolist()


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def lines(sign: str, rows=ROWS) -> str:
    return "".join(sign.join(row) + "\n" for row in rows)


def refusal(path: Path, **how) -> str:
    with pytest.raises(DataError) as caught:
        read_ratings(path, Reading(**how))
    return caught.value.for_command()


# --- who wrote the file ------------------------------------------------------------------------------------


def test_recbole_names_a_type_with_each_column(tmp_path):
    types = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    assert_is_the_example(read_ratings(write(tmp_path / "r.inter", lines("\t", [types, *ROWS]))))
    items = write(tmp_path / "r.item", "item_id:token\ttitle:token_seq\tgenre:token_seq\n30\tA\tX|Y\n")
    table = read_ratings(tmp_path / "r.inter", Reading(catalogue=read_items(items)))
    assert table.catalogue is not None
    assert table.catalogue["title"].to_pylist() == ["A", None, None]


@pytest.mark.parametrize("sign", [",", " ", "\t"])
def test_r_writes_no_name_over_the_names_of_rows(tmp_path, sign):
    header = sign.join(f'"{name}"' for name in NAMES)
    rows = "".join(f'"{place}"{sign}{sign.join(row)}\n' for place, row in enumerate(ROWS, 1))
    assert_is_the_example(read_ratings(write(tmp_path / "r.csv", f"{header}\n{rows}")))


def test_rows_with_one_field_more__have_names_in_quotes_or_are_wrong(tmp_path):
    path = write(tmp_path / "r.csv", "userId,movieId,rating\n1,10,4,5\n2,10,3,5\n")
    assert "wrong number of fields: found 4 in '1,10,4,5' (the first of 2 bad rows)" in refusal(path)


@pytest.mark.parametrize("remark", ["% bip weighted\n% 4 2 3\n", "# from somewhere\n\n#\n", "sep=;\n"])
@pytest.mark.parametrize("header", [True, False])
def test_remarks_before_the_first_row(tmp_path, remark, header):
    sign = ";" if "sep" in remark else " "
    content = remark + lines(sign, [NAMES, *ROWS] if header else ROWS)
    assert_is_the_example(read_ratings(write(tmp_path / "r.txt", content)))
    bad = content + sign.join(["7", "99", "x", "5"]) + "\n"
    assert "row 5, column 'rating': rating is no number" in refusal(write(tmp_path / "bad.txt", bad))
    more = lines(sign, [(str(user), "30", "1.0", "104") for user in range(100, 120)])
    short = content + more + sign.join(["7", "99"]) + "\n"
    assert "row 25: wrong number of fields" in refusal(write(tmp_path / "bad.txt", short))


def test_ids_that_begin_with_a_mark__are_no_remarks(tmp_path):
    rows = [("#7", "30", "4.0", "100"), ("%5", "10", "3.5", "101")]
    assert read_ratings(write(tmp_path / "r.txt", lines(" ", rows))).user_ids.to_pylist() == ["#7", "%5"]


def test_a_name_that_begins_with_a_mark__is_as_it_is(tmp_path):
    rows = [("#id", "%item", "rating"), ("7", "30", "4"), ("5", "20", "3")]
    path = write(tmp_path / "r.csv", lines(",", rows))
    columns = {"user": "#id", "item": "%item", "rating": "rating"}
    assert read_ratings(path, Reading(columns=columns)).user_ids.to_pylist() == [7, 5]


def test_numpy_writes_powers_of_ten(tmp_path):
    values = np.array([[float(field) for field in row] for row in ROWS])
    np.savetxt(tmp_path / "r.txt", values)
    assert_is_the_example(read_ratings(tmp_path / "r.txt"))
    named = values[:, [1, 0, 2, 3]]  # in another order, so that the names matter
    np.savetxt(tmp_path / "r.csv", named, delimiter=",", header="movieId,userId,rating,timestamp")
    assert_is_the_example(read_ratings(tmp_path / "r.csv"))
    rows = [("1.0E5", "a", "3"), ("2.0E5", "b", "4")]
    table = read_ratings(write(tmp_path / "ids.csv", lines(",", [("user", "item", "rating"), *rows])))
    assert table.user_ids.to_pylist() == ["1.0E5", "2.0E5"]
    halves = [("1.5000000e+00", "a", "3"), ("2.0000000e+00", "b", "4")]
    table = read_ratings(write(tmp_path / "ids.csv", lines(",", [("user", "item", "rating"), *halves])))
    assert table.user_ids.to_pylist() == ["1.5000000e+00", "2.0000000e+00"]


def test_jester_parts_fields_by_two_tabs(tmp_path, caplog):
    assert_is_the_example(read_ratings(write(tmp_path / "r.dat", lines("\t\t"))))
    assert "separated by double tabs; no header: its columns are user, item, rating, timestamp" in caplog.text
    caplog.clear()
    assert_is_the_example(read_ratings(write(tmp_path / "r.tsv", lines("\t\t", [NAMES, *ROWS]))))
    gaps = "userId\tnote\tmovieId\trating\n7\t\t30\t4\n5\t\t20\t3\n"
    assert read_ratings(write(tmp_path / "r.tsv", gaps)).item_ids.to_pylist() == [30, 20]


# --- without a header --------------------------------------------------------------------------------------

ISBNS = ["0140449132", "B000002L6A", "043942089X", "0439064872", "B00004CQZ9", "0747532745"]


def test_item_numbers_in_front__are_the_items(tmp_path, caplog):
    rows = [(isbn, f"A{place}USER", "4.0", "1500000000") for place, isbn in enumerate(ISBNS)]
    table = read_ratings(write(tmp_path / "r.csv", lines(",", rows)))
    assert table.item_ids.to_pylist() == ISBNS
    assert "no header: its columns are item, user, rating, timestamp" in caplog.text
    both = [(isbn, isbn, "4.0", "1500000000") for isbn in ISBNS]
    assert read_ratings(write(tmp_path / "r.csv", lines(",", both))).user_ids.to_pylist() == ISBNS


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(ISBNS, True), (ISBNS[:4], False), ([*ISBNS, "0140449133"], False), ([*ISBNS, "B0000"], False),
     ([str(1_000_000_000 + k) for k in range(6)], False)],
)  # fmt: skip
def test_are_item_numbers(texts, expected):
    assert are_item_numbers(texts) == expected


CLICKS = "--model ials --no-header --columns user=1,item=2"


@pytest.mark.parametrize(
    ("row", "remedy"),
    [("17,4", f"looks like a click and not like names: {CLICKS}."),
     ("17,4,1246892691", f"last column looks like times; where its rows are clicks, train with {CLICKS},t"),
     ("17,4,1246892691000", f"where its rows are clicks, train with {CLICKS},timestamp=3."),
     ("1,2,3,x", "count the columns with --no-header --columns user=1,item=2,rating=3."),
     (f"{'a' * 40},x,b,12", "tell by numbers which column is which, with --no-header --columns user=…"),
     ("9,102,3,5,4,2014-11-05", "or of clicks and plays with --model ials --no-header --columns user=…"),
     ("u1,2002-07-06T18:25:37Z,a,b,,c", "tell by numbers which column is which"),
     (",".join(["99"] * 41), "each column is an item, write a row for each rating, in pandas by `pandas.r")],
)  # fmt: skip
def test_what_a_file_without_names_is_told(tmp_path, row, remedy):
    assert remedy in refusal(write(tmp_path / "r.csv", f"{row}\n{row}\n"))


ISO = "2014-04-07T10:51:09.277Z"


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [([f"{k // 3},{ISO},{214536500 + k % 4},0" for k in range(9)],
      "perhaps --model ials --no-header --columns user=1,item=3,timestamp=2; tell by other numbers"),
     ([f"{k % 3},2005-09-0{k % 5 + 1},{70 + k % 4},{k % 5 + 1}" for k in range(20)],
      "perhaps --no-header --columns user=1,item=3,rating=4,timestamp=2;"),
     ([f"{k},{k % 3},{70 + k % 4},{k % 5 / 2}" for k in range(9)],
      "perhaps --no-header --columns user=2,item=3,rating=4;"),
     ([f"{k},{k % 3},{70 + 13 * k}" for k in range(20)], "looks like a rating and not like names"),
     ([f"{k % 3},b{k % 4},Arts & Crafts,40.7{k},-74.0{k},Tue Apr 03 18:00:09 +0000 2012" for k in range(9)],
      "perhaps --model ials --no-header --columns user=1,item=2,timestamp=6;"),
     ([f"{k % 3},Game {k % 4},{('purchase', 'play')[k % 2]},{1 + k * 13.1},0" for k in range(9)],
      "perhaps --model ials --no-header --columns user=1,item=2,weight=4;"),
     ([f"{k % 3},b{k % 4},{2520377 + k % 5},{('pv', 'buy')[k % 2]},{1511544070 + k}" for k in range(9)],
      "perhaps --model ials --no-header --columns user=1,item=2,timestamp=5;"),
     ([f"{k % 4},{k % 3},{k},{k % 5 + 1},2013-12-05" for k in range(9)],
      "perhaps --no-header --columns user=1,item=2,rating=4,timestamp=5;")],
)  # fmt: skip
def test_what_columns_without_names_may_hold__is_told_from_the_rows(tmp_path, rows, remedy):
    """The first two were read with their days as items, the next two with the rows' numbers as users."""
    path = write(tmp_path / "r.csv", "".join(f"{row}\n" for row in rows))
    told = refusal(path)
    assert remedy in told
    if "--columns" in remedy:
        said = dict(pair.split("=") for pair in remedy.partition("--columns ")[2].split(";")[0].split(","))
        table = read_ratings(path, Reading(columns=said, header="none"))
        assert (table.n_users, table.n_input) == (len(set(table.user_ids.to_pylist())), len(rows))
        assert table.n_items <= 4
        assert (table.timestamps is not None) == ("timestamp" in said)


def test_columns_without_names__may_be_told_by_the_names_in_the_note(tmp_path):
    path = write(tmp_path / "r.tsv", lines("\t"))
    table = read_ratings(path, Reading(columns={"user": "user", "item": "item", "weight": "rating"}))
    assert (table.adds_up, table.timestamps, table.user_ids.to_pylist()) == (True, None, [7, 5])


def test_kinds_of_events_without_names__are_said(tmp_path, caplog):
    rows = [f"{k % 3},{k % 4},{('purchase', 'play')[k % 2]},{k + 1}\n" for k in range(12)]
    path = write(tmp_path / "r.csv", "".join(rows))
    read_ratings(path, Reading(columns={"user": "1", "item": "2", "weight": "4"}, header="none"))
    assert "column '3' is not read: each row counts what '4' says, whatever it says ('purch" in caplog.text


def test_what_a_matrix_with_names_is_told(tmp_path):
    wide = refusal(write(tmp_path / "r.csv", "user,Heat,Speed,Alien\n1,3,,4\n2,,5,\n"))
    assert "frame.melt(id_vars='user', var_name='item', value_name='rating').dropna()" in wide
    ids = refusal(write(tmp_path / "r.csv", "user,thing_id,price\n1,3,4\n"))
    assert "melt" not in ids


@pytest.mark.parametrize(
    ("header", "told"),
    [("brewery_id,brewery_name,review_time,review_overall,review_aroma,review_profilename,beer_abv,beer_beerid",
      "Perhaps --columns user=review_profilename,item=beer_beerid,rating=review_overall,timestamp="),
     ("BGGId,Rating,Username", "Perhaps --columns user=Username,item=BGGId,rating=Rating; else name"),
     ("timestamp,eventType,contentId,personId,sessionId",
      "Perhaps --model ials --columns user=personId,item=contentId,timestamp=timestamp; else name"),
     ("hotel_url,author,date,rating,title", "user=author,item=hotel_url,rating=rating,timestamp=date;"),
     ("taster_name,title,points", "Perhaps --columns user=taster_name,item=title,rating=points;"),
     ("RATING_ID,USER_MD5,MOVIE_ID,RATING", "--columns user=USER_MD5,item=MOVIE_ID,rating=RATING;"),
     ('"Movie Title","Critic Name","My Points"',
      'Perhaps --columns "user=Critic Name,item=Movie Title,rating=My Points"; else name'),
     ("ISBN,Book-Title,Book-Author", "Name the columns with --columns user=…,item=…,rating=…"),
     ("anime_id,name,genre,type", "Name the columns with --columns user=…,item=…,rating=…")],
)  # fmt: skip
def test_what_names_that_are_not_known_may_mean__is_told(tmp_path, header, told):
    n_columns = header.count(",") + 1
    rows = "".join(",".join(f"{k % 3 + place}" for place in range(n_columns)) + "\n" for k in range(9))
    path = write(tmp_path / "r.csv", f"{header}\n{rows}")
    assert told in refusal(path)
    if "Perhaps --columns " in told:
        said = told.partition("--columns ")[2].split(";")[0].strip('"')
        said = said.partition(",timestamp")[0]
        assert (
            read_ratings(path, Reading(columns=dict(pair.split("=") for pair in said.split(",")))).n_users
            == 3
        )


def test_names_in_quotes_behind_blanks(tmp_path):
    path = write(tmp_path / "r.csv", '"user_id", "item_id", "rating"\n"7","30","4"\n"5","20","3"\n')
    assert read_ratings(path).user_ids.to_pylist() == [7, 5]


JESTER = np.array(
    [[3, 99, 2.5, -4, 9], [2, 99, 99, 1.5, -9], [4, 1, 2, 3, 4], [1, 5, 99, 99, 99], [0, *[99] * 4]]
)


@pytest.mark.parametrize("counted", [True, False])
def test_a_matrix_without_names_becomes_rows_as_told(tmp_path, counted):
    """What was told before named a column `user`, which is not there; the counts would be an item."""
    wide = np.hstack([JESTER, np.full((5, 9), 99)]) if counted else np.hstack([JESTER, JESTER, JESTER])
    path = tmp_path / "r.csv"
    pd.DataFrame(wide).to_csv(path, header=False, index=False)
    told = refusal(path)
    assert ("leave out the first column, which counts the others" in told) == counted
    code = told.partition("`")[2].rpartition("`")[0]
    eval(code, {"pandas": pd, "FILE": path, "NEW": tmp_path / "new.csv"})
    table = read_ratings(tmp_path / "new.csv", Reading(leave_out=(99,)))
    assert table.n_ratings == np.count_nonzero(wide[:, counted:] != 99)
    assert sorted(table.user_ids.to_pylist()) == sorted(set(np.nonzero(wide[:, counted:] != 99)[0]))


def test_wide_rows_of_other_things_are_no_matrix(tmp_path):
    rows = "".join("0\t1\t5\t" + "\t".join(f"{k:08x}" for k in range(20)) + "\n" for _ in range(3))
    assert "melt" not in refusal(write(tmp_path / "r.tsv", rows))
    people = "user_id,location,age\n1,nyc,5\n2,rome,6\n"
    assert "melt" not in refusal(write(tmp_path / "r.csv", people))


def test_of_several_times_the_usual_one_is_named(tmp_path, caplog):
    header = "who,what,stars,date,timestamp"
    path = write(tmp_path / "r.csv", f"{header}\n1,2,3,2015-03-01,1425168000\n2,3,4,2015-03-01,1425168000\n")
    columns = {"user": "who", "item": "what", "rating": "stars"}
    assert read_ratings(path, Reading(columns=columns)).timestamps is None
    assert "though column 'timestamp' looks like them" in caplog.text


@pytest.mark.parametrize("sign", ["\t", ";", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_two_columns_of_any_delimiter(tmp_path, sign, header):
    """But for commas they were one column."""
    rows = [(user, item) for user, item, *_ in ROWS]
    path = write(tmp_path / "r.txt", lines(sign, [("user_id", "item_id"), *rows] if header else rows))
    if header and sign == " ":
        assert "only one column found, 'user_id item_id'" in refusal(path)
        return
    if not header:
        assert f"That looks like a click and not like names: {CLICKS}." in refusal(path)
    columns = {"user": "1", "item": "2"}
    table = (
        read_ratings(path, Reading(clicks=True))
        if header
        else read_ratings(path, Reading(columns=columns, header="none"))
    )
    assert (table.user_ids.to_pylist(), table.values.sum()) == ([7, 5], 4)


@pytest.mark.parametrize(
    ("lines", "pairs"),
    [
        (["0 4 5 6", "1 5", "2 4 7 8 9"], ["0,4", "0,5", "0,6", "1,5", "2,4", "2,7", "2,8", "2,9"]),
        (["3 4 5 6", "1 5", "0", "4 4 7 8 9"], ["1,4", "1,5", "1,6", "2,5", "4,4", "4,7", "4,8", "4,9"]),
    ],
    ids=["users first", "counts first, as citeulike"],
)
def test_lines_of_all_that_a_user_chose__become_rows_as_told(tmp_path, lines, pairs):
    path = write(tmp_path / "train.txt", "".join(f"{line}\n" for line in lines))
    told = refusal(path)
    assert f"lines of different numbers of ids, such as '{lines[0]}'" in told
    assert told.endswith(f"and train with {CLICKS}.")
    made = subprocess.run(
        told.split("`")[1].replace("FILE > NEW.csv", str(path)), shell=True, capture_output=True, check=True
    )
    (tmp_path / "new.csv").write_bytes(made.stdout)
    assert made.stdout.decode().splitlines() == pairs
    columns = {"user": "1", "item": "2"}
    assert read_ratings(tmp_path / "new.csv", Reading(columns=columns, header="none")).n_ratings == 8


def test_clicks_with_times__are_told_with_them(tmp_path):
    path = write(tmp_path / "r.csv", "timestamp,visitorid,event,itemid\n1500000000,1,view,2\n")
    assert "--model ials --columns user=visitorid,item=itemid,timestamp=timestamp; else" in refusal(path)


# --- numbers and dates -------------------------------------------------------------------------------------

JULY = 1_246_838_400
"""6 July 2009."""


def test_dates_in_figures(caplog):
    assert convert([20090706, 20091231]) == [JULY, 1_262_217_600]
    assert convert(["20090706.0", "20080229.0"]) == [JULY, 1_204_243_200]
    assert convert([20090706150451, 19700101000000]) == [JULY + 54_291, 0]
    assert convert([20090706, None][:1]) == [JULY]
    assert caplog.text.count("read as dates") == 4
    for none in ([20090706, 20090231], [20091306, 20090706], [20090706, 5], [20090706250000]):
        assert convert(none) != [JULY] * len(none)
    assert caplog.text.count("read as dates") == 4


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["Mon Jul 06 15:04:51 -0700 2009", "Sun Jul  6 00:00:00 +0000 2008"], [JULY + 79_491, 1_215_302_400]),
     (["July 6, 2009", "Feb 29, 2008"], [JULY, 1_204_243_200]),
     (["Mon, 06 Jul 2009 15:04:51 GMT", "06 Jul 2009 15:04:51 +0200"], [JULY + 54_291, JULY + 47_091]),
     (["6-Jul-2009", "06-JUL-2009"], [JULY, JULY]),
     (["6 july 2009 15:04", "Jul. 6, 2009"], [JULY + 54_240, JULY]),
     (["2009/07/06", "2008/2/29 00:00:00"], [JULY, 1_204_243_200]),
     (["Feb 30, 2009", "Julian 6, 2009", "07/06/2009"], [0, 0, 0])],
)  # fmt: skip
def test_dates_with_names_of_months(texts, expected):
    assert convert(texts) == expected


def test_times_by_powers_of_ten():
    assert convert(["1.246838400000000000e+09", "1.246838401e9"]) == [JULY, JULY + 1]


def test_times_of_long_ago__are_said(tmp_path, caplog):
    rows = [NAMES, *((str(k % 9), str(k), "4.0", str(k % 7)) for k in range(100))]
    read_ratings(write(tmp_path / "r.csv", lines(",", rows)))
    assert "read as seconds since 1970, though the last is then of 1970-01-01T00:00:06" in caplog.text


@pytest.mark.parametrize("days", [[40_000.63, 40_001.5], ["40000.63", "40001.5"], ["733959.628", "733960"]])
def test_days_as_spreadsheets_count_them__are_said(caplog, days):
    convert(days)
    assert "read as seconds since 1970, fractions left out; if they are days, as spreadsheets" in caplog.text
    caplog.clear()
    convert([1_246_838_400.5])
    convert([5.0, 7.0])
    assert not caplog.records


def test_times_that_are_not_read__are_not_told_of(tmp_path):
    """Slashes may part days and months in either order."""
    rows = "".join(f"{row},8512{row},6,1/12/2010 8:2{row},1785{row}\n" for row in range(3))
    path = write(tmp_path / "r.csv", f"InvoiceNo,StockCode,Quantity,InvoiceDate,CustomerID\n{rows}")
    told = "train with --model ials --columns user=CustomerID,item=StockCode,weight=Quantity; else"
    assert told in refusal(path)
    write(path, path.read_text().replace("1/12/2010 8", "2010-12-01 08"))
    assert told.replace(",weight", ",timestamp=InvoiceDate,weight") in refusal(path)


@pytest.mark.parametrize(
    ("rating", "remedy"),
    [("3,5", "Write numbers with a point: pandas.read_csv(FILE, sep=';', decimal=',').to_csv(FILE)."),
     ("1,500", "Write numbers without marks of thousands: pandas.read_csv(FILE, thousands=',').to_csv("),
     ("x", "Correct the row, or leave out all such rows with --invalid drop.")],
)  # fmt: skip
def test_numbers_with_commas__are_told_how_to_lose_them(tmp_path, rating, remedy):
    rows = [("user", "item", "rating"), ("1", "2", rating), ("2", "2", rating)]
    assert remedy in refusal(write(tmp_path / "r.csv", lines(";", rows)))


def test_times_that_are_none__may_be_left_out(tmp_path):
    rows = [NAMES, *((user, item, rating, "07/06/2009") for user, item, rating, _ in ROWS)]
    told = refusal(write(tmp_path / "r.csv", lines(",", rows)))
    assert told.endswith("or read none: columns without a timestamp, --columns user=…,item=….")
    columns = {"user": "userId", "item": "movieId", "rating": "rating"}
    assert read_ratings(tmp_path / "r.csv", Reading(columns=columns)).n_ratings == 4
