"""`python -m jobs.ingest SOURCE STORE`: from a ratings file to a store, or to a new version of one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ReadAsConfig
from jobs._command import field_options, given, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.store.reader import RatingsStore


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="[SOURCE] STORE")
@field_options(ReadAsConfig)
@click.option("--overwrite", is_flag=True, help="Replace the store that is there.")
@click.option("--append", is_flag=True, help="Add SOURCE to the store that is there, as a new version.")
@click.option("--as-of", metavar="DATE", help="Leave out what was rated after this date or moment, UTC.")
@click.option(
    "--forget-users",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make a version of STORE without the users in FILE, one id a line.",
)
@click.option(
    "--keep-versions",
    type=click.IntRange(1),
    metavar="N",
    help="Then remove all versions of STORE but the last N.",
)
@shared_options()
def main(
    paths: tuple[str, ...],
    *,
    overwrite: bool,
    append: bool,
    as_of: str | None,
    forget_users: Path | None,
    keep_versions: int | None,
    **options: Any,
) -> None:
    """Read SOURCE, a ratings file, a folder or a data set's name, and write it as STORE.

    STORE is a folder, or an address such as s3://BUCKET/NAME, where it is made once and every copied byte is
    compared; SOURCE may then be a store.

    With --append the store that is there gets a new version: whom and what it knows keeps their rows. Who
    reads an earlier version goes on undisturbed.
    """
    config = ReadAsConfig.parse(given(options))
    needs_source = forget_users is None and (keep_versions is None or len(paths) > 1)
    if len(paths) != 1 + needs_source or (overwrite and append):
        raise click.UsageError(
            f"found {len(paths)} paths{' with --overwrite and --append' if overwrite and append else ''}; "
            "expected SOURCE STORE, or STORE alone with --forget-users or --keep-versions"
        )
    from daskals.ingest import append_ratings, forget_listed, ingest, made_once
    from daskals.store.remote import is_url, place_of

    store = place_of(paths[-1])
    if is_url(store) and keep_versions is not None:
        raise made_once(store)
    started = time.perf_counter()
    made = None
    if forget_users is not None:
        made = forget_listed(store, forget_users)
    elif append:
        made = append_ratings(paths[0], store, config, as_of=as_of)
    elif needs_source:
        made = ingest(paths[0], store, config, overwrite="replace" if overwrite else "refuse", as_of=as_of)
    if made is not None:
        _tell(made, time.perf_counter() - started)
    if keep_versions is not None:
        from daskals.store.versions import collect_versions

        for folder in collect_versions(Path(store), keep_versions):
            say(f"removed {folder}")


def _tell(made: RatingsStore, seconds: float) -> None:
    say(
        f"{made.n_ratings:,} ratings of {made.n_users:,} users and {made.n_rated_items:,} rated items "
        f"({made.n_items:,} listed), {made.duplicates:,} duplicates, "
        f"{sum(made.dropped.values()):,} rows dropped, {seconds:.1f} s"
    )
    for reason, count in made.dropped.items():
        say(f"dropped {count:,}: {reason}")
    lineage = made.lineage
    if "added" in lineage:
        say(
            f"added {lineage['added']:,}, changed {lineage['changed']:,}, known {lineage['known']:,} "
            f"already; {lineage['new_users']:,} new users, {lineage['new_items']:,} new items"
        )
    if "forgotten" in lineage:
        say(f"forgot {lineage['forgotten']:,} users")
    say(f"saved {made.path}")


if __name__ == "__main__":
    main()
