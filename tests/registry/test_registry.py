"""The registry: immutable versions, aliases that move, history, rollback, collection; a folder or S3."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from daskals.errors import ConfigError, OutputError, RegistryError
from daskals.registry import leases, storage
from daskals.registry.alias_history import latest
from daskals.registry.collect import collect
from daskals.registry.leases import removing, using
from daskals.registry.registry import Registry
from jobs.models import main
from tests.cases.faulty_disk import STRIDES
from tests.cases.registry_cases import (
    FILES,
    content_of,
    fresh_bucket_url,
    make_artifact,
    publish,
)

AT_ONCE = dt.timedelta(0)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.process)])
def registry(request, tmp_path) -> Registry:
    if request.param == "folder":
        return Registry(tmp_path / "registry")
    request.getfixturevalue("s3")
    return Registry(fresh_bucket_url())


@pytest.fixture
def local(tmp_path) -> Registry:
    return Registry(tmp_path / "registry")


# --- versions and aliases ----------------------------------------------------------------------------------


def test_a_version_is_what_was_published(registry, tmp_path) -> None:
    made = publish(registry, tmp_path, 7, parent="v-before", config={"rank": 20})
    found = registry.manifest(made.id)
    assert found == made
    assert (found.parent, found.config, found.data, found.figures) == (
        "v-before",
        {"rank": 20},
        {"content": 7},
        {"rmse": 0.900007},
    )
    assert found.software["daskals"]
    assert len(found.files) == 3
    assert found.n_bytes == sum(entry["bytes"] for entry in found.files.values())
    with registry.reading(made.id) as reading:
        assert content_of(reading.folder) == 7
    registry.verify(made.id)


def test_publishing_twice_is_one_version(registry, tmp_path) -> None:
    first, second = publish(registry, tmp_path, 1), publish(registry, tmp_path, 1)
    assert first == second
    assert [one.id for one in registry.versions()] == [first.id]
    assert len(registry.storage.names("files")) == 1


def test_aliases_move_and_are_remembered(registry, tmp_path) -> None:
    one, two, three = (publish(registry, tmp_path, n, aliases=("challenger",)).id for n in (1, 2, 3))
    for version in (one, two, three):
        registry.promote(version, note=f"night of {version}")
    assert registry.aliases() == {"champion": three, "challenger": three}
    assert registry.rollback().version == two
    assert registry.rollback().version == one
    with pytest.raises(RegistryError, match=r"champion has no former version that is still there.*to"):
        registry.rollback()
    assert registry.rollback(to=three).aliases["champion"] == three
    steps = [(e.action, e.alias, e.previous, e.version) for e in registry.history() if e.alias == "champion"]
    assert steps == [
        ("promote", "champion", None, one),
        ("promote", "champion", one, two),
        ("promote", "champion", two, three),
        ("rollback", "champion", three, two),
        ("rollback", "champion", two, one),
        ("rollback", "champion", one, three),
    ]
    entries = registry.history()
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[3].note.startswith("night of")
    assert socket.gethostname() in entries[0].by


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_entry_that_somebody_removed_is_missed(local, tmp_path, number) -> None:
    for n in (1, 2, 3):
        local.promote(publish(local, tmp_path, n).id)
    newest = local.storage.read("log/newest")
    local.storage.delete(f"log/{number:09d}.json")
    for ask in (local.aliases, local.history, local.rollback):
        with pytest.raises(RegistryError, match=f"log: lacks entry {number} of its history; expected every"):
            ask()
    local.storage.write("log/999999999.json", b"{}")  # in no more memory than there are entries
    with pytest.raises(RegistryError, match=f"lacks entry {number}"):
        local.history()
    local.storage.delete("log/999999999.json")
    # made before the newest number was written: what is missing in between is still seen
    local.storage.delete("log/newest")
    if number == 3:
        assert len(local.history()) == 2
    else:
        with pytest.raises(RegistryError, match=f"lacks entry {number}"):
            local.history()
    local.storage.write("log/newest", newest.replace(b'"number": 3', b'"number": 2'))
    with pytest.raises(RegistryError, match="log/newest: is not as it was written"):
        local.history()


def test_promoting_what_is_champion_already_writes_no_history(registry, tmp_path) -> None:
    version = publish(registry, tmp_path, 1).id
    registry.promote(version)
    number = latest(registry.storage).number
    assert registry.promote(version).number == number
    assert registry.promote("champion").number == number


def test_promoting_on_a_condition(registry, tmp_path) -> None:
    one, two, three = (publish(registry, tmp_path, n).id for n in (1, 2, 3))
    registry.promote(one)
    registry.promote(two, expected=one)
    with pytest.raises(
        RegistryError, match=rf"champion was moved to {two} meanwhile; expected champion at {one}"
    ):
        registry.promote(three, expected=one)
    assert registry.resolve("champion") == two


def collecting(registry: Registry, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let somebody collect all that is former right after a version was chosen by the method `at`."""
    choose = getattr(Registry, at)

    def chosen(self, *arguments):
        found = choose(self, *arguments)
        monkeypatch.setattr(Registry, at, choose)
        for version in self.ids():
            if version not in self.aliases().values():
                tree = self.manifest(version).tree
                self.storage.delete(f"versions/{version}.json")
                self.storage.delete_tree(tree)
        return found

    monkeypatch.setattr(Registry, at, chosen)


def test_rollback_goes_past_what_is_collected_meanwhile(registry, tmp_path, monkeypatch) -> None:
    one, two, three = (publish(registry, tmp_path, n).id for n in (1, 2, 3))
    for version in (one, two, three):
        registry.promote(version)
    registry.promote(one, "challenger")
    collecting(registry, monkeypatch, "ids")
    assert registry.rollback().aliases["champion"] == one
    assert registry.ids() == sorted([one, three])


def test_what_an_alias_named_may_be_collected_as_it_moves(registry, tmp_path, monkeypatch) -> None:
    one, two = (publish(registry, tmp_path, n).id for n in (1, 2))
    registry.promote(one, "challenger")
    resolve = Registry.resolve

    def moved(self, ref):
        found = resolve(self, ref)
        monkeypatch.setattr(Registry, "resolve", resolve)
        self.promote(two, "challenger")
        self.storage.delete(f"versions/{one}.json")
        return found

    monkeypatch.setattr(Registry, "resolve", moved)
    assert registry.promote("challenger").aliases == {"challenger": two, "champion": two}
    with pytest.raises(RegistryError, match="there is no version"):
        registry.promote(one)


def test_rollback_takes_less_than_a_second_and_readers_go_on(registry, tmp_path) -> None:
    one, two = (publish(registry, tmp_path, n).id for n in (1, 2))
    registry.promote(one)
    registry.promote(two)
    with registry.reading("champion") as reading:
        # of this process: how soon the server answers is the machine's affair
        started = time.process_time()
        registry.rollback()
        assert time.process_time() - started < 1.0
        collect(registry, keep=0, min_age=AT_ONCE)
        assert content_of(reading.folder) == 2
        with registry.reading("champion") as after:
            assert content_of(after.folder) == 1
    assert registry.ids() == sorted([one, two])  # an open reader kept it
    collect(registry, keep=0, min_age=AT_ONCE)
    assert registry.ids() == [one]


# --- collection --------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "registry",
    ["folder", pytest.param("s3", marks=[pytest.mark.process, pytest.mark.slow])],
    indirect=True,
)
def test_collection_keeps_what_aliases_history_and_age_protect(registry, tmp_path) -> None:
    ids = [publish(registry, tmp_path, n).id for n in range(6)]
    for version in ids[:4]:
        registry.promote(version)
    registry.promote(ids[4], "challenger")
    assert collect(registry, keep=1) == []  # all are young
    assert collect(registry, keep=1, min_age=AT_ONCE, pretend=True) == [ids[0], ids[1], ids[5]]
    assert len(registry.ids()) == 6
    assert collect(registry, keep=1, min_age=AT_ONCE) == [ids[0], ids[1], ids[5]]
    assert registry.ids() == sorted([ids[2], ids[3], ids[4]])
    assert len(registry.storage.names("files")) == 3
    assert registry.rollback().version == ids[2]


def test_collection_removes_what_a_killed_publisher_left(registry, tmp_path) -> None:
    kept = publish(registry, tmp_path, 1).id
    registry.promote(kept)
    registry.storage.put_tree("files/v-0123456789ab.attempt", make_artifact(tmp_path / "left", 9), FILES)
    registry.storage.put_tree(f"files/{kept}.attempt", make_artifact(tmp_path / "again", 1), FILES)
    with using(registry.storage, "v-0123456789ab"):
        collect(registry, min_age=AT_ONCE)
        assert len(registry.storage.names("files")) == 2  # the one under way stays
    collect(registry, min_age=AT_ONCE)
    assert registry.storage.names("files") == [registry.manifest(kept).tree.split("/")[1]]


@pytest.mark.parametrize(
    "registry",
    ["folder", pytest.param("s3", marks=[pytest.mark.process, pytest.mark.slow])],
    indirect=True,
)
def test_a_version_that_lost_its_manifest_is_missed(registry, tmp_path) -> None:
    one, two, three = (publish(registry, tmp_path, n).id for n in (1, 2, 3))
    for version in (one, two, three):
        registry.promote(version)
    tree = registry.manifest(two).tree
    registry.storage.delete(f"versions/{two}.json")
    expected = (
        rf"versions/{two}.json: is gone, and the version's files are not; expected both or neither, "
        rf"as daskals models gc leaves them. Restore it from a copy, or remove {tree} too"
    )
    for ask in (registry.versions, registry.rollback):
        with pytest.raises(RegistryError, match=expected):
            ask()
    assert collect(registry, keep=1, min_age=AT_ONCE) == [one]
    assert tree.split("/")[1] in registry.storage.names("files")  # till it is restored
    dead = {"host": socket.gethostname(), "pid": 2**22 - 7, "process_started": 1.0, "token": "x"}
    registry.storage.write(  # of who was killed while reading it
        f"leases/{two}.dead.json", json.dumps({**dead, "expires": time.time() + 99}).encode()
    )
    assert collect(registry, keep=1, min_age=AT_ONCE) == []
    assert tree.split("/")[1] in registry.storage.names("files")
    with using(registry.storage, two):  # or it is about to be
        assert [version.id for version in registry.versions()] == [three]
    registry.storage.write(f"removals/{two}.dead.json", b"{}")  # whoever removed it was killed
    assert [version.id for version in registry.versions()] == [three]
    collect(registry, keep=0, min_age=AT_ONCE)
    assert [version.id for version in registry.versions()] == [three]
    with pytest.raises(RegistryError, match="no former version that is still there"):
        registry.rollback()


def test_what_is_removed_at_this_moment_is_not_lost(local, tmp_path, monkeypatch) -> None:
    one, two = (publish(local, tmp_path, n).id for n in (1, 2))
    for version in (one, two):
        local.promote(version)
    tree, names = local.manifest(one).tree, type(local.storage).names

    def slow(self, prefix: str) -> list[str]:
        if prefix == leases.LEASES:  # between two looks at what there is
            self.delete_tree(tree)
        return names(self, prefix)

    local.storage.delete(f"versions/{one}.json")
    monkeypatch.setattr(type(local.storage), "names", slow)
    assert [version.id for version in local.versions()] == [two]


def test_marks_of_the_dead_count_for_nothing(registry, tmp_path) -> None:
    version = publish(registry, tmp_path, 1).id
    dead = {"host": socket.gethostname(), "pid": 2**22 - 7, "process_started": 1.0, "token": "x"}
    gone = {"host": "elsewhere", "pid": 1, "process_started": 1.0, "token": "x"}
    for kind in (leases.LEASES, leases.REMOVALS):
        registry.storage.write(
            f"{kind}/{version}.dead.json", json.dumps({**dead, "expires": time.time() + 99}).encode()
        )
        registry.storage.write(
            f"{kind}/{version}.gone.json", json.dumps({**gone, "expires": time.time() - 1}).encode()
        )
    with registry.reading(version) as reading:
        assert content_of(reading.folder) == 1
    assert collect(registry, min_age=AT_ONCE) == [version]
    assert registry.storage.names(leases.LEASES) == registry.storage.names(leases.REMOVALS) == []


def test_a_mark_of_another_host_counts_until_it_expires(local, tmp_path) -> None:
    version = publish(local, tmp_path, 1).id
    owner = {"host": "elsewhere", "pid": 1, "process_started": 1.0, "token": "x", "expires": time.time() + 60}
    local.storage.write(f"leases/{version}.t.json", json.dumps(owner).encode())
    assert collect(local, min_age=AT_ONCE) == []
    local.storage.delete(f"leases/{version}.t.json")
    assert collect(local, min_age=AT_ONCE) == [version]


def test_who_uses_waits_for_who_removes_and_gives_up(local, tmp_path, monkeypatch) -> None:
    version = publish(local, tmp_path, 1).id
    monkeypatch.setattr(leases, "_PATIENCE_SECONDS", 0.1)
    with removing(local.storage, version) as unused:
        assert unused
        with pytest.raises(
            RegistryError, match=f"version {version} is being removed; expected a removal that ends"
        ):
            local.load(version)
    assert local.storage.names("leases") == []


def test_long_uses_renew_their_lease(local, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    version = publish(local, tmp_path, 1).id
    with using(local.storage, version):
        (name,) = local.storage.names("leases")
        before = json.loads(local.storage.read(f"leases/{name}"))["expires"]
        time.sleep(0.1)
        assert json.loads(local.storage.read(f"leases/{name}"))["expires"] > before


# --- bad input ---------------------------------------------------------------------------------------------


def test_a_registry_that_cannot_be_written_is_read_without_a_lease(
    local, tmp_path, monkeypatch, caplog
) -> None:
    version = publish(local, tmp_path, 1).id
    leases._say_once.cache_clear()

    def refuse(self, key: str, content: bytes) -> None:
        error = OSError(errno.EROFS, "Read-only file system")
        raise OutputError.unwritable("registry", self.root / key, error) from error

    monkeypatch.setattr(storage.FolderStorage, "write", refuse)
    for _ in range(2):
        with local.reading(version) as reading:
            assert reading.manifest.id == version
    said = [record.message for record in caplog.records if "is read without a lease" in record.message]
    assert len(said) == 1
    assert "Read-only file system" in said[0]
    with pytest.raises(OutputError, match="Read-only file system"):
        local.promote(version)


def test_nothing_there(registry) -> None:
    for ask in (registry.aliases, registry.versions, registry.history, registry.rollback):
        with pytest.raises(RegistryError, match="there is no registry; expected a folder or an address"):
            ask()


def test_unknown_versions_and_aliases(registry, tmp_path) -> None:
    version = publish(registry, tmp_path, 1).id
    with pytest.raises(RegistryError, match=r"there is no champion yet.*daskals models promote"):
        registry.resolve("champion")
    with pytest.raises(
        RegistryError, match="there is no version 'v-other'; expected champion or challenger, or an id"
    ):
        registry.promote("v-other")
    with pytest.raises(ConfigError, match="alias 'favourite'; expected champion or challenger"):
        registry.promote(version, "favourite")
    with pytest.raises(ConfigError, match=r"version name '../up'; expected at most 64 letters"):
        registry.publish(make_artifact(tmp_path / "a", 1), name="../up", identity={})
    assert registry.history() == []


def test_a_registry_of_a_newer_format(registry, tmp_path) -> None:
    version = publish(registry, tmp_path, 1).id
    key = f"versions/{version}.json"
    newer = {**json.loads(registry.storage.read(key)), "format_version": 9}
    registry.storage.write(key, json.dumps(newer).encode())
    with pytest.raises(
        RegistryError, match=rf"{key}: format version 9; expected a version up to 1. Update daskals"
    ):
        registry.manifest(version)
    registry.storage.write("registry.json", b'{"format": "daskals-registry", "format_version": 2}')
    for ask in (registry.aliases, lambda: publish(registry, tmp_path, 2)):
        with pytest.raises(
            RegistryError, match=r"registry.json: format version 2; expected a version up to 1"
        ):
            ask()


def test_an_alias_to_a_missing_version(registry, tmp_path) -> None:
    one, two = (publish(registry, tmp_path, n).id for n in (1, 2))
    registry.promote(one)
    registry.promote(two)
    registry.storage.delete(f"versions/{two}.json")
    for ask in (lambda: registry.manifest("champion"), lambda: registry.load("champion")):
        with pytest.raises(
            RegistryError, match=f"alias champion names version {two}, which is not there.*Roll back"
        ):
            ask()
    assert registry.rollback().version == one
    with registry.reading("champion") as reading:
        assert content_of(reading.folder) == 1


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"format": "other"}', b'{"format": "daskals-registry", "format_version": 1}']
)
def test_damaged_objects_are_named(local, tmp_path, content) -> None:
    version = publish(local, tmp_path, 1, aliases=("champion",)).id
    for key, ask in ((f"versions/{version}.json", local.versions), ("log/000000001.json", local.aliases)):
        local.storage.write(key, content)
        with pytest.raises(RegistryError, match=key):
            ask()


@pytest.mark.parametrize("damage", ["removed", "truncated", "changed", "added"])
def test_a_damaged_version_is_not_promoted(local, tmp_path, damage) -> None:
    one, two = (publish(local, tmp_path, n).id for n in (1, 2))
    local.promote(one)
    tree = local.storage.folder(local.manifest(two).tree)
    file = tree / "model/users/factors/c/0/0"
    if damage == "removed":
        file.unlink()
    elif damage == "added":
        (tree / "model/extra").write_text("more")
    else:
        text = file.read_text()
        file.chmod(0o644)
        file.write_text(text[:-1] if damage == "truncated" else "9" + text[1:])
    found = {"removed": "c/0/0 is missing", "added": "model/extra is not part of it"}.get(
        damage, "c/0/0 is damaged"
    )
    for ask in (lambda: local.promote(two), lambda: local.verify(two)):
        with pytest.raises(
            RegistryError, match=f"version {two}: .*{found}; expected the files of its manifest"
        ):
            ask()
    assert local.resolve("champion") == one


def test_a_file_damaged_on_its_way_from_s3(s3, tmp_path, monkeypatch) -> None:
    registry = Registry(fresh_bucket_url())
    version = publish(registry, tmp_path, 1).id
    tree = registry.manifest(version).tree
    registry.storage.write(f"{tree}/model/zarr.json", b"other")
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RegistryError, match=r"model/zarr.json is damaged"):
        registry.load(version)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_version_comes_from_s3_once(s3, tmp_path, monkeypatch) -> None:
    registry = Registry(fresh_bucket_url())
    version = publish(registry, tmp_path, 1).id
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    with registry.reading(version) as first:
        assert content_of(first.folder) == 1
    monkeypatch.setattr(registry.storage, "get_tree", lambda *_: pytest.fail("copied again"))
    with registry.reading(version) as second:
        assert second.folder == first.folder


def test_other_places(tmp_path, s3, monkeypatch) -> None:
    with pytest.raises(
        ConfigError, match="a registry at 'ftp://x/y'; expected a folder, or s3://BUCKET/PREFIX"
    ):
        Registry("ftp://x/y")
    with pytest.raises(RegistryError, match=r"s3://no-such-bucket.*expected a bucket that these credentials"):
        publish(Registry("s3://no-such-bucket/registry"), tmp_path, 1)
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"S3 needs the library s3fs.*pip install 'daskals\[cloud\]'"):
        Registry("s3://bucket/registry")


def test_permission_denied(local, tmp_path, monkeypatch) -> None:
    version = publish(local, tmp_path, 1, aliases=("champion",)).id

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "link", denied)
        with pytest.raises(
            OutputError, match=r"cannot be written \(Permission denied\); expected a registry that can"
        ):
            local.promote(version, "challenger")
        with pytest.raises(OutputError, match="Permission denied"):
            publish(local, tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", denied)
        with pytest.raises(RegistryError, match=r"registry.json: cannot be read \(Permission denied\)"):
            local.aliases()
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "listdir", denied)
        with pytest.raises(RegistryError, match=r"log: cannot be read \(Permission denied\)"):
            local.aliases()
    assert local.aliases() == {"champion": version}
    assert len(local.storage.names("files")) == 1


# --- a full disk at every step -----------------------------------------------------------------------------


class FullDisk:
    """Lets one of all operations that reach the disk fail."""

    def __init__(self, monkeypatch) -> None:
        self.count, self.fail_at = 0, 0
        monkeypatch.setattr(os, "fsync", self._checked(os.fsync))
        for owner, names in (
            (os, ("link",)),
            (shutil, ("copytree", "rmtree")),
            (Path, ("mkdir", "open", "replace", "rename", "chmod")),
        ):
            for name in names:
                monkeypatch.setattr(owner, name, self._checked(getattr(owner, name)))

    def _checked(self, function):
        def checked(*args, **kwargs):
            reading = function.__name__ == "open" and not any("w" in str(arg) for arg in args[1:])
            if not reading and not kwargs.get("ignore_errors"):
                self.count += 1
                if self.count == self.fail_at:
                    raise OSError(errno.ENOSPC, "No space left on device")
            return function(*args, **kwargs)

        return checked


@pytest.mark.long
@pytest.mark.parametrize("stride", STRIDES)
def test_a_full_disk_at_any_step_loses_nothing(tmp_path, monkeypatch, stride) -> None:
    registry = Registry(tmp_path / "registry")
    old = publish(registry, tmp_path, 1, aliases=("champion",)).id
    artifact = make_artifact(tmp_path / "new", 2)

    def work() -> None:
        made = registry.publish(artifact, name="v", identity={"content": 2}, data={"content": 2})
        registry.promote(made.id)
        registry.rollback()
        collect(registry, keep=0, min_age=AT_ONCE)

    steps, said = 0, set()
    while True:
        steps += stride
        with monkeypatch.context() as patch:
            disk = FullDisk(patch)
            disk.fail_at = steps
            try:
                work()
            except OutputError as error:
                said.add("No space left on device" in str(error))
            failed = disk.count >= disk.fail_at
        for version in registry.ids():
            registry.verify(version)
        with registry.reading(old) as reading:
            assert content_of(reading.folder) == 1
        assert registry.resolve("champion") in registry.ids()
        work()  # the next attempt puts all in order
        assert registry.aliases() == {"champion": old}
        assert len(registry.storage.names("files")) == 1
        assert len(registry.ids()) == 1
        if not failed:
            break
    assert steps > 30
    assert said == {True}


# --- state machine -----------------------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """The registry does what a few lines of dictionaries say."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="daskals-registry-"))
        self.registry = self.open()
        self.versions: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self.former: list[str] = []
        self.readers: dict[int, tuple[object, object]] = {}
        self.entries = 0

    def open(self) -> Registry:
        return Registry(self.folder / "registry")

    @rule(content=st.integers(0, 5), challenge=st.booleans())
    def publish(self, content: int, challenge: bool) -> None:
        made = publish(self.registry, self.folder, content, aliases=("challenger",) if challenge else ())
        self.versions[made.id] = content
        if challenge and self.aliases.get("challenger") != made.id:
            self.aliases["challenger"] = made.id
            self.entries += 1

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def promote(self, data) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        self.registry.promote(version)
        before = self.aliases.get("champion")
        if before != version:
            self.entries += 1
            self.aliases["champion"] = version
            if before is not None:
                self.former = [before, *(one for one in self.former if one != before)]

    @precondition(lambda self: self.versions)
    @rule()
    def rollback(self) -> None:
        target = next((one for one in self.former if one in self.versions), None)
        if target is None:
            with pytest.raises(RegistryError, match="has no former version"):
                self.registry.rollback()
            return
        self.registry.rollback()
        # a version that was promoted again after it was former may be the champion: then nothing moves
        if target != self.aliases["champion"]:
            self.entries += 1
            self.aliases["champion"] = target
            self.former = self.former[self.former.index(target) + 1 :]

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), slot=st.integers(0, 2))
    def begin_reading(self, data, slot: int) -> None:
        if slot not in self.readers:
            version = data.draw(st.sampled_from(sorted(self.versions)))
            context = self.registry.reading(version)
            self.readers[slot] = (context, context.__enter__())

    @rule(slot=st.integers(0, 2))
    def end_reading(self, slot: int) -> None:
        if slot in self.readers:
            self.readers.pop(slot)[0].__exit__(None, None, None)

    @precondition(lambda self: self.versions)
    @rule(keep=st.integers(0, 2))
    def collect(self, keep: int) -> None:
        wanted = {*self.aliases.values(), *self.former[:keep]}
        read = {reading.manifest.id for _, reading in self.readers.values()}
        # the challenger's former versions are kept as well
        others = set(latest(self.registry.storage).former.get("challenger", [])[:keep])
        expected = set(self.versions) - wanted - read - others
        assert set(collect(self.registry, keep=keep, min_age=AT_ONCE)) == expected
        for version in expected:
            del self.versions[version]

    @rule()
    def reopen(self) -> None:
        self.registry = self.open()

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        if not self.registry.exists():
            assert not self.versions
            return
        assert self.registry.aliases() == self.aliases
        assert {one.id: one.data["content"] for one in self.registry.versions()} == self.versions
        assert latest(self.registry.storage).number == self.entries
        assert set(self.aliases.values()) <= set(self.versions)
        for version in set(self.aliases.values()):
            with self.registry.reading(version) as reading:
                assert content_of(reading.folder) == self.versions[version]
        for _, reading in self.readers.values():
            assert content_of(reading.folder) == reading.manifest.data["content"]

    def teardown(self) -> None:
        for context, _ in self.readers.values():
            context.__exit__(None, None, None)
        assert self.registry.storage.names("leases") == []
        shutil.rmtree(self.folder)


class RemoteMachine(Machine):
    """The same on S3."""

    def open(self) -> Registry:
        return Registry(
            getattr(self, "registry", None).storage.url if hasattr(self, "registry") else fresh_bucket_url()
        )


SOME = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.long
def test_state_machine() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=20, stateful_step_count=20, **SOME))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_state_machine_at_length() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=500, stateful_step_count=50, **SOME))


@pytest.mark.slow
def test_state_machine_on_s3(s3) -> None:
    run_state_machine_as_test(
        RemoteMachine, settings=settings(max_examples=3, stateful_step_count=10, **SOME)
    )


# --- many processes ----------------------------------------------------------------------------------------


# --- the command -------------------------------------------------------------------------------------------


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_tells_and_moves(local, tmp_path) -> None:
    url = local.storage.url
    one, two = (publish(local, tmp_path, n).id for n in (1, 2))
    assert run(url, "promote", one, "--note", "first").strip() == f"champion is {one}"
    assert run(url, "promote", two, "--alias", "challenger").strip() == f"challenger is {two}"
    lines = run(url, "list").splitlines()
    assert [line.split()[0] for line in lines] == [one, two]
    assert lines[0].endswith("rmse 0.90000  champion")
    assert lines[1].endswith("rmse 0.90000  challenger")
    assert [entry["aliases"] for entry in json.loads(run(url, "list", "--json"))] == [
        ["champion"],
        ["challenger"],
    ]
    assert json.loads(run(url, "show", "challenger", "--json"))["id"] == two
    shown = run(url, "show", one, "--verify")
    assert "all 3 files are as published" in shown
    compared = json.loads(run(url, "compare", "--json"))
    assert compared["versions"] == [one, two]
    assert compared["figures"] == {"rmse": [0.900001, 0.900002]}
    for words in ([one], ["aliases", "champion"], ["rmse", "0.900001"], ["bytes", "SHA-256"]):
        assert words in [line.split() for line in shown.splitlines()]
    told = [line.split() for line in run(url, "compare").splitlines()]
    assert [one, two] in told
    assert ["rmse", "0.900001", "0.900002"] in told
    assert f"{one} and {one} differ in no rating, option or figure" in run(url, "compare", one, one)
    run(url, "promote", two, "--expected", one)
    assert run(url, "rollback").strip() == f"champion is {one} again"
    history = run(url, "list", "--history").splitlines()
    assert f"none → {one}" in history[0]
    assert "first" in history[0]
    assert [entry["action"] for entry in json.loads(run(url, "list", "--history", "--json"))] == [
        "promote", "promote", "promote", "rollback",
    ]  # fmt: skip
    assert run(url, "gc").splitlines() == ["0 versions removed"]
    publish(local, tmp_path, 3)
    assert run(url, "gc", "--min-age", "0", "--pretend").endswith("1 versions to remove\n")
    assert run(url, "gc", "--min-age", "0").endswith("1 versions removed\n")
    failed = CliRunner().invoke(main, [url, "show", "nothing"])
    assert failed.exit_code == 1
    assert "error: " in failed.output
    assert "there is no version 'nothing'" in failed.output
