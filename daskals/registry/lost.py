"""Lost versions: their files are there and their manifest is gone, though nobody removed them.

A version is there if and only if its manifest is, so one whose manifest a disk or a hand took away looks as
if it had been collected. Whoever publishes or collects it is marked for as long as files lie without their
manifest, and the mark of who was killed while removing stays until what it left is collected. A lease of the
dead says nothing: it mostly is of who was killed while reading.
"""

from __future__ import annotations

from daskals.errors import RegistryError
from daskals.registry.leases import LEASES, REMOVALS, marked
from daskals.registry.names import FILES, VERSIONS, version_of_mark, version_of_object, version_of_tree
from daskals.registry.storage import Storage


def lost_trees(storage: Storage, wanted: set[str]) -> dict[str, str]:
    """Return which of the versions that are wanted lost their manifest, by the names of their trees."""
    lost = _without_manifest(storage, wanted)
    if lost:
        unfinished = {version_of_mark(name) for name in storage.names(REMOVALS)}
        excused = {one for one in lost.values() if one in unfinished or marked(storage, LEASES, one)}
        # once more: whoever was between two of its steps when both were listed has left no mark, nor its tree
        still = _without_manifest(storage, wanted)
        lost = {tree: version for tree, version in lost.items() if tree in still and version not in excused}
    return lost


def check_none_is_lost(storage: Storage, wanted: set[str]) -> None:
    """Raise RegistryError where one of the versions that are wanted lost its manifest."""
    for tree, version in lost_trees(storage, wanted).items():
        raise RegistryError(
            "is gone, and the version's files are not",
            where=f"{storage.url}/{VERSIONS}/{version}.json",
            expected="both or neither, as daskals models gc leaves them",
            remedy=f"Restore it from a copy, or remove {FILES}/{tree} too",
        )


def _without_manifest(storage: Storage, wanted: set[str]) -> dict[str, str]:
    # files first: those published in between have their manifest by then
    trees = {tree: version_of_tree(tree) for tree in storage.names(FILES)}
    known = {version_of_object(name) for name in storage.names(VERSIONS)}
    return {tree: version for tree, version in trees.items() if version in wanted and version not in known}
