"""`python -m jobs.doctor`: whether this process and workers fit together, and whether a store is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import ClusterConfig
from daskals.errors import ClusterError
from jobs._command import fail, field_options, given, shared_options
from jobs._signals import Command
from jobs._terminal import cell, make_console, say

if TYPE_CHECKING:
    from rich.table import Table

    from daskals.cluster.preflight import Facts

OPTIONS = ["scheduler", "tls_ca", "tls_cert", "tls_key", "workers", "threads_per_worker"]


@click.command(cls=Command)
@field_options(ClusterConfig, OPTIONS)
@click.option("--store", help="Ratings store, a folder or an address, that every worker must reach.")
@click.option("--verify", metavar="PATH",
              help="Read a store or a model whole, and compare it with what it says of itself.")  # fmt: skip
@shared_options()
def main(store: str | None, verify: str | None, **options: Any) -> None:
    """Describe this process and every worker, and say what does not fit.

    Without --scheduler it looks at workers of this machine, started as `daskals train` starts them.
    """
    if verify is not None:
        _verify(verify)
        return
    config = ClusterConfig.parse({**given(options), "dashboard_address": None})
    from daskals.cluster.connect import connect
    from daskals.cluster.preflight import check, describe

    driver = describe(store)
    problems: dict[str, ClusterError] = {}
    with connect(config) as cluster:
        workers = cluster.facts(store)
    for name, facts in {"this process": driver, **workers}.items():
        try:
            check(name, facts, driver)
        except ClusterError as error:
            problems[name] = error
    # a table wider than the screen would be cut: what it says matters more than its lines
    make_console(soft_wrap=True).print(_table({"this process": driver, **workers}, problems))
    if problems:
        fail(" ".join(map(str, problems.values())))
    say(f"{len(workers)} worker{'' if len(workers) == 1 else 's'}: all fit")


def _verify(path: str) -> None:
    """Compare a store with its content hash, and its two orders; a model with the hash of its factors."""
    from daskals.errors import ModelError
    from daskals.store.remote import is_url
    from daskals.store.versions import is_store, open_latest

    if is_url(path) or (is_store(Path(path)) and not _is_model(Path(path))):
        from daskals.store.verify import verify_store

        store = open_latest(path)
        verify_store(store)
        say(f"{store.n_ratings:,} ratings are as their store says, in both orders")
        return
    from daskals.registry.open_model import open_model

    with open_model(path) as found:
        digest, told = found.model.factors_sha256(), found.model.report.get("factors_sha256")
        if digest != told:
            raise ModelError(
                f"its factors have the hash {digest[:12]}",
                where=str(found.folder),
                expected=f"{told}"[:12],
                remedy="Restore it, or train it anew",
            )
        say(f"{found.name}: its factors are as its report says")


def _is_model(path: Path) -> bool:
    from daskals.registry.open_model import is_registry

    return is_registry(path) or (path / "users" / "factors").is_dir()


def _table(columns: dict[str, Facts], problems: dict[str, ClusterError]) -> Table:
    from rich.table import Table

    table = Table("")
    for name in columns:
        table.add_column(cell(name))
    names = dict.fromkeys(name for facts in columns.values() for name in facts)
    for name in names:
        table.add_row(cell(name), *(cell(_told(facts.get(name))) for facts in columns.values()))
    table.add_row("verdict", *("does not fit" if name in problems else "fits" for name in columns))
    return table


def _told(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={setting}" for name, setting in value.items() if setting) or "none set"
    if isinstance(value, int) and value > 1 << 30:
        return f"{value / (1 << 30):.1f} GiB"
    return str(value)


if __name__ == "__main__":
    main()
