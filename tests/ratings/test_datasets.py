"""Data sets by name, against a publisher on the loopback."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from daskals.errors import DatasetError, OutputError
from daskals.ratings import datasets
from daskals.ratings.datasets import (
    DATASETS,
    SYNTHETIC_DATASETS,
    datasets_folder,
    fetch_dataset,
    parse_md5,
    suggest_name,
)
from daskals.ratings.source import read_ratings
from daskals.ratings.synthetic import SYNTHETIC_NAMES

RATINGS = b"userId,movieId,rating,timestamp\n1,1,3.0,1\n2,2,4.0,2\n"


def archive(members: dict[str, bytes] | None = None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as opened:
        for name, content in (members or {"ml-1m/README": b"", "ml-1m/ratings.csv": RATINGS}).items():
            opened.writestr(name, content)
    return packed.getvalue()


def md5_line(content: bytes, name: str = "ml-1m.zip") -> bytes:
    return f"MD5 ({name}) = {hashlib.md5(content).hexdigest()}\n".encode()


class Publisher:
    """Serves files from memory and remembers what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked.append(self.path)
                content = publisher.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content if not self.path.endswith("cut.zip") else content[:10])

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def publish(self, name: str, content: bytes, checksum: bytes | None = None) -> None:
        self.files[f"/{name}.zip"] = content
        self.files[f"/{name}.zip.md5"] = md5_line(content) if checksum is None else checksum

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def publisher():
    made = Publisher()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def leftovers(own_cache) -> list[str]:
    return sorted(path.name for path in (own_cache / "datasets").iterdir())


def test_fetch__checked_unpacked_and_kept(publisher, own_cache):
    publisher.publish("ml-1m", archive())
    folder = fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")
    assert folder == own_cache / "datasets" / "ml-1m"
    assert read_ratings(folder).n_ratings == 2
    assert leftovers(own_cache) == ["ml-1m"]
    assert fetch_dataset("ml-1m", base_url=publisher.url) == folder
    assert publisher.asked == ["/ml-1m.zip.md5", "/ml-1m.zip"]


@pytest.mark.parametrize("address", ["{}", "{}/"])
def test_fetch__shows_progress(publisher, capsys, address):
    publisher.publish("ml-1m", archive({"ml-1m/ratings.csv": RATINGS + b"3,1,3,3\n" * 100_000}))
    fetch_dataset("ml-1m", base_url=address.format(publisher.url))
    captured = capsys.readouterr()
    assert "ml-1m.zip" in captured.err
    assert "800.2/800.2 kB" in captured.err
    assert captured.out == ""


def test_fetch__hidden_progress_is_silent(publisher, capsys):
    publisher.publish("ml-1m", archive())
    fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")
    assert capsys.readouterr() == ("", "")


def test_folder_in_the_archive_may_have_any_name(publisher, own_cache):
    publisher.publish("ml-10m", archive({"ml-10M100K/ratings.dat": b"1::1::3::1\n2::2::4::2\n"}))
    assert read_ratings(fetch_dataset("ml-10m", base_url=publisher.url, progress="hide")).n_ratings == 2
    publisher.publish("ml-1m", archive({"ratings.csv": RATINGS}))
    assert read_ratings(fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")).n_ratings == 2
    assert leftovers(own_cache) == ["ml-10m", "ml-1m"]


def test_corrupted_archive(publisher, own_cache):
    sound = archive()
    publisher.publish("ml-1m", sound.replace(b"3.0", b"1.0"), md5_line(sound))
    with pytest.raises(DatasetError) as caught:
        fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")
    assert str(caught.value) == (
        f"{publisher.url}/ml-1m.zip: the archive arrived damaged: its MD5 is not the published one; "
        f"expected MD5 {hashlib.md5(sound).hexdigest()}. "
        f"Try again, or put a sound archive by hand at {own_cache / 'datasets' / 'ml-1m.zip'}."
    )
    assert leftovers(own_cache) == []
    publisher.publish("ml-1m", sound)
    assert fetch_dataset("ml-1m", base_url=publisher.url, progress="hide").is_dir()


def test_no_network(own_cache):
    with pytest.raises(DatasetError) as caught:
        fetch_dataset("ml-32m", base_url="http://127.0.0.1:9", progress="hide")
    assert str(caught.value) == (
        "http://127.0.0.1:9/ml-32m.zip: cannot be fetched (ConnectionError); "
        "expected a server that can be reached. "
        f"Check the network, or put ml-32m.zip by hand into the folder {own_cache / 'datasets'}."
    )


def test_archive_is_not_there(publisher):
    with pytest.raises(DatasetError, match=r"/ml-1m\.zip\.md5: cannot be fetched \(the server answers 404\)"):
        fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")
    publisher.files["/ml-1m.zip.md5"] = md5_line(b"")
    with pytest.raises(DatasetError, match=r"/ml-1m\.zip: cannot be fetched \(the server answers 404\)"):
        fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")


def test_checksum_file_without_a_checksum(publisher):
    publisher.publish("ml-1m", archive(), b"<html>moved</html>")
    with pytest.raises(
        DatasetError, match=r"zip\.md5: the checksum file holds no MD5; expected 32 hexadecimal digits"
    ):
        fetch_dataset("ml-1m", base_url=publisher.url, progress="hide")


def test_connection_that_breaks(publisher, own_cache, monkeypatch):
    publisher.publish("ml-1m", archive())
    publisher.files["/cut.zip"] = publisher.files["/ml-1m.zip"]
    publisher.files["/cut.zip.md5"] = publisher.files["/ml-1m.zip.md5"]
    monkeypatch.setattr("daskals.ratings.datasets.DATASETS", ("cut",))
    with pytest.raises(DatasetError, match=r"cut\.zip: cannot be fetched \(ChunkedEncodingError\)"):
        fetch_dataset("cut", base_url=publisher.url, progress="hide")
    assert leftovers(own_cache) == []


def put_by_hand(own_cache, content: bytes) -> None:
    (own_cache / "datasets").mkdir(parents=True)
    (own_cache / "datasets" / "ml-1m.zip").write_bytes(content)


def test_archive_put_by_hand_is_used(own_cache):
    put_by_hand(own_cache, archive())
    folder = fetch_dataset("ml-1m", base_url="http://127.0.0.1:9")
    assert read_ratings(folder).n_ratings == 2
    assert leftovers(own_cache) == ["ml-1m", "ml-1m.zip"]


def test_archive_put_by_hand__checked_against_its_md5(own_cache):
    put_by_hand(own_cache, archive())
    (own_cache / "datasets" / "ml-1m.zip.md5").write_bytes(md5_line(b"another"))
    with pytest.raises(
        DatasetError, match=r"ml-1m\.zip: the archive is damaged: its MD5 is not that of ml-1m\.zip\.md5"
    ):
        fetch_dataset("ml-1m")
    (own_cache / "datasets" / "ml-1m.zip.md5").write_bytes(md5_line(archive()))
    assert fetch_dataset("ml-1m").is_dir()


def test_archive_put_by_hand__of_any_size(own_cache, monkeypatch):
    put_by_hand(own_cache, archive({"ml-1m/ratings.csv": RATINGS, "ml-1m/zeros": bytes(1 << 20)}))
    monkeypatch.setattr(datasets, "MOST_UNPACKED_BYTES", 1 << 19)
    with pytest.raises(
        DatasetError, match=r"the archive would unpack to 1,048,\d+ bytes; expected a MovieLens"
    ):
        fetch_dataset("ml-1m")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (archive()[:40], "the archive is damaged (File is not a zip file)"),
        (archive().replace(b"3.0", b"1.0"), "the archive is damaged (Bad CRC-32"),
        (archive({"ml-1m/README": b""}), "the archive holds no ratings"),
        (
            archive({"../evil": b"", "ml-1m/ratings.csv": RATINGS}),
            "wants to write outside its folder, '../evil'",
        ),
        (archive({"/evil": b"", "ml-1m/ratings.csv": RATINGS}), "wants to write outside its folder, '/evil'"),
        (archive({"ml-1m/..\\..\\evil": b""}), "wants to write outside its folder"),
        (archive({"c:evil": b""}), "wants to write outside its folder, 'c:evil'"),
    ],
    # an archive's bytes hold the time, and test processes that begin side by side must agree on the names
    ids=["short", "sum", "empty", "above", "root", "backwards", "drive"],
)
def test_archive_put_by_hand__damaged(own_cache, content, found):
    put_by_hand(own_cache, content)
    with pytest.raises(DatasetError) as caught:
        fetch_dataset("ml-1m")
    assert found in str(caught.value)
    assert str(caught.value).endswith(
        "expected a MovieLens archive as published. Delete it and fetch it again."
    )
    assert leftovers(own_cache) == ["ml-1m.zip"]


def test_cache_that_cannot_be_written(own_cache):
    own_cache.write_text("a file where the folder should be")
    with pytest.raises(
        OutputError, match=r"the cache cannot be written .*Set DASKALS_CACHE to another folder"
    ):
        fetch_dataset("ml-1m")


def test_cache_that_runs_full(own_cache, monkeypatch):
    put_by_hand(own_cache, archive())

    def no_room(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.rename", no_room)
    with pytest.raises(
        OutputError, match=r"datasets: the cache cannot be written \(No space left on device\)"
    ):
        fetch_dataset("ml-1m")
    assert leftovers(own_cache) == ["ml-1m.zip"]


def test_published_by_another_process_meanwhile(own_cache, monkeypatch):
    put_by_hand(own_cache, archive())
    other = own_cache / "datasets" / "ml-1m"
    monkeypatch.setattr(
        "daskals.ratings.datasets._check_by_hand",
        lambda _: (other.mkdir(), (other / "ratings.csv").write_bytes(RATINGS)),
    )
    assert fetch_dataset("ml-1m") == other
    assert leftovers(own_cache) == ["ml-1m", "ml-1m.zip"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ml-1M", "ml-1m"),
        ("ml32m", "ml-32m"),
        ("ml-small", "ml-latest-small"),
        ("synthetic1m", "synthetic-1m"),
    ],
)
def test_unknown_name__nearest_is_suggested(name, nearest):
    with pytest.raises(DatasetError) as caught:
        fetch_dataset(name)
    assert str(caught.value) == (
        f"ratings: no data set is called '{name}'; expected one of "
        "ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m, "
        "synthetic-100k, synthetic-1m, synthetic-32m. "
        f"The nearest is {nearest}."
    )


def test_unknown_name__nothing_is_near():
    assert str(suggest_name("netflix")).endswith("Name one of these, or the path of a file.")


def test_names():
    assert SYNTHETIC_DATASETS == SYNTHETIC_NAMES
    assert len(DATASETS) == 7
    assert datasets_folder().name == "datasets"


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("MD5 (ml-1m.zip) = C4D9EECFCA2AB87C1945AFE126590906\n", "c4d9eecfca2ab87c1945afe126590906"),
        ("c4d9eecfca2ab87c1945afe126590906  ml-1m.zip\n", "c4d9eecfca2ab87c1945afe126590906"),
        ("c4d9eecfca2ab87c1945afe126590906", "c4d9eecfca2ab87c1945afe126590906"),
        ("c4d9eecfca2ab87c1945afe1265909060", None),
        ("", None),
    ],
)
def test_parse_md5(text, digest):
    assert parse_md5(text) == digest
