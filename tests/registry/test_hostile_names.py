"""A registry made by somebody else leads nowhere: hostile names and links, looked at from outside."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskals.errors import DaskalsError, RegistryError
from daskals.registry.collect import collect
from daskals.registry.registry import Registry
from jobs.models import main
from tests.cases.registry_cases import content_of, fresh_bucket_url, make_artifact, publish

AT_ONCE = dt.timedelta(0)
SECRET = "whoever reads, moves or removes this was led outside"


class House:
    """A registry of two versions, the folders around it, and what these hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.registry = Registry(self.home / "registry")
        self.ids = [publish(self.registry, root / "made", n).id for n in (1, 2)]
        for version in self.ids:
            self.registry.promote(version)
        shutil.rmtree(root / "made")
        for folder in (root / "victim", self.home / "victim"):
            folder.mkdir()
            (folder / "precious").write_text(SECRET)
        os.environ["DASKALS_CACHE"] = str(root / "cache")

    def copy(self, root: Path) -> House:
        """Return the same house elsewhere."""
        shutil.copytree(self.root, root, dirs_exist_ok=True, symlinks=True)
        other = object.__new__(House)
        other.root, other.home, other.ids = root, root / "home", self.ids
        other.registry = Registry(other.home / "registry")
        return other

    @property
    def path(self) -> Path:
        return self.home / "registry"

    def around(self) -> dict[str, object]:
        """Return all that lies outside the registry: a hostile registry may change nothing of it."""
        found: dict[str, object] = {}
        for path in sorted(self.root.rglob("*")):
            if self.path not in (path, *path.parents):
                found[str(path.relative_to(self.root))] = path.read_text() if path.is_file() else None
        return found

    def edit(self, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a JSON object of the registry."""
        file = self.path / key
        content = json.loads(file.read_text())
        change(content)
        del content["checksum"]  # as its writer, who lies, would make it anew
        file.write_text(json.dumps(content))

    def use(self) -> None:
        """Ask the registry for all that can be asked of one; each answer is one, or an error by name."""
        one, two = self.ids
        registry = self.registry
        calls: list[Callable[[], object]] = [
            registry.aliases,
            registry.history,
            registry.versions,
            registry.rollback,
            *(lambda ref=ref: registry.verify(ref) for ref in (one, two, "champion")),
            lambda: registry.promote(one, "challenger"),
            lambda: registry.rollback(to=one),
            lambda: publish(registry, self.home / "new", 3, aliases=("challenger",)),
            lambda: collect(registry, keep=5, min_age=AT_ONCE),
            lambda: collect(registry, keep=0, min_age=AT_ONCE),
        ]
        for call in calls:
            with contextlib.suppress(DaskalsError):
                call()
        shutil.rmtree(self.home / "new", ignore_errors=True)
        for ref in (one, "champion"):
            with contextlib.suppress(DaskalsError), registry.reading(ref) as reading:
                assert self.path in reading.folder.parents
                assert reading.folder.parent.name == "files"
                assert SECRET not in {
                    path.read_text() for path in reading.folder.rglob("*") if path.is_file()
                }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASKALS_CACHE", "")
        yield House(tmp_path_factory.mktemp("house"))


NAMES = [
    "..", ".", "", "/", "~", "victim", "../victim", "../../victim", "files/..", "files/../../victim",
    "files/../../../victim", "versions", "registry.json", "a\x00b", "\x1b[2J", "\ud800", "v" * 5000,
    "files\\..\\..\\victim", "C:\\victim", "files//victim", "model/../../../../victim/precious",
    "{root}/victim",
    "{root}/home/victim", "files/{one}.t/../../../victim", "files/{one}.t/..", "{one}/../..", "{two}",
    "{one}\n",
    "files/{two}.abc", "s3://bucket/key", "file:///etc", "-rf",
]  # fmt: skip
PLACES: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "manifest id": lambda values, name: values.update(id=name),
    "manifest tree": lambda values, name: values.update(tree=name),
    "manifest parent": lambda values, name: values.update(parent=name),
    "manifest created": lambda values, name: values.update(created=name),
    "manifest file": lambda values, name: values["files"].update(
        {str(name): next(iter(values["files"].values()))}
    ),
    "manifest bytes": lambda values, name: next(iter(values["files"].values())).update(bytes=name),
    "entry version": lambda values, name: values.update(version=name),
    "entry previous": lambda values, name: values.update(previous=name),
    "entry alias": lambda values, name: values.update(alias=name),
    "entry number": lambda values, name: values.update(number=name),
    "alias": lambda values, name: values["aliases"].update({str(name): values["version"]}),
    "alias's version": lambda values, name: values["aliases"].update(champion=name),
    "former": lambda values, name: values["former"].update(champion=[name]),
}


@pytest.mark.long
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(sorted(PLACES)),
    name=st.one_of(
        st.sampled_from(NAMES),
        st.text(st.sampled_from("./\\:~ab\x00\n"), max_size=12),
        st.sampled_from([1, -1, None, True, 1e99, [], {}, [".."], {"..": ".."}]),
    ),
)
def test_a_hostile_name_leads_nowhere(house: House, place: str, name: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        mine = house.copy(Path(folder))
        if isinstance(name, str):
            name = name.replace("{root}", folder).replace("{one}", mine.ids[0]).replace("{two}", mine.ids[1])
        key = f"versions/{mine.ids[0]}.json" if place.startswith("manifest") else "log/000000002.json"
        mine.edit(key, lambda values: PLACES[place](values, name))
        before = mine.around()
        mine.use()
        assert mine.around() == before


@pytest.mark.long
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    folder=st.sampled_from(["", "versions", "files", "log", "leases", "removals"]),
    name=st.sampled_from(
        [
            "notes.txt", "evil.json", "..json", "-rf", "{one}", "{one}.json.json", "{one}.t.json", "{one}.x",
            ".hidden",
            "000000009.json", "999999999.json", "zzz.json", "０００００００１１.json", "\x1b[2J.json", "a b",
        ]
    ),
    content=st.sampled_from([b"", b"{}", b"[" * 2000, b'{"host": 1, "pid": "x"}', SECRET.encode(), None]),
)  # fmt: skip
def test_a_name_that_is_no_registrys_is_left_alone(
    house: House, folder: str, name: str, content: bytes | None
) -> None:
    """What is not of the registry's forms is nobody's: it is not read, and collection does not remove it."""
    with tempfile.TemporaryDirectory(prefix="daskals-") as own:
        mine = house.copy(Path(own))
        stranger = mine.path / folder / name.replace("{one}", mine.ids[0])
        stranger.parent.mkdir(exist_ok=True)
        if content is None:
            stranger.mkdir()
        else:
            stranger.write_bytes(content)
        before = mine.around()
        mine.use()
        assert mine.around() == before
        if folder in ("versions", "files", "log") and not name.startswith(("0", "9", "{one}.x")):
            assert stranger.exists()
            assert mine.registry.aliases()


LINKS: dict[str, Callable[[House], tuple[Path, Path]]] = {
    "files": lambda house: (house.path / "files", house.home / "victim"),
    "versions": lambda house: (house.path / "versions", house.home / "victim"),
    "log": lambda house: (house.path / "log", house.home / "victim"),
    "leases": lambda house: (house.path / "leases", house.home / "victim"),
    "the files of a version": lambda house: (_tree(house), house.home / "victim"),
    "a folder of them": lambda house: (_tree(house) / "model", house.home / "victim"),
    "one of them": lambda house: (_tree(house) / "model/zarr.json", house.home / "victim/precious"),
    "a manifest": lambda house: (
        house.path / f"versions/{house.ids[1]}.json",
        house.home / "victim/precious",
    ),
    "an entry": lambda house: (house.path / "log/000000002.json", house.home / "victim/precious"),
    "the head": lambda house: (house.path / "registry.json", house.home / "victim/precious"),
}


def _tree(house: House) -> Path:
    return house.path / house.registry.manifest(house.ids[1]).tree


@pytest.mark.parametrize("what", LINKS)
def test_a_link_leads_nowhere(house: House, tmp_path: Path, what: str) -> None:
    mine = house.copy(tmp_path)
    path, target = LINKS[what](mine)
    _remove(path)
    path.symlink_to(target)
    before = mine.around()
    with pytest.raises(RegistryError, match=r"is a link; expected files and folders alone"):
        mine.registry.verify("champion")
    mine.use()
    assert mine.around() == before


@pytest.mark.parametrize("what", ["a manifest", "an entry", "one of them", "the head"])
def test_a_pipe_keeps_nobody_waiting(house: House, tmp_path: Path, what: str) -> None:
    mine = house.copy(tmp_path)
    path, _ = LINKS[what](mine)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RegistryError, match="is neither a file nor a folder"):
        mine.registry.verify("champion")
    mine.use()


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in path.rglob("*"):
            inner.chmod(0o755)
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def test_publishing_refuses_links(house: House, tmp_path: Path) -> None:
    mine = house.copy(tmp_path)
    artifact = make_artifact(tmp_path / "new", 4)
    for name, target in (("model/stolen", tmp_path / "victim/precious"), ("model/up", tmp_path)):
        (artifact / name).symlink_to(target)
        with pytest.raises(RegistryError, match=rf"{name}: is a link; expected files and folders alone"):
            mine.registry.publish(artifact, name="v", identity={"content": 4})
        (artifact / name).unlink()
    assert mine.registry.ids() == sorted(mine.ids)


def test_publishing_copies_what_its_manifest_names(house: House, tmp_path: Path, monkeypatch: Any) -> None:
    """A file that comes while the folder is copied is not in the version."""
    mine = house.copy(tmp_path)
    artifact = make_artifact(tmp_path / "new", 4)
    put_tree = mine.registry.storage.put_tree

    def late(key: str, folder: Path, names: Any) -> None:
        (folder / "model/late").write_text("late")
        put_tree(key, folder, names)

    monkeypatch.setattr(mine.registry.storage, "put_tree", late)
    version = mine.registry.publish(artifact, name="v", identity={"content": 4}, data={"content": 4}).id
    mine.registry.verify(version)
    with mine.registry.reading(version) as reading:
        assert content_of(reading.folder) == 4


def test_a_large_object_is_not_read(house: House, tmp_path: Path) -> None:
    mine = house.copy(tmp_path)
    with (mine.path / "log/000000003.json").open("wb") as file:
        file.truncate(1 << 40)  # sparse: no room is taken
    with pytest.raises(RegistryError, match=r"000000003.json: has 1,099,511,627,776 bytes; expected at most"):
        mine.registry.aliases()


def test_the_command_says_it_in_a_line(house: House, tmp_path: Path) -> None:
    mine = house.copy(tmp_path)
    mine.edit(f"versions/{mine.ids[0]}.json", lambda values: values.update(tree="files/../../victim"))
    before = mine.around()
    ended = CliRunner().invoke(main, [str(mine.path), "gc", "--min-age", "0", "--keep", "0"])
    assert ended.exit_code == 1
    assert "names 'files/../../victim'; expected files/" in ended.output
    assert mine.around() == before


def test_climbing_keys_on_s3_stay_in_the_cache(s3: Any, tmp_path: Path, monkeypatch: Any) -> None:
    registry = Registry(fresh_bucket_url())
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "home" / "cache"))
    version = publish(registry, tmp_path, 1, aliases=("champion",)).id
    key = f"versions/{version}.json"
    whole = json.loads(registry.storage.read(key))
    del whole["checksum"]
    evil = {"bytes": 4, "sha256": "0" * 64}
    registry.storage.write(
        key, json.dumps({**whole, "files": {**whole["files"], "../../../evil": evil}}).encode()
    )
    with pytest.raises(RegistryError, match=r"names '../../../evil'; expected the relative path of a file"):
        registry.verify("champion")
    registry.storage.write(key, json.dumps(whole).encode())
    sizes = registry.storage.sizes(whole["tree"])
    monkeypatch.setattr(registry.storage, "sizes", lambda _: {**sizes, "../../../evil": 4})
    with pytest.raises(RegistryError, match=r"../../../evil is not part of it"):
        registry.verify("champion")
    assert not (tmp_path / "home").exists() or not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert not list(tmp_path.rglob("*evil*"))
