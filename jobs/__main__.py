"""`daskals COMMAND`: all commands under one name, each imported when it is called."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click

import daskals
from jobs._signals import Group

HERE = Path(__file__).resolve().parent
DESCRIPTION = re.compile(r'"""`[^`]+`: (.+?)(?:""")?$')


class Commands(Group):
    """The modules of this folder as commands; to list them none is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return sorted(path.stem for path in HERE.glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, None where there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        # the app's own module is a page, which Streamlit runs
        module = importlib.import_module("jobs._app_command" if cmd_name == "app" else f"jobs.{cmd_name}")
        command: click.Command = module.main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first line of its module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, describe(name)) for name in self.list_commands(ctx)])


def describe(name: str) -> str:
    """Return what the first line of a command's module says of it."""
    with (HERE / f"{name}.py").open(encoding="utf-8") as file:
        found = DESCRIPTION.match(file.readline().rstrip())
    return found[1] if found else ""


@click.command(cls=Commands, name="daskals")
@click.version_option(daskals.__version__, prog_name="daskals")
def main() -> None:
    """Recommendations from ratings: train, evaluate, recommend, serve, look closer.

    `daskals COMMAND --help` tells a command's options. In a clone, `python -m jobs.COMMAND` is the same.
    """


if __name__ == "__main__":
    main(prog_name="python -m jobs")
