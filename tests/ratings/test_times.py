"""Times in any unit and as any writer puts them; what is later than a night is counted and kept."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskals.config import ReadConfig
from daskals.errors import DataError
from daskals.ingest import read_table
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.ratings.times import convert_timestamps
from daskals.retrain.new_ratings import read_incoming
from daskals.retrain.validation import validate
from daskals.store.append import append
from daskals.store.writer import write_store
from tests.cases.night_cases import config_of

SECONDS = [1_425_208_800, 1_000_000_000, 1_799_999_999, 946_684_800]
POWERS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def convert(values: object) -> list[int]:
    found = convert_timestamps(pa.chunked_array([pa.array(values)]), where="f", name="t")
    assert found.faults == ()
    return found.values.tolist()


def write_csv(path: Path, times: list, header: str = "userId,movieId,rating,timestamp") -> Path:
    rows = [f"{1 + k % 2},{10 + k},4,{time}" for k, time in enumerate(times)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize("unit", POWERS)
@pytest.mark.parametrize("kind", ["csv", "int", "float", "text", "decimal"])
def test_any_unit(tmp_path, caplog, unit, kind):
    times = [time * POWERS[unit] for time in SECONDS]
    if kind == "csv":
        found = read_ratings(write_csv(tmp_path / "r.csv", times)).timestamps.tolist()
    else:
        made = {"int": times, "float": [float(time) for time in times], "text": list(map(str, times)),
                "decimal": pa.array(times, pa.decimal128(20, 0))}[kind]  # fmt: skip
        found = convert(made)
    assert np.abs(np.subtract(found, SECONDS)).max() <= (1 if kind in {"float", "decimal"} else 0)
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == (unit != "seconds")
    assert all(f"read as {unit} since 1970" in note for note in notes)


def test_a_unit_keeps_zero_and_floors_before_1970():
    assert convert([0, 1_425_208_800_999, 1_425_208_800_000]) == [0, 1_425_208_800, 1_425_208_800]
    assert convert([-86_400, 5, 0]) == [-86_400, 5, 0]


@pytest.mark.parametrize("other", [1_425_208_801, 1_425_208_801_000_000, 1_425_208_801_000_000_000])
def test_mixed_units__are_refused_with_the_row(tmp_path, other):
    times = [1_425_208_800_000, 1_425_208_800_001, other, 1_425_208_802_000]
    path = write_csv(tmp_path / "r.csv", times)
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    assert str(caught.value).startswith(
        f"{path}, row 3, column 'timestamp': timestamp is in another unit: found '{other}'; "
        "expected milliseconds since 1970, as in most rows. Correct the row"
    )
    table = read_ratings(path, Reading(invalid="drop"))
    assert table.dropped == {"timestamp is in another unit": 1}
    assert table.timestamps.tolist() == [1_425_208_800, 1_425_208_800, 1_425_208_802]


AS_WRITTEN = {
    "pandas": ("2015-03-01 12:00:00", "2015-03-01 12:00:00.123456", "2015-03-01 12:00:00+00:00"),
    "pandas, to nanoseconds": ("2015-03-01 12:00:00.123456789", "2015-03-01 14:00:00.5+02:00"),
    "Spark": ("2015-03-01T12:00:00.000Z", "2015-03-01T17:30:00.000+05:30", "2015-03-01T06:00:00.123-06:00"),
    "Polars": ("2015-03-01T12:00:00.000000", "2015-03-01T13:00:00.000000+0100", "2015-03-01 12:00:00 UTC"),
    "DuckDB": ("2015-03-01 12:00:00+00", "2015-03-01 12:00:00.5+00", "2015-03-01 09:30:00-02:30"),
    "PostgreSQL": ("2015-03-01 12:00:00.5-00", "2015-03-01 17:45:00+05:45", "2015-03-01 04:00:00-08"),
    "minutes": ("2015-03-01 12:00", "2015-03-01T12:00Z", "2015-03-01T14:00+02"),
    "a comma": ("2015-03-01 12:00:00,123",),
}


@pytest.mark.parametrize("writer", AS_WRITTEN)
def test_dates_as_written(tmp_path, writer):
    for text in AS_WRITTEN[writer]:
        assert convert([text]) == [1_425_211_200], text
    texts = [f'"{text}"' for text in AS_WRITTEN[writer]] * 3
    assert set(read_ratings(write_csv(tmp_path / "r.csv", texts)).timestamps.tolist()) == {1_425_211_200}


def test_days_and_dates_beside_numbers():
    assert convert(["2015-03-01", "1425211200", "1969-12-31 23:59:59.5", None][:3]) == [
        1_425_168_000, 1_425_211_200, -1]  # fmt: skip


@pytest.mark.parametrize("text", ["2015-02-30", "2015-03-01 25:00:00", "2015-03-01 12:00:00+2", "12:00:00"])
def test_no_date(text):
    column = pa.chunked_array([["2015-03-01 12:00:00", text]])
    [fault] = convert_timestamps(column, where="f", name="t").faults
    assert (fault.reason, fault.rows.tolist(), fault.found) == ("timestamp is no time", [1], f"'{text}'")


@pytest.mark.parametrize("year", [1, 1600, 2300, 9999])
def test_int96_beyond_nanoseconds(tmp_path, year):
    moments = [dt.datetime(year, 3, 1, 12), dt.datetime(2015, 3, 1, 12)]
    table = pa.table({"user": [1, 2], "item": [3, 4], "rating": [1.0, 2.0],
                      "timestamp": pa.array(moments, pa.timestamp("us"))})  # fmt: skip
    path = tmp_path / "r.parquet"
    # INT96 of pyarrow's own writer goes through nanoseconds, which end in 2262
    pq.write_table(table, path, use_deprecated_int96_timestamps=1678 <= year <= 2262)
    expected = [int((moment - dt.datetime(1970, 1, 1)).total_seconds()) for moment in moments]
    assert read_ratings(path).timestamps.tolist() == expected


def test_a_time_out_of_all_calendars():
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [1.0, 2.0]})
    frame["timestamp"] = np.array(["2015-03-01", "12015-03-01"], "datetime64[s]")
    with pytest.raises(DataError, match="frame, row 2, column 'timestamp': timestamp is no time"):
        from_frame(frame)


@pytest.mark.parametrize("unit", POWERS)
def test_as_of__in_any_unit(tmp_path, unit):
    path = write_csv(tmp_path / "r.csv", [time * POWERS[unit] for time in SECONDS])
    table = read_table(path, ReadConfig(), as_of="2015-03-02")
    assert (table.n_ratings, table.n_later) == (3, 1)
    assert table.first_later == f"{path}, row 3"
    with pytest.raises(DataError, match="the first rating is of 2000-01-01 00:00:00 UTC"):
        read_table(path, ReadConfig(), as_of="1990-01-01")


def test_a_night__counts_what_is_later_and_reads_it_again(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    path = write_csv(data / "ratings-1.csv", [time * 1000 for time in SECONDS])
    config = config_of(tmp_path, 1).model_copy(update={"data": data, "as_of": "2015-03-02"})
    incoming = read_incoming(config, None)
    assert incoming is not None
    [left_out] = [check for check in validate(config, incoming, None, None) if "later" in check.name]
    assert (left_out.value, left_out.passed) == (1.0, True)
    assert left_out.reason == f"the first is {path}, row 3; the next night reads them again"
    store = write_store(incoming.table, tmp_path / "store")
    assert store.n_ratings == 3
    again = read_incoming(config.model_copy(update={"as_of": "2030-01-01"}), store)
    assert again is not None
    assert (again.n_new, again.table.n_later) == (1, 0)
    store = append(tmp_path / "store", again.table)
    assert store.n_ratings == 4
    assert read_incoming(config, store) is None


@pytest.mark.parametrize(
    "name",
    ["date", "time", "DateTime", "review_date", "unixReviewTime", "rated_at", "timestamp_ms", "Date Rated",
     "created-at", "ts"],
)  # fmt: skip
def test_a_column_called_like_times__is_read_as_times(tmp_path, caplog, name):
    header = f"userId,movieId,rating,{name}"
    dates = [dt.datetime.fromtimestamp(time, dt.UTC).isoformat() for time in SECONDS]
    assert read_ratings(write_csv(tmp_path / "a.csv", dates, header)).timestamps.tolist() == SECONDS
    assert read_ratings(write_csv(tmp_path / "b.csv", SECONDS, header)).timestamps.tolist() == SECONDS
    frame = pd.read_csv(tmp_path / "b.csv")
    frame[name] = pd.to_datetime(frame[name], unit="s")
    frame.to_parquet(tmp_path / "c.parquet")
    frame.to_json(tmp_path / "d.json", orient="records", lines=True, date_format="iso")
    for source in ("c.parquet", "d.json"):
        assert read_ratings(tmp_path / source).timestamps.tolist() == SECONDS
    assert from_frame(frame).timestamps.tolist() == SECONDS
    assert not caplog.records


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (["12/31/2015", "2016-01-01"], "'12/31/2015'"),
        (["2015-12-31", ""], "nothing"),
        (["soon", 5], "'soon'"),
    ],
)
def test_what_only_is_called_like_times__leaves_the_ratings_as_they_are(tmp_path, caplog, times, found):
    """They were read before there was a guess, and still are; where the column was named, it is an error."""
    path = write_csv(tmp_path / "r.csv", times, "userId,movieId,rating,date")
    assert read_ratings(path).timestamps is None
    [note] = [record.getMessage() for record in caplog.records]
    assert note == (
        f"{path}: read without times, for column 'date' holds {found}; expected whole seconds since 1970 or "
        "a date like 2015-03-01 12:00:00. Write such times, or name another column with --columns "
        "user=…,item=…,rating=…,timestamp=…."
    )
    with pytest.raises(DataError, match=r"column 'date': timestamp is"):
        read_ratings(
            path,
            Reading(columns={"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "date"}),
        )


@pytest.mark.parametrize("odd", [[{"$date": 1}, {"$date": 2}], [[1], [2]]])
def test_a_nested_date__is_no_time(tmp_path, caplog, odd):
    table = pa.table({"user": [1, 2], "item": [3, 4], "rating": [1.0, 2.0], "date": odd})
    pq.write_table(table, tmp_path / "r.parquet")
    table.to_pandas().to_json(tmp_path / "r.json", orient="records", lines=True)
    for source in ("r.parquet", "r.json"):
        assert read_ratings(tmp_path / source).timestamps is None
    mixed = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [1.0, 2.0], "date": ["x", 1]})
    for frame in (table, mixed):
        assert from_frame(frame).timestamps is None
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == 4
    assert all("read without times, for column 'date' holds " in note for note in notes)


def test_a_column_that_looks_like_times_is_said_once(tmp_path, caplog):
    dates = [dt.datetime.fromtimestamp(time, dt.UTC) for time in SECONDS[:3]]
    frame = pd.DataFrame({"user": [1, 2, 1], "item": [3, 4, 5], "rating": [1.0, 2.0, 3.0], "seen": dates})
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_parquet(tmp_path / "r.parquet")
    counted = frame.assign(seen=[1000 * time for time in SECONDS[:3]])
    counted.to_json(tmp_path / "r.json", orient="records", lines=True)
    for source in ("r.csv", "r.parquet", "r.json"):
        assert read_ratings(tmp_path / source).timestamps is None
        [note] = [record.getMessage() for record in caplog.records]
        assert note == (
            f"{tmp_path / source}: read without times, though column 'seen' looks like them. "
            "Name it with --columns user=user,item=item,rating=rating,timestamp=seen."
        )
        caplog.clear()
    for table in (frame, pa.Table.from_pandas(frame)):
        assert from_frame(table).timestamps is None
    columns = '{"user": "user", "item": "item", "rating": "rating", "timestamp": "seen"}'
    assert [record.getMessage() for record in caplog.records] == [
        f"frame: read without times, though column 'seen' looks like them. Name it with columns={columns}."
    ] * 2
    caplog.clear()
    named = {"user": "user", "item": "item", "rating": "rating", "timestamp": "seen"}
    assert read_ratings(tmp_path / "r.csv", Reading(columns=named)).timestamps.tolist() == SECONDS[:3]
    del named["timestamp"]
    assert read_ratings(tmp_path / "r.csv", Reading(columns=named)).timestamps is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [("year", [1995, 2001, 2010]), ("order_id", [1_400_000_000, 1_400_000_001, 1_400_000_002]),
     ("votes", [5, 0, 3]), ("comment", ["good", "2015-03-01", ""]), ("nothing", [None, None, None])],
)  # fmt: skip
def test_what_does_not_look_like_times__is_not_called_so(tmp_path, caplog, name, values):
    frame = pd.DataFrame({"user": [1, 2, 1], "item": [3, 4, 5], "rating": [1.0, 2.0, 3.0], name: values})
    frame.to_csv(tmp_path / "r.csv", index=False)
    assert read_ratings(tmp_path / "r.csv").timestamps is None
    assert from_frame(frame).timestamps is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["15.08.2021", "1.2.2021"], ["2021-08-15 00:00:00", "2021-02-01 00:00:00"]),
        (["15.08.2021 9:30", "01.02.2021 23:59:58"], ["2021-08-15 09:30:00", "2021-02-01 23:59:58"]),
        (["11/15/2019 8:55:22 AM", "1/2/2019 12:05 pm"], ["2019-11-15 08:55:22", "2019-01-02 12:05:00"]),
        (["11/15/2019 12:00:00 AM", "1/2/2019 11:59:59 PM"], ["2019-11-15 00:00:00", "2019-01-02 23:59:59"]),
    ],
)
def test_dates_as_countries_write_them(texts, expected):
    """Days first with dots, months first with AM and PM."""
    found = [
        f"{dt.datetime.fromtimestamp(one, dt.UTC):%Y-%m-%d %H:%M:%S}" for one in convert(pa.array(texts))
    ]
    assert found == expected


@pytest.mark.parametrize(
    "text", ["31.02.2021", "15.13.2021", "13/13/2019 8:55 AM", "1/2/2019 13:00 PM", "3/4/2015"]
)
def test_what_is_no_date_in_any_country__is_a_fault(text):
    times = convert_timestamps(pa.chunked_array([["15.08.2021", text]]), where="FILE", name="when")
    assert [fault.rows.tolist() for fault in times.faults] == [[1]]
