"""The table of what is read: each row names a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = (ROOT / "daskals" / "ratings" / "FORMATS.md").read_text(encoding="utf-8")


def test_every_row__names_a_test():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    rows = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1])
        assert len(named) == 1, row
        assert f"def {named[0]}(" in sources, row
