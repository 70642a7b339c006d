"""Numbers that books and goods have everywhere: ISBN-10, and Amazon's ASIN, which is one for books."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEAST = 5
"""Numbers there have to be: fewer may look so by chance."""

_ASIN = re.compile(r"B[0-9A-Z]{9}")
_ISBN = re.compile(r"[0-9]{9}[0-9X]")


def are_item_numbers(texts: Sequence[str]) -> bool:
    """Tell whether all texts are ASINs or ISBNs, by their form and the ISBNs' check digits."""
    return len(texts) >= LEAST and all(_ASIN.fullmatch(text) or _is_isbn(text) for text in texts)


def _is_isbn(text: str) -> bool:
    if not _ISBN.fullmatch(text):
        return False
    digits = [10 if digit == "X" else int(digit) for digit in text]
    return sum(digit * weight for digit, weight in zip(digits, range(10, 0, -1), strict=True)) % 11 == 0
