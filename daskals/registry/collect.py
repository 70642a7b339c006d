"""Garbage collection of versions: never one that an alias names or that somebody reads."""

from __future__ import annotations

import datetime as dt

from daskals.registry.alias_history import latest
from daskals.registry.leases import removing
from daskals.registry.lost import lost_trees
from daskals.registry.manifest import Manifest
from daskals.registry.names import FILES, VERSIONS, version_of_tree
from daskals.registry.registry import Registry

KEPT_FORMER = 5
MIN_AGE = dt.timedelta(days=1)


def collect(
    registry: Registry, *, keep: int = KEPT_FORMER, min_age: dt.timedelta = MIN_AGE, pretend: bool = False
) -> list[str]:
    """Remove versions that no alias names, nobody reads, and no rollback is likely to want.

    The `keep` latest former versions of each alias stay; `pretend` only tells what would go. Returns the ids
    of the versions removed, oldest first.
    """
    removed = []
    for manifest in registry.manifests():
        if not _is_old(manifest, min_age) or _is_wanted(registry, manifest.id, keep):
            continue
        if pretend or _remove(registry, manifest.id, keep):
            removed.append(manifest.id)
    if not pretend:
        _remove_orphans(registry, keep)
    return removed


def _is_old(manifest: Manifest, min_age: dt.timedelta) -> bool:
    return dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(manifest.created) >= min_age


def _is_wanted(registry: Registry, version: str, keep: int) -> bool:
    return version in latest(registry.storage).wanted(keep)


def _remove(registry: Registry, version: str, keep: int) -> bool:
    storage = registry.storage
    with removing(storage, version) as unused:
        # the aliases are read after the leases: who moved one held a lease until it was moved
        if not unused or _is_wanted(registry, version, keep):
            return False
        tree = _tree_of(registry, version)
        if tree is None:
            return False
        storage.delete(f"{VERSIONS}/{version}.json")
        storage.delete_tree(tree)
    return True


def _remove_orphans(registry: Registry, keep: int) -> None:
    """Remove files of versions that were never published or removed whole, but not of lost ones."""
    storage = registry.storage
    storage.sweep(FILES)
    lost = lost_trees(storage, latest(storage).wanted(keep))
    for name in storage.names(FILES):
        tree, version = f"{FILES}/{name}", version_of_tree(name)
        if version is None or name in lost or _tree_of(registry, version) == tree:
            continue
        with removing(storage, version) as unused:
            if unused and _tree_of(registry, version) != tree:
                storage.delete_tree(tree)


def _tree_of(registry: Registry, version: str) -> str | None:
    key = f"{VERSIONS}/{version}.json"
    content = registry.storage.read(key)
    if content is None:
        return None
    return Manifest.from_json(content, version, f"{registry.storage.url}/{key}").tree
