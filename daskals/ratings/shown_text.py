"""Text from data on a surface: shown as it is, never obeyed. One function a surface, used everywhere.

Titles, genres, tags, ids and file names are whatever somebody wrote. A terminal obeys escape sequences,
Markdown and HTML mark-up, a spreadsheet formulas.
"""

from __future__ import annotations

import html
import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_COMMANDS = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the order of those that follow, so that a name reads as another."""

_MARKS = re.compile(r"[\\`*_{}\[\]<>#!|$~&@^]|:(?=\S)|(?<=[^\W\d_])\.(?=\S)|^\s*[-+=]")
"""Signs of Markdown: brackets, emphasis, HTML; what makes links and icons of words; a list's at the start."""

JOINER = "\N{WORD JOINER}"
"""Shown as nothing."""

_TELLING = re.compile(r"(?i):(?=\S)|www(?=\.)|[-.\w+](?=@)")
"""What makes links of addresses and pictures of names like `:skull:`: they are looked for when signs have
lost their escapes, so that only another character in between keeps them texts."""

_NUMBERED = re.compile(r"^(\s*[0-9]+)([.)])")

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def on_terminal(text: object, *, lines: bool = False) -> str:
    """Return text that a terminal only shows: no escape sequence, no turned order.

    With `lines` its line ends and tabs stay; a name has none.
    """
    return _plain(text, kept="\n\t" if lines else "")


def in_markdown(text: object) -> str:
    """Return text that Markdown shows as it is: no link, image, mark-up, formula, and one line."""
    broken = _TELLING.sub(rf"\g<0>{JOINER}", _plain(text, kept=""))
    return _NUMBERED.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", broken))


def in_html(text: object) -> str:
    """Return text that HTML shows as it is, in an element or in a quoted attribute."""
    return html.escape(_plain(text, kept="\n\t"), quote=True)


def in_csv(text: object) -> str:
    """Return text that a spreadsheet takes for text: before what it would compute stands an apostrophe."""
    shown = str(text)
    return f"'{shown}" if shown.startswith(_FORMULAS) else shown


def _plain(text: object, *, kept: str) -> str:
    return "".join(
        one if one in kept or not (one in _TURNING or unicodedata.category(one) in _COMMANDS) else REPLACEMENT
        for one in str(text)
    )
