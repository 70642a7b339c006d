"""Commands that end in one line wherever a signal finds them, in the code of click too."""

from __future__ import annotations

import sys
from typing import Any

import click

from daskals.cluster.interruption import INTERRUPTED, handling_signals
from jobs._terminal import say


def end_interrupted() -> None:
    """Say that a command was interrupted, and end."""
    say("interrupted: nothing was left half-written", err=True)
    sys.exit(INTERRUPTED)


class Command(click.Command):
    """A command that notes signals from its first option to its exit code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run it and end with its exit code, unless `standalone_mode` is False, as click has it."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        code: Any = None
        try:
            with handling_signals():
                code = super().main(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            end_interrupted()
        sys.exit(code if isinstance(code, int) else 0)


class Group(Command, click.Group):
    """Commands under one name, which note signals likewise."""
