"""Output on terminals that know less than Unicode: signs they lack are written by others."""

from __future__ import annotations

import codecs
import io
import sys

_INSTEAD = {
    "…": "...", "–": "-", "—": "-", "\N{NON-BREAKING HYPHEN}": "-", "→": "->", "×": "x", "·": "-", "±": "+/-",
    "≤": "<=", "≥": ">=", "━": "=", "╺": "-", "─": "-", "│": "|", "“": '"', "”": '"', "’": "'", "★": "*",
    "²": "^2", "α": "alpha", "λ": "lambda", "γ": "gamma", "τ": "tau", "η": "eta",
}  # fmt: skip


def survive_any_terminal() -> None:
    """Let standard output and error write what they can, whatever their encoding."""
    codecs.register_error("daskals-plain", _instead)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="daskals-plain")


def _instead(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(sign, "?") for sign in lacking), error.end
