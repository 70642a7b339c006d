"""Stores that grow and forget: what is appended equals what was read at once, and old versions stay."""

from __future__ import annotations

import errno
import itertools
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskals.errors import ConfigError, DataError, OutputError, StoreError
from daskals.ingest import append_ratings, forget_listed, ingest, resolve_store
from daskals.ratings.dates import last_moment
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.split import SplitSpec
from daskals.store import arrays, versions
from daskals.store.append import append, find_new
from daskals.store.forget import forget_users
from daskals.store.reader import RatingsStore, open_store
from daskals.store.splits import ensure_split
from daskals.store.versions import collect_versions, list_versions, new_version_folder, open_latest
from daskals.store.writer import write_store
from jobs.ingest import main
from tests.cases.faulty_disk import STRIDES, FaultyDisk
from tests.cases.store_cases import leftovers, table_of

DAY = 86_400


def frame(n: int, *, seed: int = 0, first_user: int = 0, n_users: int = 8, start: int = 0) -> pd.DataFrame:
    """Distinct pairs, each a second later than the one before."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(n_users * 12)[:n]
    return pd.DataFrame(
        {
            "user": cells // 12 + first_user,
            "item": cells % 12 + 100,
            "rating": rng.integers(1, 6, n).astype(float),
            "timestamp": start + np.arange(n),
        }
    )


def store_of(data: pd.DataFrame, path: Path, **options: str) -> RatingsStore:
    return write_store(
        from_frame(data, Reading(columns=None, **{"duplicates": "last", "invalid": "error"} | options)), path
    )


def ratings_of(store: RatingsStore) -> dict[tuple[object, object], tuple[float, int | None]]:
    """Return rating and time of each pair, and check that both sides hold the same."""
    found = []
    for side, own, other in (
        ("user", store.user_ids, store.item_ids),
        ("item", store.item_ids, store.user_ids),
    ):
        columns = ("indices", "values", "timestamps") if store.has_timestamps else ("indices", "values")
        rows = store.read(side, 0, store.n_rows(side), columns)
        block = rows.block
        values = block.scale[block.values] if len(block.scale) else block.values
        owners = np.repeat(np.arange(store.n_rows(side)), np.diff(block.indptr))
        times = [None] * len(values) if rows.timestamps is None else rows.timestamps.tolist()
        pairs = [
            (own[int(a)].as_py(), other[int(b)].as_py()) for a, b in zip(owners, block.indices, strict=True)
        ]
        keys = pairs if side == "user" else [(b, a) for a, b in pairs]
        found.append(dict(zip(keys, zip(values.tolist(), times, strict=True), strict=True)))
    assert found[0] == found[1]
    assert len(found[0]) == store.n_ratings
    return found[0]


# --- appending ---------------------------------------------------------------------------------------------


@pytest.mark.long
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 6), st.integers(0, 6), st.sampled_from([1.0, 2.5, 4.0, 5.0]), st.integers(0, 50)
        ),
        min_size=6,
        max_size=40,
        unique_by=lambda row: row[3],
    ),
    cut=st.integers(2, 38),
    duplicates=st.sampled_from(["last", "first"]),
)
def test_appending_equals_reading_at_once(tmp_path_factory, rows, cut, duplicates) -> None:
    data = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])
    first, rest = data[:cut], data[cut:]
    # a table by itself needs two of each
    if any(len(part[name].unique()) < 2 for part in (first, rest) for name in ("user", "item")):
        return
    folder = tmp_path_factory.mktemp("append")
    store_of(first, folder / "grown", duplicates=duplicates)
    grown = append(folder / "grown", table_of(rest, duplicates=duplicates), duplicates=duplicates)
    whole = store_of(data, folder / "whole", duplicates=duplicates)
    assert ratings_of(grown) == ratings_of(whole)
    if data.duplicated(["user", "item"]).any():
        return  # ids are then numbered by other ratings
    assert grown.content_hash == whole.content_hash
    ignored = {"sources", "lineage"}
    ours, theirs = (vars(one.manifest) for one in (grown, whole))
    assert {k: v for k, v in ours.items() if k not in ignored} == {
        k: v for k, v in theirs.items() if k not in ignored
    }


def test_old_ids_keep_their_rows_and_new_ones_follow(tmp_path) -> None:
    base = store_of(frame(40, n_users=5), tmp_path / "s")
    later = append(
        tmp_path / "s", table_of(frame(30, seed=1, first_user=3, n_users=4, start=100)), as_of="1970-01-02"
    )
    assert later.user_ids[: base.n_users].equals(base.user_ids)
    assert later.item_ids[: base.n_items].equals(base.item_ids)
    assert later.lineage["new_users"] == later.n_users - base.n_users == 2
    assert later.lineage["number"] == 1
    assert later.lineage["parent"] == base.content_hash
    assert later.lineage["as_of"] == "1970-01-02"
    assert later.lineage["added"] == later.n_ratings - base.n_ratings
    for spec in (
        SplitSpec(method="time", test_fraction=0.25),
        SplitSpec(method="per-user", test_fraction=0.3),
    ):
        assert ensure_split(later, spec).n_test > 0


def test_who_reads_an_earlier_version_goes_on(tmp_path) -> None:
    base = store_of(frame(40), tmp_path / "s")
    before, content = ratings_of(base), base.content_hash
    later = append(tmp_path / "s", table_of(frame(50, seed=2, start=100)))
    assert ratings_of(base) == before
    assert open_store(tmp_path / "s").content_hash == content
    assert open_latest(tmp_path / "s").content_hash == later.content_hash != content
    assert resolve_store(tmp_path / "s").path == later.path
    assert [one.content_hash for one in list_versions(tmp_path / "s")] == [content, later.content_hash]


def test_what_is_known_already_changes_nothing(tmp_path) -> None:
    data = frame(40)
    base = store_of(data, tmp_path / "s")
    assert append(tmp_path / "s", table_of(data)).path == base.path
    assert not find_new(base, table_of(data)).any()
    more = pd.concat([data, frame(20, seed=1, first_user=50, start=100)])
    assert find_new(base, table_of(more)).tolist() == [False] * 40 + [True] * 20
    later = append(tmp_path / "s", table_of(more))
    assert (later.lineage["added"], later.lineage["changed"], later.lineage["known"]) == (20, 0, 40)
    assert ratings_of(base).items() <= ratings_of(later).items()
    kept = later.read_column("user", "positions", 0, later.n_ratings)
    np.testing.assert_array_equal(np.sort(kept), [*range(40), *range(80, 100)])


PAIR = {"user": [1, 2, 3], "item": [10, 10, 20], "rating": [2.0, 3.0, 4.0], "timestamp": [100, 100, 100]}


@pytest.mark.parametrize(
    ("duplicates", "time", "expected"),
    [
        ("last", 200, (5.0, 200)),
        ("last", 50, (2.0, 100)),
        ("last", 100, (5.0, 100)),
        ("first", 200, (2.0, 100)),
        ("first", 50, (5.0, 50)),
        ("mean", 200, (3.5, 200)),
        ("mean", 50, (3.5, 100)),
    ],
)
def test_duplicates_of_stored_pairs(tmp_path, duplicates, time, expected) -> None:
    store_of(pd.DataFrame(PAIR), tmp_path / "s")
    more = pd.DataFrame({"user": [1, 4], "item": [10, 30], "rating": [5.0, 1.0], "timestamp": [time, 300]})
    later = append(tmp_path / "s", table_of(more), duplicates=duplicates)
    assert ratings_of(later)[1, 10] == expected
    assert later.duplicates == 1
    with pytest.raises(
        DataError, match=r"input row 1: user 1 rated item 10, which the store has otherwise \(1 such"
    ):
        append(tmp_path / "t", table_of(more), duplicates="error") if store_of(
            pd.DataFrame(PAIR), tmp_path / "t"
        ) else None


def test_without_timestamps_what_comes_counts_as_later(tmp_path) -> None:
    plain = pd.DataFrame(PAIR).drop(columns="timestamp")
    store_of(plain, tmp_path / "s")
    more = pd.DataFrame({"user": [1, 4], "item": [10, 30], "rating": [5.0, 1.0]})
    assert ratings_of(append(tmp_path / "s", table_of(more)))[1, 10] == (5.0, None)
    assert ratings_of(append(tmp_path / "s", table_of(plain), duplicates="first"))[1, 10] == (5.0, None)
    assert len(list_versions(tmp_path / "s")) == 2


@pytest.mark.long
def test_new_ratings_of_another_scale_keep_their_values(tmp_path) -> None:
    store_of(frame(40), tmp_path / "s")
    halves = frame(30, seed=3, first_user=50, start=100)
    halves["rating"] += 0.5
    later = append(tmp_path / "s", table_of(halves))
    assert later.scale.tolist() == sorted({*frame(40)["rating"], *halves["rating"]})
    fine = frame(90, seed=4, first_user=90, start=200)
    fine["rating"] = np.linspace(1, 5, 90)
    many = append(tmp_path / "s", table_of(fine))
    finer = pd.concat(
        [fine.assign(user=fine["user"] + 100 * k, rating=fine["rating"] + k / 300) for k in (1, 2, 3)]
    )
    most = append(tmp_path / "s", table_of(finer))
    assert len(many.scale) > 90
    assert len(most.scale) == 0  # more than 256 distinct ratings are stored as they are
    last = append(tmp_path / "s", table_of(frame(20, seed=9, first_user=900)))
    for store, count in ((later, 70), (many, 160), (most, 430), (last, 450)):
        assert len(ratings_of(store)) == count
    assert ratings_of(later).items() <= ratings_of(last).items()


def test_ids_of_another_kind_are_refused(tmp_path) -> None:
    base = store_of(frame(40), tmp_path / "s")
    other = frame(20, seed=1)
    for column, message in (
        ("user", "user ids that are no integers, the first of them 'u.x'"),
        ("item", "item ids"),
    ):
        bad = other.assign(**{column: ["u" + str(v % 3) + "x" for v in other[column]]})
        with pytest.raises(DataError, match=rf"{message}.*expected {column} ids like those of the store"):
            append(tmp_path / "s", table_of(bad))
    assert open_latest(tmp_path / "s").path == base.path
    # integers beside strings are strings
    texts = frame(40).assign(user=lambda d: "u" + d["user"].astype(str))
    store_of(texts, tmp_path / "t")
    later = append(tmp_path / "t", table_of(frame(20, seed=1, start=100)))
    assert "6" in later.user_ids.to_pylist()


def test_missing_timestamps_are_refused(tmp_path) -> None:
    store_of(frame(40), tmp_path / "s")
    with pytest.raises(
        DataError, match="have no timestamps; expected a timestamp for every rating, as those of the"
    ):
        append(tmp_path / "s", table_of(frame(20, seed=1).drop(columns="timestamp")))


def write_catalogue(folder: Path, titles: dict[int, str]) -> None:
    lines = [f"{item},{title},{genres}" for item, (title, genres) in titles.items()]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *lines]) + "\n")


def movielens(data: pd.DataFrame, folder: Path, titles: dict[int, tuple[str, str]], tags: str = "") -> Path:
    folder.mkdir()
    data.set_axis(["userId", "movieId", "rating", "timestamp"], axis=1).to_csv(
        folder / "ratings.csv", index=False
    )
    write_catalogue(folder, titles)
    if tags:
        (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n" + tags)
    return folder


def test_catalogues_and_tags_are_joined(tmp_path) -> None:
    old = pd.DataFrame(
        {"user": [1, 2, 3], "item": [10, 20, 10], "rating": [2.0, 3.0, 4.0], "timestamp": [1, 2, 3]}
    )
    new = pd.DataFrame({"user": [1, 4], "item": [30, 40], "rating": [5.0, 1.0], "timestamp": [8, 9]})
    first = movielens(
        old,
        tmp_path / "a",
        {10: ("Ten (1990)", "Drama"), 20: ("Twenty (1991)", "Comedy"), 50: ("Fifty (1995)", "War")},
        "1,10,slow,5\n",
    )
    second = movielens(
        new,
        tmp_path / "b",
        {
            10: ("Ten again (1990)", "Drama|War"),
            30: ("Thirty (1993)", "Horror"),
            60: ("Sixty (1996)", "Drama"),
        },
        "1,10,slow,5\n4,40,odd,9\n",
    )
    ingest(first, tmp_path / "s")
    later = append_ratings(second, tmp_path / "s")
    assert later.item_ids.to_pylist() == [10, 20, 50, 30, 40, 60]
    catalogue = later.catalogue()
    assert catalogue["title"].to_pylist() == [
        "Ten again (1990)", "Twenty (1991)", "Fifty (1995)", "Thirty (1993)", None, "Sixty (1996)",
    ]  # fmt: skip
    assert catalogue["genres"].to_pylist() == [
        ["Drama", "War"],
        ["Comedy"],
        ["War"],
        ["Horror"],
        [],
        ["Drama"],
    ]
    assert catalogue["year"].to_pylist() == [1990, 1991, 1995, 1993, None, 1996]
    assert later.genres().names == ["Drama", "War", "Comedy", "Horror"]
    assert later.tags()["tag"].to_pylist() == ["slow", "odd"]
    plain = tmp_path / "plain.csv"
    new.assign(item=[70, 10], user=[1, 9]).to_csv(plain, index=False)
    last = append_ratings(plain, tmp_path / "s")
    assert last.catalogue()["title"].to_pylist() == [*catalogue["title"].to_pylist(), None]
    assert last.catalogue()["genres"].to_pylist()[-1] == []


def test_several_files_share_the_catalogue_of_their_folder(tmp_path) -> None:
    folder = movielens(frame(40), tmp_path / "a", {100: ("Hundred (1990)", "Drama")})
    (folder / "ratings.csv").rename(folder / "ratings-2024-05-01.csv")
    store = ingest(folder / "ratings-2024-05-01.csv", tmp_path / "s")
    assert "Hundred (1990)" in store.catalogue()["title"].to_pylist()


def unlinked(*_) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_unchanged_chunks_are_shared(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(arrays, "CHUNK_RATINGS", 16)
    base = store_of(frame(90), tmp_path / "s")
    later = append(tmp_path / "s", table_of(frame(40, seed=1, first_user=50, start=100)))
    old, new = Path(base.path), Path(later.path)
    columns = ("indices", "values", "timestamps", "positions")
    shared = [
        name
        for name in columns
        for chunk in range(5)
        if (new / f"users/{name}/c/{chunk}").samefile(old / f"users/{name}/c/{chunk}")
    ]
    assert len(shared) == 4 * 5  # new users only: all full chunks of the user side
    assert not (new / "users/indices/c/5").samefile(old / "users/indices/c/5")
    assert ratings_of(base).items() <= ratings_of(later).items()
    share = versions._share

    def share_on_another_device(*folders) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(versions.os, "link", unlinked)
            share(*folders)

    monkeypatch.setattr(versions, "_share", share_on_another_device)
    copied = append(tmp_path / "s", table_of(frame(40, seed=2, first_user=80, start=300)))
    assert not (Path(copied.path) / "users/values/c/0").samefile(new / "users/values/c/0")
    assert ratings_of(later).items() <= ratings_of(copied).items()


def test_two_who_add_at_once(tmp_path) -> None:
    store_of(frame(40), tmp_path / "s")
    message = r"version 1 was made by somebody else meanwhile.*Run the command again"
    with pytest.raises(OutputError, match=message), new_version_folder(tmp_path / "s", 1):
        append(tmp_path / "s", table_of(frame(20, seed=1, start=100)))
    assert [Path(one.path).name for one in list_versions(tmp_path / "s")] == ["s", "000001"]
    assert leftovers(tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize("stride", STRIDES)
def test_a_full_disk_at_any_step_keeps_the_versions_there_were(tmp_path, monkeypatch, stride) -> None:
    base = store_of(frame(40), tmp_path / "s")
    table = table_of(frame(20, seed=1, start=100))
    disk = FaultyDisk(monkeypatch)
    for step in itertools.count(1, stride):
        disk.arm(step)
        try:
            append(tmp_path / "s", table)
        except OutputError as error:
            said = str(error)
        else:
            break
        assert "No space left on device" in said
        disk.arm(0)
        assert ratings_of(base)
        if open_latest(tmp_path / "s").path != base.path:  # failed after it took effect: it is whole
            assert len(ratings_of(open_latest(tmp_path / "s"))) >= 40
            versions.shutil.rmtree(tmp_path / "s" / "versions")
        assert leftovers(tmp_path) == []
    assert step > 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write-store")]


# --- as of a date ------------------------------------------------------------------------------------------


@pytest.mark.long
def test_as_of_sees_only_what_was_known_then(tmp_path) -> None:
    data = frame(60)
    data["timestamp"] = np.arange(60) * (DAY // 10)  # ten a day
    # a change of mind on the fifth day, of a rating of the first
    data.loc[59, ["user", "item"]] = data.loc[0, ["user", "item"]].to_numpy()
    data.to_csv(tmp_path / "ratings.csv", index=False)
    early = ingest(tmp_path / "ratings.csv", tmp_path / "early", as_of="1970-01-02")
    whole = ingest(tmp_path / "ratings.csv", tmp_path / "whole")
    pair = tuple(data.loc[0, ["user", "item"]].astype(int))
    assert early.n_ratings == 20
    assert early.lineage["as_of"] == "1970-01-02"
    assert ratings_of(early)[pair] == (data.loc[0, "rating"], 0)
    assert ratings_of(whole)[pair] == (data.loc[59, "rating"], 59 * (DAY // 10))
    later = append_ratings(tmp_path / "ratings.csv", tmp_path / "early", as_of="1970-01-04T00:00:00")
    assert later.n_ratings == 31
    assert later.lineage["known"] == 20
    last = append_ratings(tmp_path / "ratings.csv", tmp_path / "early", as_of="1970-12-31")
    assert ratings_of(last) == ratings_of(whole)


def test_dates_and_moments() -> None:
    assert last_moment("1970-01-02") == 2 * DAY - 1
    assert last_moment("1970-01-02T00:00:00") == DAY
    assert last_moment("1970-01-02T02:00:00+02:00") == DAY
    for text in ("yesterday", "2024-13-01", "2024-02-30", "20240501", "2024-5-1"):
        if text == "20240501":
            assert last_moment(text) == last_moment("2024-05-01T00:00:00")
            continue
        with pytest.raises(ConfigError, match=f"as_of: found '{text}'; expected a date such as 2024-05-01"):
            last_moment(text)


def test_as_of_needs_times_that_reach_it(tmp_path) -> None:
    frame(40, start=10 * DAY).to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(
        DataError, match="the first rating is of 1970-01-11 00:00:00 UTC; expected ratings up to 1970-01-05"
    ):
        ingest(tmp_path / "ratings.csv", tmp_path / "s", as_of="1970-01-05")
    frame(40).drop(columns="timestamp").to_csv(tmp_path / "plain.csv", index=False)
    with pytest.raises(DataError, match=r"have no timestamps; .*since as_of leaves out the later ones"):
        ingest(tmp_path / "plain.csv", tmp_path / "s", as_of="1970-01-05")
    with pytest.raises(ConfigError, match="a synthetic set is one whole"):
        ingest("synthetic-100k", tmp_path / "s", as_of="1970-01-05")
    assert not (tmp_path / "s").exists()


# --- forgetting --------------------------------------------------------------------------------------------


def test_forgotten_people_are_gone(tmp_path) -> None:
    data = frame(70).assign(user=lambda d: "person " + d["user"].astype(str))
    base = store_of(data, tmp_path / "s")
    later = forget_users(tmp_path / "s", pa.array(["person 3", "person 5", "nobody"]))
    kept = {
        pair: value for pair, value in ratings_of(base).items() if pair[0] not in ("person 3", "person 5")
    }
    assert ratings_of(later) == kept
    assert later.n_users == base.n_users - 2
    assert later.item_ids.equals(base.item_ids)
    assert later.lineage["forgotten"] == 2
    assert ensure_split(later, SplitSpec(method="random", test_fraction=0.2)).n_test > 0
    removed = collect_versions(tmp_path / "s", 1)
    assert removed == [str(tmp_path / "s")]
    for path in (tmp_path / "s").rglob("*"):
        assert not path.is_file() or b"person 3" not in path.read_bytes()
    assert ratings_of(open_latest(tmp_path / "s")) == kept
    with pytest.raises(StoreError, match="is not a store: it holds versions"):
        open_store(tmp_path / "s")
    grown = append(tmp_path / "s", table_of(frame(20, seed=5, start=500)))
    assert grown.lineage["number"] == 2
    assert resolve_store(tmp_path / "s").path == grown.path


def test_tags_of_forgotten_people_are_gone(tmp_path) -> None:
    folder = movielens(
        frame(40), tmp_path / "a", {100: ("Hundred (1990)", "Drama")}, "3,100,mine,1\n2,100,other,1\n"
    )
    ingest(folder, tmp_path / "s")
    (tmp_path / "list").write_text("3\n\n")
    later = forget_listed(tmp_path / "s", tmp_path / "list")
    assert later.tags()["tag"].to_pylist() == ["other"]
    assert 3 not in later.user_ids.to_pylist()
    with pytest.raises(
        DataError, match="0 of 7 users to forget; expected at least one user that the store knows"
    ):
        forget_listed(tmp_path / "s", tmp_path / "list")
    (tmp_path / "list").write_text("three\n")
    with pytest.raises(
        DataError, match=r"list: cannot be read as user ids .*expected one id a line, of type int64"
    ):
        forget_listed(tmp_path / "s", tmp_path / "list")
    with pytest.raises(DataError, match="6 of 7 users to forget"):
        forget_users(tmp_path / "s", later.user_ids[:6])


# --- collection, the command -------------------------------------------------------------------------------


def test_collection_keeps_the_last_versions(tmp_path) -> None:
    store_of(frame(40), tmp_path / "s")
    made = [append(tmp_path / "s", table_of(frame(20, seed=k, start=100 * k))) for k in (1, 2, 3)]
    assert collect_versions(tmp_path / "s", 9) == []
    assert collect_versions(tmp_path / "s", 2) == [str(tmp_path / "s"), made[0].path]
    assert [one.path for one in list_versions(tmp_path / "s")] == [made[1].path, made[2].path]
    assert len(ratings_of(made[2])) == made[2].n_ratings


def test_collection_without_permission(tmp_path, monkeypatch) -> None:
    store_of(frame(40), tmp_path / "s")
    append(tmp_path / "s", table_of(frame(20, seed=1, start=100)))

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(OutputError, match=r"s: cannot be removed \(Permission denied\)"):
        collect_versions(tmp_path / "s", 1)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command(tmp_path) -> None:
    frame(40).to_csv(tmp_path / "a.csv", index=False)
    frame(60, seed=1, start=DAY).to_csv(tmp_path / "b.csv", index=False)
    store = tmp_path / "s"
    assert "s: does not exist" in run(tmp_path / "b.csv", store, "--append", code=1)
    run(tmp_path / "a.csv", store)
    out = run(tmp_path / "b.csv", store, "--append", "--as-of", "1970-01-02T00:00:19")
    assert "changed" in out
    assert f"saved {store}/versions/000001" in out
    (tmp_path / "who").write_text("1\n2\n")
    assert "forgot 2 users" in run(store, "--forget-users", tmp_path / "who")
    assert run(store, "--keep-versions", 1).count("removed ") == 2
    for wrong in (
        (store,),
        (tmp_path / "a.csv", store, "--append", "--overwrite"),
        (tmp_path / "a.csv", store, "--forget-users", tmp_path / "who"),
    ):
        assert "expected SOURCE STORE, or STORE alone" in run(*wrong, code=2)
    assert "--as-of: found 'soon'" in run(tmp_path / "b.csv", store, "--append", "--as-of", "soon", code=1)
    run(tmp_path / "a.csv", store, "--overwrite")
    assert open_latest(store).path == str(store)
