"""Commands run in this process."""

from __future__ import annotations

import click.testing


def run(command, *arguments: object) -> click.testing.Result:
    """Run a job's command; no failure shows a traceback."""
    result = click.testing.CliRunner().invoke(command.main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result
