"""`python -m jobs.models REGISTRY list|show|publish|promote|rollback|compare|gc`: the registry of models."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from jobs._command import model_argument, shared_options
from jobs._signals import Group
from jobs._terminal import make_console, say

if TYPE_CHECKING:
    from daskals.registry.manifest import Manifest
    from daskals.registry.registry import Registry

PLAIN_WIDTH = 120

noting = click.option("--note", default="", help="Why, for the history.")
naming = click.option(
    "--alias", default="champion", show_default=True, metavar="champion|challenger", help="Which alias."
)


@click.group(cls=Group)
@click.argument("registry")
@click.pass_context
def main(context: click.Context, registry: str) -> None:
    """Look at the versions in REGISTRY, a folder or s3://BUCKET/PREFIX, and move its aliases.

    A version is named by its id, or by the alias champion or challenger.
    """
    context.obj = registry


def _open(url: str) -> Registry:
    from daskals.registry.registry import Registry

    return Registry(url)


@main.command("list")
@click.option("--history", is_flag=True, help="List the changes of the aliases instead.")
@click.pass_obj
@shared_options(json_output="Print JSON.")
def list_versions(url: str, *, as_json: bool, history: bool) -> None:
    """List the versions, oldest first, with their aliases."""
    from dataclasses import asdict

    registry = _open(url)
    if history:
        entries = registry.history()
        if as_json:
            say(json.dumps([asdict(entry) for entry in entries], indent=2))
        for entry in () if as_json else entries:
            note = f"  {entry.note}" if entry.note else ""
            say(
                f"{entry.number:>5}  {entry.time}  {entry.action:<8}  {entry.alias}: "
                f"{entry.previous or 'none'} → {entry.version}  by {entry.by}{note}"
            )
        return
    names = _names(registry)
    versions = registry.versions()
    if as_json:
        listed = [{**asdict(one), "aliases": names.get(one.id, [])} for one in versions]
        say(json.dumps(listed, indent=2))
        return
    for one in versions:
        aliases = ", ".join(names.get(one.id, []))
        say(f"{one.id}  {one.created}  {_size(one)}  {_headline(one)}  {aliases}".rstrip())


@main.command()
@click.argument("ref", default="champion")
@click.option("--verify", is_flag=True, help="Also read every file and compare its checksum.")
@click.pass_obj
@shared_options(json_output="Print the manifest as JSON.")
def show(url: str, ref: str, *, verify: bool, as_json: bool) -> None:
    """Tell what REF was made from, with what, and how good it is."""
    from dataclasses import asdict

    registry = _open(url)
    manifest = registry.manifest(ref)
    aliases = _names(registry).get(manifest.id, [])
    if as_json:
        say(json.dumps({**asdict(manifest), "aliases": aliases}, indent=2))
    else:
        from jobs._version_tables import print_version

        print_version(make_console(plain_width=PLAIN_WIDTH), manifest, aliases)
    if verify:
        registry.verify(ref)
        say(f"all {len(manifest.files)} files are as published", err=True)


@main.command()
@model_argument
@click.option("--name", default="model", show_default=True, help="Begin of the version's id.")
@click.option("--alias", "aliases", multiple=True, metavar="champion|challenger", help="Alias to set.")
@click.pass_obj
@shared_options()
def publish(url: str, model: str, name: str, aliases: tuple[str, ...]) -> None:
    """Publish MODEL as a version of REGISTRY."""
    from daskals.registry.open_model import open_model
    from daskals.registry.run_versions import publish_run

    with open_model(model) as found:
        manifest = publish_run(_open(url), found.folder, name=name, aliases=aliases)
    say(manifest.id)


@main.command()
@click.argument("ref")
@naming
@click.option("--expected", help="Only if the alias is still at this version.")
@noting
@click.pass_obj
@shared_options()
def promote(url: str, ref: str, alias: str, expected: str | None, note: str) -> None:
    """Point an alias at REF, after its files were checked."""
    entry = _open(url).promote(ref, alias, expected=expected, note=note)
    say(f"{alias} is {entry.aliases[alias]}")


@main.command()
@naming
@click.option("--to", help="Version to go back to; default: the one before.")
@noting
@click.pass_obj
@shared_options()
def rollback(url: str, alias: str, to: str | None, note: str) -> None:
    """Point an alias back at its former version."""
    entry = _open(url).rollback(alias, to, note=note)
    say(f"{alias} is {entry.aliases[alias]} again")


@main.command()
@click.argument("first", default="champion")
@click.argument("second", default="challenger")
@click.option("--data", help="Also compare their errors on these ratings.")
@click.pass_obj
@shared_options(json_output="Print JSON.")
def compare(url: str, first: str, second: str, data: str | None, *, as_json: bool) -> None:
    """Tell what differs between FIRST and SECOND: ratings, options, figures."""
    from daskals.registry.run_versions import compare_versions

    found = compare_versions(_open(url), first, second, data)
    if as_json:
        say(json.dumps(found, indent=2))
    else:
        from jobs._version_tables import print_comparison

        print_comparison(make_console(plain_width=PLAIN_WIDTH), found)


@main.command()
@click.option("--keep", default=5, show_default=True, type=click.IntRange(0), help="Former versions to keep.")
@click.option(
    "--min-age",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="DAYS",
    help="Younger versions stay.",
)
@click.option("--pretend", is_flag=True, help="Remove nothing, and tell what would be.")
@click.pass_obj
@shared_options()
def gc(url: str, keep: int, min_age: float, *, pretend: bool) -> None:
    """Remove versions that no alias names and nobody reads."""
    from daskals.registry.collect import collect

    removed = collect(_open(url), keep=keep, min_age=dt.timedelta(days=min_age), pretend=pretend)
    for version in removed:
        say(f"{'would remove' if pretend else 'removed'} {version}")
    say(f"{len(removed)} versions {'to remove' if pretend else 'removed'}")


def _names(registry: Registry) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for alias, version in sorted(registry.aliases().items()):
        names.setdefault(version, []).append(alias)
    return names


def _size(manifest: Manifest) -> str:
    return f"{manifest.n_bytes / 1e6:,.1f} MB"


def _headline(manifest: Manifest) -> str:
    figures: dict[str, Any] = manifest.figures
    for name in ("rmse", "test_rmse", "validation_rmse", "train_rmse"):
        value = figures.get(name)
        if isinstance(value, float):
            return f"{name.replace('_', ' ')} {value:.5f}"
    return ""


if __name__ == "__main__":
    main()
