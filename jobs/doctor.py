"""`python -m jobs.doctor`: whether this process and the workers of a cluster fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from daskals.config import ClusterConfig
from daskals.errors import ClusterError
from jobs._command import fail, field_options, given, shared_options

if TYPE_CHECKING:
    from rich.table import Table

    from daskals.cluster.preflight import Facts

OPTIONS = ["scheduler", "tls_ca", "tls_cert", "tls_key", "workers", "threads_per_worker"]


@click.command()
@field_options(ClusterConfig, OPTIONS)
@click.option("--store", help="Ratings store, a folder or an address, that every worker must reach.")
@shared_options()
def main(store: str | None, **options: Any) -> None:
    """Describe this process and every worker, and say what does not fit.

    Without --scheduler it looks at workers of this machine, started as jobs.train starts them.
    """
    config = ClusterConfig.parse({**given(options), "dashboard_address": None})
    from rich.console import Console

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
    console = Console(soft_wrap=True)
    console.print(_table({"this process": driver, **workers}, problems))
    if problems:
        fail(" ".join(map(str, problems.values())))
    click.echo(f"{len(workers)} worker{'' if len(workers) == 1 else 's'}: all fit")


def _table(columns: dict[str, Facts], problems: dict[str, ClusterError]) -> Table:
    from rich.table import Table

    table = Table("", *columns)
    names = dict.fromkeys(name for facts in columns.values() for name in facts)
    for name in names:
        table.add_row(name, *(_cell(facts.get(name)) for facts in columns.values()))
    table.add_row("verdict", *("does not fit" if name in problems else "fits" for name in columns))
    return table


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={setting}" for name, setting in value.items() if setting) or "none set"
    if isinstance(value, int) and value > 1 << 30:
        return f"{value / (1 << 30):.1f} GiB"
    return str(value)


if __name__ == "__main__":
    main()
