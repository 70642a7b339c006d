"""The registry: versions of models that never change, and aliases that move from one to another.

REGISTRY/
  registry.json             format and version
  versions/<id>.json        a version's manifest; a version is there if and only if this is
  files/<id>.<token>/       its files; the token tells attempts to publish apart
  log/<number>.json         history of the aliases; the last entry holds them all
  leases/, removals/        who reads a version, who removes one
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskals.cache import cache_folder
from daskals.errors import ConfigError, RegistryError
from daskals.registry.alias_history import Action, Entry, all_entries, append, latest, now
from daskals.registry.leases import using
from daskals.registry.lost import check_none_is_lost
from daskals.registry.manifest import (
    FORMAT,
    FORMAT_VERSION,
    Manifest,
    check_files,
    check_sizes,
    describe_files,
    read_object,
    version_id,
)
from daskals.registry.names import ALIASES, FILES, VERSIONS, check_version, version_of_object
from daskals.registry.storage import Storage, open_storage
from daskals.store.atomic_folder import staged_directory

if TYPE_CHECKING:
    from daskals.model.fitted import Model

CHAMPION, CHALLENGER = ALIASES

HEAD = "registry.json"
PACKAGES = ("daskals", "numpy", "numba", "dask", "distributed", "zarr", "pyarrow")


@dataclass(frozen=True)
class Reading:
    """A version while it is read: its manifest, and the folder that holds its files."""

    manifest: Manifest
    folder: Path


class Registry:
    """A registry in a folder or at `s3://BUCKET/PREFIX`, made by the first publication.

    Any number of processes on any number of machines may use it at once. A reference (`ref`) is the id of
    a version or an alias.
    """

    def __init__(self, url: str | Path) -> None:
        self.storage: Storage = open_storage(url)

    def __repr__(self) -> str:
        return f"Registry({self.storage.url!r})"

    # --- asking --------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Tell whether anything was published yet; raise RegistryError where the format is not known."""
        head = self.storage.read(HEAD)
        if head is None:
            return False
        read_object(head, f"{self.storage.url}/{HEAD}")
        return True

    def aliases(self) -> dict[str, str]:
        """Return the version of each alias, as it is at this moment."""
        self._require()
        return dict(latest(self.storage).aliases)

    def history(self) -> list[Entry]:
        """Return all changes of aliases, oldest first."""
        self._require()
        return all_entries(self.storage)

    def ids(self) -> list[str]:
        """Return the ids of all versions, sorted."""
        self._require()
        found = (version_of_object(name) for name in self.storage.names(VERSIONS))
        return sorted(version for version in found if version is not None)

    def versions(self) -> list[Manifest]:
        """Return the manifests of all versions, oldest first.

        Raises RegistryError if one is damaged, or lost while its version's files are there.
        """
        self._require()
        check_none_is_lost(self.storage, latest(self.storage).wanted())
        return self.manifests()

    def manifests(self) -> list[Manifest]:
        """Return the manifests that there are, oldest first; raise RegistryError if one is damaged."""
        found = [self._read_manifest(version) for version in self.ids()]
        return sorted((one for one in found if one is not None), key=lambda one: (one.created, one.id))

    def resolve(self, ref: str) -> str:
        """Return the id that a reference stands for; cheap, so that it can be asked again and again.

        Raises RegistryError if there is no such alias or version.
        """
        self._require()
        if ref in ALIASES:
            aliases = latest(self.storage).aliases
            if ref not in aliases:
                raise RegistryError(
                    f"there is no {ref} yet",
                    where=self.storage.url,
                    expected="a version that was promoted",
                    remedy="Promote one with daskals models promote",
                )
            return aliases[ref]
        if ref not in self.ids():
            raise RegistryError(
                f"there is no version {ref!r}",
                where=self.storage.url,
                expected=f"{' or '.join(ALIASES)}, or an id that daskals models list shows",
            )
        return ref

    def manifest(self, ref: str) -> Manifest:
        """Return the manifest of a version."""
        version = self.resolve(ref)
        manifest = self._read_manifest(version)
        if manifest is None:
            raise _missing(self.storage.url, ref, version)
        return manifest

    @contextmanager
    def reading(self, ref: str) -> Iterator[Reading]:
        """Give a version's files; nobody removes them while the block runs.

        An alias that moves meanwhile is no concern of who reads already. From S3 the files are copied to
        the user's cache first, each checked, and found there again.

        Raises RegistryError if there is no such alias or version, or a file is damaged on its way.
        """
        while True:
            version = self.resolve(ref)
            with using(self.storage, version, only_reads=True):
                manifest = self._read_manifest(version)
                if manifest is not None:
                    yield Reading(manifest, self._local(manifest))
                    return
            # removed between the two: an alias then points elsewhere by now, or at nothing for good
            if ref == version or self.resolve(ref) == version:
                raise _missing(self.storage.url, ref, version)

    def verify(self, ref: str) -> None:
        """Read every file of a version; raise RegistryError where one is not as it was published."""
        with self.reading(ref) as reading:
            check_files(reading.manifest, reading.folder, f"version {reading.manifest.id}")

    def load(self, ref: str = CHAMPION) -> Model:
        """Load the model of a version."""
        # not above: it brings Numba, for which moving an alias need not wait
        from daskals.model.fitted import Model

        with self.reading(ref) as reading:
            return Model.load(reading.folder)

    # --- changing ------------------------------------------------------------------------------------------

    def publish(
        self,
        folder: Path,
        *,
        name: str,
        identity: Mapping[str, Any],
        parent: str | None = None,
        data: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        figures: Mapping[str, Any] | None = None,
        aliases: Sequence[str] = (),
    ) -> Manifest:
        """Publish a folder as a version, whole or not at all.

        Parameters
        ----------
        folder, name
            What the version holds, mostly a model folder; begin of its id.
        identity
            What makes it what it is: the same name and identity are the same version, published once.
        parent, data, config, figures
            For the manifest.
        aliases
            Aliases to point at it.

        Returns
        -------
        Manifest
            Of this version, or of the one of the same id that was there.

        Raises
        ------
        OutputError, RegistryError
            If the registry cannot be written or is of a newer format.
        """
        for alias in aliases:
            _check_alias(alias)
        version = version_id(name, identity)
        self._ensure()
        with using(self.storage, version):
            manifest = self._read_manifest(version)
            if manifest is None:
                manifest = Manifest(
                    id=version,
                    created=now(),
                    parent=parent,
                    data=dict(data or {}),
                    config=dict(config or {}),
                    figures=dict(figures or {}),
                    software=_software(),
                    files=describe_files(folder),
                    tree=f"{FILES}/{version}.{uuid.uuid4().hex[:12]}",
                )
                self._write_version(manifest, folder)
                manifest = self._read_manifest(version) or manifest
            for alias in aliases:
                self._move(version, alias, "publish", "")
        return manifest

    def promote(
        self, ref: str, alias: str = CHAMPION, *, expected: str | None = None, note: str = ""
    ) -> Entry:
        """Point an alias at a whole and undamaged version; return the last entry of the history.

        Nothing is done if the alias is there already. With `expected`, that must be its version at this
        moment. `note` says why, for the history. Raises RegistryError if the version is missing or damaged,
        or the alias was moved by somebody else.
        """
        while True:
            version = self.resolve(ref)
            try:
                return self._promote(version, alias, "promote", note, expected)
            except RegistryError:
                if not self._went(version) or ref == version or self.resolve(ref) == version:
                    raise
            # collected between the two: what was named has moved on

    def rollback(self, alias: str = CHAMPION, to: str | None = None, *, note: str = "") -> Entry:
        """Point an alias back at its former version, or at the version `to`.

        Raises RegistryError if there is none to go back to, or the former one lost its manifest.
        """
        self._require()
        if to is not None:
            return self._promote(self.resolve(to), alias, "rollback", note, None)
        last = latest(self.storage)
        present = set(self.ids())
        for version in last.former.get(alias, []):
            if version not in present:
                check_none_is_lost(self.storage, {version})
                continue
            try:
                return self._promote(version, alias, "rollback", note, last.aliases.get(alias))
            except RegistryError:
                if not self._went(version):
                    raise
            # collected between the two: the one before it
        raise RegistryError(
            f"{alias} has no former version that is still there",
            where=self.storage.url,
            expected="a version to go back to",
            remedy="Name one with --to",
        )

    def _went(self, version: str) -> bool:
        """Tell whether somebody has removed a version."""
        return version not in self.ids()

    def _promote(self, version: str, alias: str, action: Action, note: str, expected: str | None) -> Entry:
        _check_alias(alias)
        with using(self.storage, version):
            manifest = self._read_manifest(version)
            if manifest is None:
                raise _missing(self.storage.url, version, version)
            check_files(manifest, self._local(manifest), f"version {version}")
            return self._move(version, alias, action, note, expected)

    def _move(
        self, version: str, alias: str, action: Action, note: str, expected: str | None = None
    ) -> Entry:
        def change(last: Entry) -> Entry | None:
            found = last.aliases.get(alias)
            if found == version:
                return None
            if expected is not None and found != expected:
                raise RegistryError(
                    f"{alias} was moved to {found} meanwhile",
                    where=self.storage.url,
                    expected=f"{alias} at {expected}",
                    remedy="Look at what was done with daskals models list, and begin again",
                )
            return last.moved(alias, version, action, note)

        return append(self.storage, change)

    # --- parts ---------------------------------------------------------------------------------------------

    def _require(self) -> None:
        if not self.exists():
            raise RegistryError(
                "there is no registry",
                where=self.storage.url,
                expected="a folder or an address that models were published to",
                remedy="Publish one with daskals models publish, or name another place",
            )

    def _ensure(self) -> None:
        if not self.exists():
            manifest = f'{{"format": "{FORMAT}", "format_version": {FORMAT_VERSION}}}\n'
            self.storage.create(HEAD, manifest.encode())
            self._require()

    def _read_manifest(self, version: str) -> Manifest | None:
        check_version(version, self.storage.url)
        key = f"{VERSIONS}/{version}.json"
        content = self.storage.read(key)
        return None if content is None else Manifest.from_json(content, version, f"{self.storage.url}/{key}")

    def _write_version(self, manifest: Manifest, folder: Path) -> None:
        """Copy the files first and say so last; who comes second removes its copy."""
        try:
            self.storage.put_tree(manifest.tree, folder, manifest.files)
            self.storage.create(f"{VERSIONS}/{manifest.id}.json", manifest.to_json())
        finally:
            # what failed may have failed after it took effect: what is there decides
            found = self._read_manifest(manifest.id)
            if found is None or found.tree != manifest.tree:
                self.storage.delete_tree(manifest.tree)

    def _local(self, manifest: Manifest) -> Path:
        """Return the folder of a version's files, which are those of its manifest by name and size."""
        folder = self.storage.folder(manifest.tree)
        if folder is not None:
            check_sizes(manifest, self.storage.sizes(manifest.tree), f"version {manifest.id}")
            return folder
        where = f"version {manifest.id} from {self.storage.url}"
        # by content: a version of the same id in another registry may hold something else
        kept = cache_folder() / "registry" / f"{manifest.id}.{manifest.content_digits}"
        if not kept.is_dir():
            with staged_directory(kept, existing="keep") as staged:
                check_sizes(manifest, self.storage.sizes(manifest.tree), where)
                self.storage.get_tree(manifest.tree, staged, manifest.files)
                check_files(manifest, staged, where)
        return kept


def _check_alias(alias: str) -> None:
    if alias not in ALIASES:
        raise ConfigError(f"alias {alias!r}", expected=" or ".join(ALIASES))


def _software() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


def _missing(where: str, ref: str, version: str) -> RegistryError:
    found = (
        f"alias {ref} names version {version}, which is not there"
        if ref in ALIASES
        else (f"version {version} is not there")
    )
    return RegistryError(
        found,
        where=where,
        expected="a version with its manifest",
        remedy="Roll back with daskals models rollback, or restore the version from a copy",
    )
