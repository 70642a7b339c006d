"""Secrets of addresses stay where they were given; what files name is not opened unless the user named it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daskals.config import JobConfig
from daskals.errors import ConfigError, StoreError, without_secrets
from daskals.model.stored_ratings import open_history, training_data
from daskals.ratings.split import SplitSpec
from daskals.store import remote
from daskals.store.named_places import VARIABLE, find_named, remember_named
from daskals.store.reader import open_recorded
from daskals.store.splits import ensure_split
from daskals.store.writer import write_store
from daskals.training.event_log import EventLog
from daskals.training.events import Notice
from jobs._terminal import say
from tests.cases.store_cases import make_table

SECRETS = ("AKIAKEY", "s3cr3t", "t0ken", "pa/ss")
ADDRESSES = {
    "s3://AKIAKEY:s3cr3t@bucket/ratings": "s3://bucket/ratings",
    "s3://AKIAKEY:pa/ss+x@bucket/ratings": "s3://bucket/ratings",
    "s3://AKIAKEY@bucket/ratings": "s3://bucket/ratings",
    "https://host/ratings.zarr?sig=t0ken&x=s3cr3t": "https://host/ratings.zarr",
    "https://u:s3cr3t@host:8443/ratings#t0ken": "https://host:8443/ratings",
    "simplecache::s3://AKIAKEY:s3cr3t@bucket/x": "simplecache::s3://bucket/x",
    "tcp://127.0.0.1:8786": "tcp://127.0.0.1:8786",
    "s3://bucket/of@somebody/ratings": "s3://bucket/of@somebody/ratings",
    "no address: a@b?": "no address: a@b?",
}


@pytest.mark.parametrize(("address", "told"), ADDRESSES.items())
def test_addresses_are_told_without_secrets(
    address: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert without_secrets(address) == told
    assert without_secrets(f"cannot reach '{address}' (it is gone)") == f"cannot reach '{told}' (it is gone)"
    error = StoreError(f"found {address}", where=address, expected=address, remedy=f"Look at {address}")
    EventLog(tmp_path / "log.jsonl")(Notice(f"reading {address}"))
    say(f"saved {address}")
    log = (tmp_path / "log.jsonl").read_text()
    everything = f"{error}{error!r}{log}{capsys.readouterr().out}"
    assert json.loads(log)["text"] == f"reading {told}"
    assert str(error).startswith(f"{told}: found {told}; expected {told}")
    assert not any(secret in everything for secret in SECRETS)


def test_reports_hold_no_secrets() -> None:
    config = JobConfig.parse({"store_url": "s3://AKIAKEY:s3cr3t@bucket/ratings?t0ken"})
    assert config.store_url == "s3://AKIAKEY:s3cr3t@bucket/ratings?t0ken"
    assert config.as_report()["store_url"] == "s3://bucket/ratings"
    with pytest.raises(ConfigError) as caught:
        JobConfig.parse({"store_url": "s3://AKIAKEY:s3cr3t@bucket/x", "epochs": "s3://AKIAKEY:s3cr3t@bucket"})
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_an_address_that_nobody_named_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        pytest.fail("the address was asked")

    monkeypatch.setattr(remote, "url_to_fs", asked)
    for address in ("s3://somebody-elses/ratings", "http://127.0.0.1:9/x", "ftp://x/y", "memory://x"):
        with pytest.raises(StoreError, match=rf"nobody named this address here; .*{VARIABLE}") as caught:
            open_history({"store": address, "content_hash": "0" * 64}, "Name them with --data")
        assert caught.value.where == address


def test_a_named_address_is_found_with_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    named = "s3://AKIAKEY:s3cr3t@bucket/named"
    assert find_named("s3://bucket/named") is None
    remember_named(named)
    assert find_named("s3://bucket/named") == named
    monkeypatch.setenv(VARIABLE, "https://host/a?t0ken s3://bucket/b/")
    assert find_named("https://host/a") == "https://host/a?t0ken"
    assert find_named("s3://bucket/b") == "s3://bucket/b/"
    assert find_named("s3://bucket/b/deeper") is None


def test_nothing_is_written_beside_a_store_that_a_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    write_store(make_table(), tmp_path / "store")
    before = sorted((tmp_path / "store").rglob("*"))
    store = open_recorded(str(tmp_path / "store"))
    split = ensure_split(store, SplitSpec("random", 0.3))
    assert split.n_test > 0
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert (tmp_path / "cache" / "splits" / store.content_hash / split.key / "zarr.json").is_file()
    with pytest.raises(
        StoreError, match="holds other ratings than the model was trained on; expected content 0"
    ):
        open_history({"store": str(tmp_path / "store"), "content_hash": "0" * 64}, "Name them")


@pytest.mark.parametrize(
    "data",
    [
        None, {}, [], {"store": 1}, {"store": "x", "content_hash": "../..", "split": {}},
        {"store": "x", "content_hash": "0" * 64, "split": {"method": "../up"}},
        {"store": "x", "content_hash": "0" * 64, "split": {"seed": "many"}},
    ],
)  # fmt: skip
def test_a_damaged_report_is_refused_by_name(data: object) -> None:
    from daskals.errors import DaskalsError

    with pytest.raises(DaskalsError):
        training_data({"data": data})
