"""The errors a user can meet: each says what was found where, what was expected, and the remedy."""

from __future__ import annotations

import re
from typing import Literal, Self

ANOTHER_NAME = "Check permissions and free space, or name another place"
"""Remedy for an output whose name the user chose."""

_OPTION = re.compile(
    r"""(?P<verbatim>`[^`]*`|(?<!\w)'[^']*'|(?<!\w)"[^"]*")"""
    r"""|(?<![^\s(])--(?P<name>[a-z][a-z0-9-]*)(?:=(?P<value>"[^"]*"|\S*[^\s,;:.)]))?"""
)
"""An option in a message: `--name`, `--name=VALUE` or `--name="A VALUE"`. What else is in quotes or in
backquotes is somebody else's."""

SWITCHES = frozenset(
    {
        "choose-order",
        "include-seen",
        "monitor-test",
        "no-global-mean",
        "no-header",
        "overwrite",
        "quiet",
        "refit-all",
        "resume",
    }
)
"""Options without a value on the command line, which are true or false in Python."""

_ARGUMENTS = {
    "dataset": "ratings",
    "lambda": "lambda_",
    "help": "help(daskals.TrainConfig)",
}
"""What Python calls options whose flag has another name."""

FLAGS = {"existing": "overwrite"}
"""What commands call arguments that have another name in Python; of some a switch stands for a value."""


_ADDRESS = re.compile(
    r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*://)"
    # a colon before a port number parts no name from a password
    r"(?:[^\s/@:'\"]*:(?![0-9]+(?:[/\s]|$))[^\s@'\"]*@|[^\s/@'\"]*@)?"
    r"(?P<place>[^\s?#'\"]*)(?:[?#][^\s'\")]*)?"
)


def without_secrets(text: str) -> str:
    """Return text whose addresses have lost name, password and query: they may open what they name."""
    return _ADDRESS.sub(lambda found: found["protocol"] + found["place"], text) if "://" in text else text


class DaskalsError(Exception):
    """Base of every error that daskals raises on purpose. Addresses in it are told without secrets.

    Messages name options as `--name` or `--name=VALUE`. As text the error names them as arguments of Python
    calls, `name` or `name="VALUE"`; a command prints `for_command`, which has flags: `--name VALUE`.

    Parameters
    ----------
    found
        What was found, a clause without a full stop.
    where
        File, row, column, worker or option the finding belongs to; it opens the message.
    expected
        What would have been right.
    remedy
        What the user can do about it, a sentence without a full stop.
    """

    def __init__(self, found: str, *, where: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(without_secrets(found))
        self.found = without_secrets(found)
        self.where = without_secrets(where)
        self.expected = without_secrets(expected)
        self.remedy = without_secrets(remedy)

    @classmethod
    def unreadable(cls, where: object, error: OSError, *, remedy: str = "Check its permissions") -> Self:
        """Make the error for a file or folder that the system refused to read."""
        return cls(f"cannot be read ({error.strerror or error})", where=str(where), remedy=remedy)

    def __str__(self) -> str:
        found, where, expected, remedy = (_OPTION.sub(_as_argument, part) for part in self._parts)
        return _sentences(found, where, expected, remedy)

    def for_command(self) -> str:
        """Return the message with options named as flags, for whoever typed a command."""
        found, where, expected, remedy = (_OPTION.sub(_as_flag, part) for part in self._parts)
        return _sentences(found, where, expected, remedy)

    @property
    def _parts(self) -> tuple[str, str, str, str]:
        return self.found, self.where, self.expected, self.remedy

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments do not survive the default reduction, and errors cross process boundaries
        return _rebuild, (type(self), self.found, self.where, self.expected, self.remedy)


def _sentences(found: str, where: str, expected: str, remedy: str) -> str:
    text = f"{where}: {found}" if where else found
    if expected:
        text += f"; expected {expected}"
    return f"{text}. {remedy}." if remedy else f"{text}."


def _as_flag(option: re.Match[str]) -> str:
    if option["verbatim"] is not None:
        return option["verbatim"]
    name = FLAGS.get(option["name"], option["name"])
    return f"--{name}" if option["value"] is None or name in SWITCHES else f"--{name} {option['value']}"


def _as_argument(option: re.Match[str]) -> str:
    if option["verbatim"] is not None:
        return option["verbatim"]
    name, value = option["name"], option["value"]
    argument = _ARGUMENTS.get(name, name.replace("-", "_"))
    if value is None:
        return f"{argument}=True" if name in SWITCHES else argument
    return f"{argument}={_as_literal(value)}"


def _as_literal(value: str) -> str:
    """Write an option's value as Python does: a number, a mapping of names, or text."""
    value = value.strip('"')
    pairs = [pair.partition("=") for pair in value.split(",")]
    if all(equals for _, equals, _ in pairs):
        return "{" + ", ".join(f'"{name}": "{chosen}"' for name, _, chosen in pairs) + "}"
    try:
        float(value)
    except ValueError:
        return f'"{value}"'
    return value


def _rebuild(cls: type[DaskalsError], found: str, where: str, expected: str, remedy: str) -> DaskalsError:
    return cls(found, where=where, expected=expected, remedy=remedy)


class ConfigError(DaskalsError):
    """An option or a combination of options that cannot be meant."""


class DataError(DaskalsError):
    """Ratings, catalogue or ids that cannot be used as they are."""


class DatasetError(DaskalsError):
    """A data set known by name that is not known, cannot be fetched, or arrived damaged."""


class StoreError(DaskalsError):
    """A ratings store that is missing, damaged, or of another format version."""


class NewerFormatError(StoreError):
    """Something whole, in a format version that this daskals does not know."""


class ModelError(DaskalsError):
    """A model directory that is missing, damaged, or of another format version."""


class RegistryError(DaskalsError):
    """A registry, version or alias that is missing, damaged, of another format, or in another's hands."""


class OutputError(DaskalsError):
    """An output path that cannot be written, or already holds something."""

    @classmethod
    def unwritable(
        cls, kind: str, where: object, error: OSError, *, remedy: str = "Check permissions and free space"
    ) -> Self:
        """Make the error for a file, folder or other kind of place that the system refused to write."""
        return cls(
            f"cannot be written ({error.strerror or error})",
            where=str(where),
            expected=f"a {kind} that can be written, with room on its disk",
            remedy=remedy,
        )


class ClusterError(DaskalsError):
    """A scheduler or worker that cannot be reached or does not fit."""


class RowError(DaskalsError):
    """A row, by its index on its side, whose equations could not be solved.

    Raised by the kernels, which know rows but neither ids nor sides; training adds the side, and turns it
    into a `NumericalError`.
    """

    def __init__(self, found: str, *, row: int, side: Literal["user", "item", "time"] | None = None) -> None:
        super().__init__(found, where=f"row {row}" if side is None else f"{side} row {row}")
        self.row = row
        self.side = side

    def of(self, side: Literal["user", "item", "time"] | None) -> RowError:
        """Return the error of a row of that side."""
        return RowError(self.found, row=self.row, side=side)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_row, (self.found, self.row, self.side)


def _rebuild_row(found: str, row: int, side: Literal["user", "item", "time"] | None) -> RowError:
    return RowError(found, row=row, side=side)


class NumericalError(DaskalsError):
    """A training step that produced something that is not a finite number."""
