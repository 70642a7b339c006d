"""The project's own sources, parsed once for all tests that read them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def name_of(path: Path) -> str:
    """Return a module's name by where its file lies."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees(package: str) -> dict[str, ast.Module]:
    """Return the parsed modules of `daskals` or `jobs` by name.

    When first asked, not when tests are collected: several test processes collect all and run a part.
    """
    return {
        name_of(path): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / package).rglob("*.py"))
    }
