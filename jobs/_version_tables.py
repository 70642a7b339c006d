"""Versions of a registry as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from daskals.registry.manifest import Manifest
from jobs._terminal import cell

_SHOWN_DIGITS = 12


def print_version(console: Console, manifest: Manifest, aliases: Sequence[str]) -> None:
    """Print what a version was made from, with what, how good it is, and its files."""
    console.print(cell(manifest.id), style="bold")
    about = {
        "created": manifest.created,
        "parent": manifest.parent,
        "aliases": ", ".join(aliases) or None,
        "size": f"{manifest.n_bytes / 1e6:,.1f} MB",
    }
    for title, values in {
        "": about,
        "figures": manifest.figures,
        "ratings": manifest.data,
        "options": manifest.config,
        "packages": manifest.software,
    }.items():
        rows = [(name, _shown(value)) for name, value in _flat(values).items()]
        _print_table(console, title, ("", ""), rows)
    files = [
        (name, f"{one['bytes']:,}", one["sha256"][:_SHOWN_DIGITS]) for name, one in manifest.files.items()
    ]
    _print_table(console, "files", ("", "bytes", "SHA-256"), files)


def print_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """Print what differs between two versions, as `compare_versions` tells it."""
    versions = found["versions"]
    titles = {"data": "ratings", "config": "options", "figures": "figures"}
    for part, title in titles.items():
        rows = [(name, *map(_shown, pair)) for name, pair in _flat_pairs(found[part]).items()]
        _print_table(console, title, ("", *versions), rows)
    if not any(found[part] for part in titles):
        console.print(cell(f"{versions[0]} and {versions[1]} differ in no rating, option or figure"))
    if "errors" in found:
        figures = [_flat(found["errors"][version]) for version in versions]
        names = dict.fromkeys(name for one in figures for name in one)
        rows = [(name, *(_shown(one.get(name)) for one in figures)) for name in names]
        _print_table(console, "on these ratings", ("", *versions), rows)


def _print_table(console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", show_header=any(header))
    for name in header:
        table.add_column(cell(name), overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console.print(table)


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values as one level, by names with dots."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def _flat_pairs(differing: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, Any]]:
    """Return what differs as one level: of values with parts, those parts alone that differ."""
    sides = [_flat({name: pair[side] for name, pair in differing.items()}) for side in (0, 1)]
    names = dict.fromkeys(name for side in sides for name in side)
    pairs = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _shown(value: object) -> str:
    """Return a value as a cell shows it; nothing for none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
