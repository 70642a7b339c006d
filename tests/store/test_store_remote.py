"""A store at an address: put there by a copy that is compared, read in place, trained on to the same bits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import s3fs

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, JobConfig, TrainConfig
from daskals.errors import ClusterError, ConfigError, OutputError, StoreError
from daskals.fitting.fit import fit
from daskals.ingest import append_ratings, forget_listed, ingest, job_store, resolve_store
from daskals.ratings.split import SplitSpec
from daskals.store import arrays, copying, remote
from daskals.store.append import append
from daskals.store.blocks import BlockSource
from daskals.store.copying import copy_store
from daskals.store.reader import RatingsStore, open_store
from daskals.store.splits import ensure_split, load_block
from daskals.store.writer import write_store
from daskals.training.checkpoint import Checkpoints
from daskals.training.run import RunOptions
from daskals.types import TEST, TRAIN
from jobs import ingest as ingest_job
from jobs import train
from tests.cases.commands import run
from tests.cases.damages import DAMAGES
from tests.cases.outcomes import outcome
from tests.cases.registry_cases import fresh_bucket_url, s3_environment, s3_server
from tests.cases.store_cases import check_store, leftovers, make_table

pytestmark = pytest.mark.usefixtures("no_baseline")

METHODS = ("exists", "cat_file", "pipe_file")
SPEC = SplitSpec("random", 0.3)
TABLE = make_table()
FAST = ["--rank", "3", "--epochs", "2", "--model", "als", "--seed", "1", "--dashboard-address", "none"]


@pytest.fixture
def url(s3: str) -> str:
    return fresh_bucket_url()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RatingsStore:
    """A store in a folder whose arrays have two chunks: every file more is two requests more."""
    monkeypatch.setattr(arrays, "CHUNK_RATINGS", 15)
    return write_store(TABLE, tmp_path / "store")


def bucket() -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def names_at(url: str) -> set[str]:
    root = url.removeprefix("s3://")
    return {path.removeprefix(f"{root}/") for path in bucket().find(root)}


def names_in(folder: str | Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def tamper(patch: pytest.MonkeyPatch, url: str, **hooks: Callable[..., object]) -> None:
    """Call a hook after the true method of the client of an address; its result, if any, takes the place."""
    files, root = remote._files(url)

    def hooked(name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            found = getattr(files, name)(*arguments)
            return hooks[name](*arguments, found) or found

        return call

    methods = {name: hooked(name) if name in hooks else getattr(files, name) for name in METHODS}
    patch.setattr(remote, "_files", lambda one: (SimpleNamespace(**methods), one.removeprefix("s3://")))
    assert root == url.removeprefix("s3://")


# --- putting it there --------------------------------------------------------------------------------------


def test_a_store_is_copied_and_read_whole(local: RatingsStore, url: str) -> None:
    found = copy_store(local, url)
    assert found.path == url
    assert found.content_hash == local.content_hash
    check_store(found, TABLE)
    assert found.genres().names == local.genres().names
    assert names_at(url) == names_in(local.path)
    assert open_store(f"{url}/").path == url


def test_splits_come_along_and_later_versions_do_not(local: RatingsStore, url: str, tmp_path: Path) -> None:
    ensure_split(local, SPEC)
    append(local.path, make_table(12, seed=3))
    copy_store(local, url)
    assert {name for name in names_at(url) if name.startswith("splits/")} >= {
        f"splits/{SPEC.key()}/zarr.json",
        f"splits/{SPEC.key()}/items/c/0",
    }
    assert not any(name.startswith("versions") for name in names_at(url))
    folder = copy_store(local, f"file://{tmp_path}/copy")
    assert folder.path == str(tmp_path / "copy")
    assert names_in(folder.path) == names_at(url)
    check_store(folder, TABLE)


def test_the_same_ratings_stay_and_others_are_refused(
    local: RatingsStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_store(local, url)
    with monkeypatch.context() as patch:
        patch.setattr(copying, "put_folder", lambda *_: pytest.fail("it was put there again"))
        assert copy_store(local, url).content_hash == local.content_hash
    other = write_store(make_table(seed=5), tmp_path / "other")
    with pytest.raises(OutputError) as caught:
        copy_store(other, url)
    assert str(caught.value) == (
        f"{url}: already holds other ratings (content {local.content_hash[:12]}, not "
        f"{other.content_hash[:12]}); expected an address that is free, or the same ratings. "
        "Choose another address."
    )


@pytest.mark.parametrize("stopped_at", [pytest.param(1, marks=pytest.mark.slow), 20])
def test_a_copy_that_was_stopped_is_no_store_and_is_made_again(
    local: RatingsStore, url: str, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    left = [stopped_at]

    def stop(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        tamper(patch, url, pipe_file=stop)
        with pytest.raises(KeyboardInterrupt):
            copy_store(local, url)
    with pytest.raises(StoreError, match=r"there is no store; expected a ratings store\. Make one with"):
        open_store(url)
    check_store(copy_store(local, url), TABLE)


def test_a_copy_that_reads_otherwise_is_refused(
    local: RatingsStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        tamper(patch, url, cat_file=lambda _path, _content: b"else")
        with pytest.raises(OutputError, match=r" reads as 4 bytes unlike the \d+ that were"):
            copy_store(local, url)
    with monkeypatch.context() as patch:
        patch.setattr(copying.filecmp, "cmp", lambda *_, **__: False)
        with pytest.raises(OutputError, match=r"copy: .* reads unlike what was put there; expected a disk"):
            copy_store(local, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert leftovers(tmp_path) == []


def test_a_bucket_that_cannot_be_written(local: RatingsStore, s3: str) -> None:
    with pytest.raises(OutputError, match=r"s3://absent/x: .* cannot be written \(.*bucket"):
        copy_store(local, "s3://absent/x")


def test_ingest_writes_to_an_address(url: str, tmp_path: Path) -> None:
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("userId,movieId,rating\n1,1,4.0\n2,2,3.0\n1,2,2.0\n")
    result = run(ingest_job, ratings, url)
    assert result.exit_code == 0, result.output
    assert f"saved {url}" in result.output
    assert open_store(url).n_ratings == 3
    folder = ingest(ratings, f"file://{tmp_path}/store")
    assert folder.path == str(tmp_path / "store")
    ratings.write_text(ratings.read_text() + "2,1,5.0\n")
    append_ratings(ratings, folder.path)
    result = run(ingest_job, folder.path, f"{url}-again")
    assert result.exit_code == 0, result.output
    assert open_store(f"{url}-again").lineage["known"] == 3  # the latest version was copied
    assert resolve_store(f"file://{folder.path}").path.startswith(folder.path)


def test_what_lies_at_an_address_is_made_once(local: RatingsStore, url: str, tmp_path: Path) -> None:
    copy_store(local, url)
    ids = tmp_path / "ids"
    ids.write_text("1\n")
    message = rf"{url}: a store at an address is made once and stays as it is; expected .*daskals ingest"
    for call in (
        lambda: ingest(local.path, url, overwrite="replace"),
        lambda: append_ratings(local.path, url),
        lambda: forget_listed(url, ids),
    ):
        with pytest.raises(OutputError, match=message):
            call()
    result = run(ingest_job, url, "--keep-versions", "1")
    assert result.exit_code == 1
    assert "is made once" in result.output


# --- reading it --------------------------------------------------------------------------------------------


def test_a_split_is_kept_with_the_store(local: RatingsStore, url: str) -> None:
    found = copy_store(local, url)
    split, expected = ensure_split(found, SPEC), ensure_split(local, SPEC)
    assert (split.n_train, split.n_test, split.mean) == (expected.n_train, expected.n_test, expected.mean)
    assert names_at(url) == names_in(local.path)
    for part in (TRAIN, TEST):
        here, there = (load_block(at, "item", 1, 6, SPEC.key(), part) for at in (local.path, url))
        for name in ("indptr", "indices", "values", "scale"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    with pytest.raises(StoreError, match=rf"{url}: there is no split other; expected a split made before"):
        load_block(url, "user", 0, 2, "other", TRAIN)


def test_a_split_is_cached_where_the_address_cannot_be_written(
    local: RatingsStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = copy_store(local, url)
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))

    def refuse(*_: object) -> None:
        raise PermissionError("Access Denied")

    tamper(monkeypatch, url, pipe_file=refuse)
    assert ensure_split(found, SPEC).n_test > 0
    assert f"splits/{SPEC.key()}/zarr.json" not in names_at(url)
    assert (tmp_path / "cache" / "splits" / local.content_hash / SPEC.key() / "zarr.json").is_file()


def test_every_damaged_chunk_is_named(local: RatingsStore, url: str, tmp_path: Path) -> None:
    found, files, root = copy_store(local, url), bucket(), url.removeprefix("s3://")
    for how, damage in DAMAGES.items():
        for side, key in (("user", "users/indices/c/1"), ("item", "items/indptr/c/0")):
            content = files.cat_file(f"{root}/{key}")
            (tmp_path / "chunk").write_bytes(content)
            damage(tmp_path / "chunk")
            if how == "removed":
                files.rm_file(f"{root}/{key}")
            else:
                files.pipe_file(f"{root}/{key}", (tmp_path / "chunk").read_bytes())
            state = "missing; expected all chunks" if how == "removed" else r"damaged \("
            with pytest.raises(StoreError, match=rf"{url}: chunk {key} is {state}"):
                found.read(side, 0, found.n_rows(side))
            files.pipe_file(f"{root}/{key}", content)
    check_store(found, TABLE)


def test_a_damaged_catalogue_and_metadata_are_named(local: RatingsStore, url: str) -> None:
    found, files, root = copy_store(local, url), bucket(), url.removeprefix("s3://")
    files.rm_file(f"{root}/tables/catalogue/c/0")
    with pytest.raises(StoreError, match=rf"{url}: tables/catalogue/c/0 is missing or damaged"):
        found.catalogue()
    files.rm_file(f"{root}/items/indices/zarr.json")
    with pytest.raises(StoreError, match=rf"{url}: the metadata items/indices/zarr.json cannot be read"):
        found.read("item", 0, 3)
    files.pipe_file(f"{root}/zarr.json", b"{")
    with pytest.raises(StoreError, match=rf"{url}: the metadata ./zarr.json cannot be read"):
        open_store(url)


@pytest.mark.process
def test_a_server_out_of_reach(local: RatingsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3_server() as endpoint:
        for name, value in s3_environment(endpoint).items():
            monkeypatch.setenv(name, value)
        found = copy_store(local, fresh_bucket_url())
        found.read("user", 0, 3)
    message = rf"{found.path}: cannot be reached \(.*; expected an address that these credentials may read"
    with pytest.raises(StoreError, match=message):
        open_store(found.path)
    with pytest.raises(StoreError, match=message):
        found.read("user", 0, 3)
    with pytest.raises(StoreError, match=message):
        found.catalogue()
    with pytest.raises(OutputError, match=r"cannot be written \("):
        remote.put_folder(Path(local.path), found.path)


def test_addresses_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"nowhere://x/y: is no address that fsspec knows .*; expected s3://"
    ):
        open_store("nowhere://x/y")
    with pytest.raises(ConfigError, match=r"store_url: found 'ratings\.store'; expected an address such as"):
        JobConfig.parse({"store_url": "ratings.store"})
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setattr(sys.modules["fsspec.registry"], "_registry", {})
    monkeypatch.setattr(sys.modules["fsspec.registry"], "registry", {})
    with pytest.raises(
        ConfigError, match=r"s3://b/x: this address needs a library that is not installed .*cloud"
    ):
        open_store("s3://b/x")


# --- training on it ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_url(s3: str) -> str:
    return copy_store(resolve_store("synthetic-100k"), fresh_bucket_url()).path


CONFIG = {"seed": 1, "rank": 3, "epochs": 2, "model": "als", "order": "rating"}


@pytest.fixture(scope="module")
def in_a_folder(cluster: Cluster) -> tuple[object, ...]:
    return outcome(fit("synthetic-100k", TrainConfig.parse(CONFIG), cluster.client))


@pytest.mark.long
def test_the_same_bits_in_a_folder_and_at_an_address(
    cluster: Cluster, trained_url: str, in_a_folder: tuple[object, ...]
) -> None:
    assert outcome(fit(trained_url, TrainConfig.parse(CONFIG), cluster.client)) == in_a_folder


@pytest.mark.slow
def test_the_same_bits_with_genres(cluster: Cluster, trained_url: str) -> None:
    config = TrainConfig.parse({**CONFIG, "model": "hierarchical"})
    reference = outcome(fit("synthetic-100k", config, cluster.client))
    assert outcome(fit(trained_url, config, cluster.client)) == reference


@pytest.mark.long
def test_the_same_bits_out_of_core(
    cluster: Cluster, trained_url: str, in_a_folder: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    put_aside = BlockSource.put_aside

    def note(source: BlockSource, folder: str) -> object:
        reads.append(source.store)
        return put_aside(source, folder)

    monkeypatch.setattr(BlockSource, "put_aside", note)
    config = TrainConfig.parse(CONFIG)
    found = fit(trained_url, config, cluster.client, run=RunOptions(ratings_memory=450_000))
    assert outcome(found) == in_a_folder
    assert set(reads) == {trained_url}


def test_named_ratings_are_put_at_the_address_first(url: str, planted_folder: Path, tmp_path: Path) -> None:
    options = ["--data", planted_folder, "--store-url", url]
    result = run(train, *FAST, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "report.json").read_text())["data"]["store"] == url
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("userId,movieId,rating\n1,1,4.0\n2,2,3.0\n1,2,2.0\n")
    other = run(train, *FAST, "--data", ratings, "--store-url", url, "--out", tmp_path / "other")
    assert other.exit_code == 1
    assert "already holds other ratings" in other.output
    assert not (tmp_path / "other").exists()
    for asked in ({"store_url": url}, {"store_url": url, "data": str(planted_folder)}):
        assert job_store(JobConfig.parse(asked), "synthetic-1m").path == url


def test_workers_that_cannot_reach_it_are_named(cluster: Cluster, url: str) -> None:
    with pytest.raises(ClusterError) as caught:
        cluster.preflight(f"{url}/nothing")
    assert f"cannot read the store: {url}/nothing: there is no store" in str(caught.value)
    with pytest.raises(ClusterError, match="cannot read the store: gone://x: is no address that fsspec"):
        cluster.preflight("gone://x")


@pytest.mark.slow
def test_an_address_that_loses_a_chunk_in_mid_run(trained_url: str, url: str, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("daskals.store.blocks.lay_aside", lambda *_: None)  # blocks are read each time
    copy = copy_store(resolve_store("synthetic-100k"), url)
    config = TrainConfig.parse({"seed": 1, "rank": 3, "epochs": 5, "model": "als", "order": "rating"})
    key = f"{url.removeprefix('s3://')}/items/indices/c/0"
    with (
        connect(ClusterConfig(dashboard_address=None)) as cluster,
        pytest.raises(StoreError, match=rf"{url}: chunk items/indices/c/0 is missing"),
    ):
        fit(
            copy,
            config,
            cluster.client,
            [lambda event: bucket().rm_file(key) if getattr(event, "epoch", 0) == 1 else None],
            # with a state after every epoch, no more than one of them is on its way
            RunOptions(Checkpoints(tmp_path, 1), ratings_memory=450_000),
        )
