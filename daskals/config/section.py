"""A group of options: frozen, validated, with errors that name the flag, what was found and what fits."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from daskals.errors import ConfigError, without_secrets

_ROLES = ("user", "item", "rating", "timestamp", "weight")
_ITEM_ROLES = ("item", "title", "genres", "year")


def _parse_columns(value: object) -> object:
    return _parse_roles(
        value,
        _ROLES,
        "user=NAME,item=NAME,rating=NAME[,timestamp=NAME], or "
        "user=NAME,item=NAME[,weight=NAME][,timestamp=NAME] for observations without ratings",
    )


def _parse_item_columns(value: object) -> object:
    return _parse_roles(value, _ITEM_ROLES, "item=NAME[,title=NAME][,genres=NAME][,year=NAME]")


def _parse_roles(value: object, known: tuple[str, ...], expected: str) -> object:
    if not isinstance(value, str):
        return value
    pairs = [[piece.strip() for piece in part.split("=", 1)] for part in value.split(",")]
    roles = [pair[0] for pair in pairs]
    if 3 <= len(set(roles)) == len(roles) <= 4 and all(len(p) == 1 and p[0].isdecimal() for p in pairs):
        return dict(zip(_ROLES, roles, strict=False))
    if len(set(roles)) < len(roles) or any(
        len(pair) < 2 or not pair[1] or pair[0] not in known for pair in pairs
    ):
        raise ValueError(f"found {value!r}; expected {expected}")
    return {pair[0]: pair[1] for pair in pairs}


Columns = Annotated[dict[str, str], BeforeValidator(_parse_columns)]
ItemColumns = Annotated[dict[str, str], BeforeValidator(_parse_item_columns)]


def _parse_names(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(","))
    return () if names in {("",), ("none",)} else names


Names = Annotated[tuple[str, ...], BeforeValidator(_parse_names)]


def _parse_numbers(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(float(part) for part in value.split(",")) if value.strip() else ()
    except ValueError:
        raise ValueError(f"found {value!r}; expected numbers with commas, such as -1 or -1,99") from None


Numbers = Annotated[tuple[float, ...], BeforeValidator(_parse_numbers)]


_UNITS = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
}


def _parse_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    number = value.strip().rstrip(string.ascii_letters)
    unit = value.strip()[len(number) :].lower()
    try:
        return round(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ValueError(f"found {value!r}; expected a number of bytes such as 50MB or 2GiB") from None


Bytes = Annotated[int, BeforeValidator(_parse_bytes)]


class Section(BaseModel):
    """A group of options, each with its name, its limits and its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _readable(error) from None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate `values`; raise ConfigError that names each bad option, its value and what fits."""
        return cls(**values)

    @classmethod
    def from_report(cls, report: Mapping[str, Any], **changes: Any) -> Self:
        """Return what a report's `config` says of these options, with changes; it may hold others as well."""
        names = {field.alias or name for name, field in cls.model_fields.items()}
        known = {name: report[name] for name in names if report.get(name) is not None}
        return cls.parse({**known, **changes})

    def as_report(self) -> dict[str, Any]:
        """Return the fields under their public names, ready for JSON; addresses without their secrets."""
        told = self.model_dump(mode="json", by_alias=True)
        return {name: without_secrets(one) if isinstance(one, str) else one for name, one in told.items()}


def _readable(error: ValidationError) -> ConfigError:
    parts = []
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]).strip("_") if item["loc"] else ""
        if item["type"] == "value_error":
            text = str(item["ctx"]["error"])
            parts.append(f"--{name.replace('_', '-')}: {text}" if name else _flagged(text))
        elif item["type"] == "extra_forbidden":
            parts.append(f"--{name.replace('_', '-')}: there is no such option")
        else:
            expected = item["msg"].removeprefix("Input should be ")
            parts.append(f"--{name.replace('_', '-')}: found {item['input']!r}; expected {expected}")
    return ConfigError("; ".join(dict.fromkeys(parts)), remedy="See --help for all options")


def _flagged(text: str) -> str:
    name, _, rest = text.partition(":")
    return f"--{name.replace('_', '-')}:{rest}"
