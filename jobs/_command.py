"""What all commands share: options made from configuration fields, and how errors end."""

from __future__ import annotations

import functools
import signal
import sys
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daskals.errors import DaskalsError

INTERRUPTED = 130


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Turn errors of a command into one message and exit code 1, and Ctrl-C into 130."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        # a batch system stops a job with SIGTERM: it cleans up as Ctrl-C does
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            function(*args, **kwargs)
        except DaskalsError as error:
            if kwargs.get("debug"):
                raise
            fail(str(error))
        except KeyboardInterrupt:
            click.echo("interrupted: nothing was left half-written", err=True)
            sys.exit(INTERRUPTED)

    return run


def fail(message: str) -> NoReturn:
    """Print one error message and end with exit code 1."""
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def field_options(config: type[BaseModel], names: Iterable[str] | None = None) -> Callable[[Any], Any]:
    """Decorate a command with an option for each field of a configuration, or for those in `names`.

    The options take text and have no defaults of their own: the configuration validates, so that a flag,
    a configuration file and a call from Python fail with the same message.
    """
    chosen = config.model_fields if names is None else {name: config.model_fields[name] for name in names}

    def decorate(command: Any) -> Any:
        for name, field in reversed(chosen.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that were named on the command line."""
    return {name: value for name, value in values.items() if value is not None}


def _option(name: str, field: FieldInfo) -> Callable[[Any], Any]:
    flag = (field.alias or name).replace("_", "-")
    help_text = field.description or ""
    if field.annotation is bool:
        return click.option(f"--{flag}", name, is_flag=True, default=None, help=help_text)
    if field.default is not None:
        help_text += f"  [default: {field.default}]"
    return click.option(f"--{flag}", name, metavar=_metavar(field.annotation), help=help_text)


def _metavar(annotation: Any) -> str:
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return "|".join(map(str, parts))
    for kind, metavar in ((int, "N"), (float, "X"), (Path, "PATH")):
        if annotation is kind or kind in parts:
            return metavar
    return "TEXT"
