"""What OpenAPI tells of a service beyond its types: its limits, and the scale of the model in use."""

from __future__ import annotations

from typing import Any

from daskals.config.serving import Limits

JsonSchema = dict[str, Any]

MALFORMED = "a body that is no JSON in UTF-8, or JSON within JSON too deep; expected one JSON object"


def one_of(*choices: tuple[str, ...]) -> JsonSchema:
    """Return the schema of an object that has all fields of one choice and none of the others.

    Parameters
    ----------
    choices
        Names of fields; null is as good as none.
    """
    every = {name for names in choices for name in names}
    return {
        "oneOf": [
            {
                "required": list(names),
                "properties": {
                    name: {"not": {"type": "null"}} if name in names else {"type": "null"}
                    for name in sorted(every)
                },
            }
            for names in choices
        ]
    }


def not_together(**fields: str | None) -> JsonSchema:
    """Return the schema of an object that has not all of some fields.

    Parameters
    ----------
    fields
        Each with the value that is not taken beside the others; None: any.
    """
    values = {
        name: {"not": {"type": "null"}} if value is None else {"const": value}
        for name, value in fields.items()
    }
    return {"not": {"required": list(fields), "properties": values}}


def tell_limits(
    document: JsonSchema, limits: Limits, scale: tuple[float, float], *, rated: bool
) -> JsonSchema:
    """Write limits into a document's schemas; return it.

    Parameters
    ----------
    document
        As FastAPI makes it.
    limits
        What a request may ask for.
    scale
        Lowest and highest rating that the model in use takes.
    rated
        Whether it needs one; a model of clicks does not.
    """
    most = {
        "n": {"maximum": limits.max_n},
        "ratings": {"maxItems": limits.max_profile},
        "pairs": {"maxItems": limits.max_pairs},
        "items": {"maxItems": limits.max_pairs},
    }
    schemas = document["components"]["schemas"]
    for title, schema in schemas.items():
        if title.endswith("Question"):
            for name in most.keys() & schema["properties"].keys():
                _plain(schema["properties"][name]).update(most[name])
    given = schemas["RatingGiven"]
    given["properties"]["rating"].update({"minimum": scale[0], "maximum": scale[1]})
    if rated:
        del given["properties"]["rating"]["default"]
        given["required"] = ["item", "rating"]
    for path in document["paths"].values():
        for parameter in path.get("get", {}).get("parameters", ()):
            parameter["schema"].update(most.get(parameter["name"], {}))
    return document


def _plain(schema: JsonSchema) -> JsonSchema:
    """Return a field's schema, without that it may be null."""
    kinds: list[JsonSchema] = schema.get("anyOf", [schema])
    return next(kind for kind in kinds if kind.get("type") != "null")
