"""Lists made by two processes."""

from __future__ import annotations

import click.testing
import pyarrow.parquet as pq

from jobs import recommend

LOCAL = ("--dashboard-address", "none")


def run(command, *arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(command.main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_job__works_with_two_processes(folder, tmp_path):
    assert run(recommend, folder, "--workers", 2, "--out", tmp_path / "two", *LOCAL).exit_code == 0
    assert run(recommend, folder, "--out", tmp_path / "one", *LOCAL).exit_code == 0
    assert pq.read_table(tmp_path / "two").equals(pq.read_table(tmp_path / "one"))
