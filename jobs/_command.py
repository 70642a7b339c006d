"""What all commands share: --debug, --config and --json, MODEL, options of fields, and how errors end."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from daskals.cluster.interruption import handling_signals
from daskals.errors import ConfigError, DaskalsError
from jobs._plain_text import survive_any_terminal
from jobs._signals import end_interrupted
from jobs._terminal import say

FAILED = 1

CONFIG_HELP = "TOML or JSON file of options; flags win."
MODEL_HELP = (
    "MODEL is a run's folder, a model's folder, or a registry (a folder or s3://BUCKET/PREFIX), whose "
    "champion is taken."
)


def shared_options(
    *,
    config: bool = False,
    json_file: str | None = None,
    json_output: str | None = None,
    exit_code: int = FAILED,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command with --debug, --config and --json, and end its errors as one message.

    The innermost decorator of every command. A DaskalsError ends it with `exit_code`, Ctrl-C and SIGTERM with
    130, at its next step or, the second time, at once; --debug lets the traceback through. The command itself
    is not told of --debug.

    Parameters
    ----------
    config
        Whether it takes --config FILE; the command is then called with `file_options`, a dict of what the
        file says, empty where none is named.
    json_file
        Help of --json FILE, for a command that can write its figures; it gets the path as `json_file`.
    json_output
        Help of the flag --json, for a command that can print JSON instead; it gets `as_json`.
    exit_code
        Exit code of an error.
    """
    options = [click.option("--debug", is_flag=True, help="Show tracebacks.")]
    if json_file is not None:
        options.append(click.option("--json", "json_file", type=click.Path(path_type=Path), help=json_file))
    if json_output is not None:
        options.append(click.option("--json", "as_json", is_flag=True, help=json_output))
    if config:
        options.append(
            click.option("--config", "config_file", type=click.Path(path_type=Path), help=CONFIG_HELP)
        )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*args: Any, debug: bool, **kwargs: Any) -> None:
            survive_any_terminal()
            try:
                with handling_signals():
                    if config:
                        kwargs["file_options"] = _read_options(kwargs.pop("config_file"))
                        debug = bool(kwargs["file_options"].pop("debug", False)) or debug
                    function(*args, **kwargs)
            except DaskalsError as error:
                if debug:
                    raise
                fail(error.for_command(), exit_code)
            except KeyboardInterrupt:
                end_interrupted()

        return functools.reduce(lambda command, option: option(command), options, run)

    return decorate


def _read_options(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from daskals.config import read_config_file

    return read_config_file(path)


def model_argument(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with MODEL, which `registry.open_model` opens, and say what that is."""
    function.__doc__ = f"{(function.__doc__ or '').rstrip()}\n\n    {MODEL_HELP}\n    "
    return click.argument("model")(function)


def fail(message: str, exit_code: int = FAILED) -> NoReturn:
    """Print one error message and end."""
    say(f"error: {message}", err=True)
    sys.exit(exit_code)


def field_options(
    config: type[BaseModel], names: Iterable[str] | None = None, usual: Mapping[str, Any] | None = None
) -> Callable[[Any], Any]:
    """Decorate a command with an option for each field of a configuration, or for those in `names`.

    The options take text and have no defaults of their own: the configuration validates, so that a flag,
    a configuration file and a call from Python fail with the same message. `usual` holds what a command
    takes instead of the configuration's defaults, for its help.
    """
    chosen = config.model_fields if names is None else {name: config.model_fields[name] for name in names}

    def decorate(command: Any) -> Any:
        for name, field in reversed(chosen.items()):
            default = field.default if usual is None else usual.get(name, field.default)
            command = _option(name, field, default)(command)
        return command

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that were named on the command line."""
    return {name: value for name, value in values.items() if value is not None}


def one_source(data: Path | None, dataset: str | None) -> Path | str:
    """Return the ratings that --data or --dataset names; raise ConfigError where it is none or both."""
    if data is not None and dataset is None:
        return data
    if dataset is not None and data is None:
        return dataset
    found = "found neither" if data is None else "found both"
    raise ConfigError(found, where="--data, --dataset", expected="one of the two")


def list_lengths(text: str) -> tuple[int, ...]:
    """Read lengths of lists, such as 10,20,50; raise ConfigError for anything else."""
    try:
        lengths = tuple(int(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise ConfigError(
            f"found {text!r}", where="--k", expected="lengths of 1 or more, such as 10 or 10,20,50,100"
        )
    return lengths


def _option(name: str, field: FieldInfo, default: object) -> Callable[[Any], Any]:
    flag = (field.alias or name).replace("_", "-")
    help_text = field.description or ""
    if field.annotation is bool and default:
        help_text += f"  [default: {flag}]"
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=help_text)
    if field.annotation is bool:
        return click.option(f"--{flag}", name, is_flag=True, default=None, help=help_text)
    if field.is_required():
        help_text += "  [required]"
    elif default is not None and default != ():
        help_text += f"  [default: {default}]"
    return click.option(
        f"--{flag}", *_older_flags(field), name, metavar=_metavar(field.annotation), help=help_text
    )


def _older_flags(field: FieldInfo) -> list[str]:
    """Return the flags of what an option was called before, which go on working."""
    if not isinstance(field.validation_alias, AliasChoices):
        return []
    return [f"--{str(older).replace('_', '-')}" for older in field.validation_alias.choices[1:]]


def _metavar(annotation: Any) -> str:
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return "|".join(map(str, parts))
    for kind, metavar in ((int, "N"), (float, "X"), (Path, "PATH")):
        if annotation is kind or kind in parts:
            return metavar
    return "TEXT"
