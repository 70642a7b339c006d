"""Cells that hold several ids, as histories and impressions of news do: refused, never taken for one id."""

from __future__ import annotations

import re

import pyarrow as pa

from daskals.errors import DataError

N_LOOKED_AT = 1000
"""Distinct ids that are looked at."""

_ID = r"[A-Za-z_]{0,4}[0-9]+"
_SEVERAL = re.compile(rf"\[?{_ID}(-[01])?(([ ;|]|, ?){_ID}(-[01])?)+\]?")
"""Ids with what parts them; those of impressions end with whether it was clicked."""

_LONG = r"(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{8,}"
_SEVERAL_LONG = re.compile(rf"\[?'?{_LONG}('?(;|\||, ?)'?{_LONG})+'?\]?")
"""The same of long ids, in which digits may stand anywhere; blanks alone part words as well."""

_THOUSANDS = re.compile(r"[0-9]{1,3}([, ][0-9]{3})+")
"""A number with marks of thousands is one id."""

_CLICKED = re.compile(r".*-[01]\]?")


def refuse_several_ids(ids: pa.Array, *, where: str, name: str) -> None:
    """Refuse a column most of whose cells hold several ids.

    Parameters
    ----------
    ids
        Its distinct values, in the order in which they come.
    where, name
        File and column, for the error.

    Raises
    ------
    DataError
        If more than half of the first are several ids with blanks, commas, semicolons or bars between them.
    """
    if not pa.types.is_string(ids.type):
        return
    looked_at = [text.strip() for text in ids[:N_LOOKED_AT].to_pylist() if text]
    several = [text for text in looked_at if _are_several(text)]
    if 2 * len(several) <= len(looked_at):
        return
    first = several[0]
    shown = first if len(first) <= 40 else f"{first[:40]} …"
    mark = next(one for one in (";", "|", ",", " ") if one in first)
    rows = f"`frame.assign(id=frame['{name}'].str.split('{mark}')).explode('id')`"
    clicked = "; -1 or -0 behind an id is whether it was clicked: leave the others out"
    raise DataError(
        f"most cells hold several ids, such as {shown!r}",
        where=f"{where}, column '{name}'",
        expected="one id in each row",
        remedy=f"Write a row for each id, in pandas by {rows}{clicked if _CLICKED.fullmatch(first) else ''}",
    )


def _are_several(text: str) -> bool:
    if _THOUSANDS.fullmatch(text):
        return False
    return bool(_SEVERAL.fullmatch(text) or _SEVERAL_LONG.fullmatch(text))
