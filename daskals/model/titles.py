"""Title search: exactly, without year or article, by some words, or with a typing error."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from daskals.errors import DataError
from daskals.types import Float32, Int64

ARTICLES = "the|a|an|la|le|les|el|il|lo|los|las|der|die|das|l"

CLOSE_ENOUGH = 82.0
"""Likeness (0 to 100) from which a title is taken for a mistyped one."""

_PART = 0.95
"""What a likeness to a part of a title counts, beside one to all of it."""

_YEAR = re.compile(r"\s*\(?\b(1[89]\d\d|20\d\d)\)?\s*$")
_TRAILING_ARTICLE = re.compile(rf"^(.*), ({ARTICLES})$")
_LEADING_ARTICLE = re.compile(rf"^({ARTICLES}) (?=.)")
_BARE_NUMBER = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)*\s*")
_NO_WORD = re.compile(r"[^\w]+")


class TitleMatch(NamedTuple):
    """What was taken for a title somebody typed.

    Attributes
    ----------
    row
        Row of the item.
    title
        Its title.
    is_exact
        Whether that is what was typed, up to upper and lower case.
    """

    row: int
    title: str
    is_exact: bool


def plain_title(title: str) -> str:
    """Reduce a title to lower-case words without accents, punctuation, year and article.

    "Lion King, The (1994)" and "the lion king" both give "lion king".
    """
    # a title that is nothing but a year, as 1984, keeps it
    text = unicodedata.normalize("NFKD", _YEAR.sub("", title) or title).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c))
    main, parenthesis, rest = text.partition(" (")
    main = _TRAILING_ARTICLE.sub(r"\2 \1", main.strip())
    words = _NO_WORD.sub(" ", (main + parenthesis + rest).replace("'", "")).strip()
    return _LEADING_ARTICLE.sub("", words)


def is_bare_number(text: str) -> bool:
    """Tell whether a text is nothing but a number, which may be an id and is no part of a title."""
    return _BARE_NUMBER.fullmatch(text) is not None


def year_typed(text: str) -> int | None:
    """Return the year at a typed title's end."""
    found = _YEAR.search(text)
    return None if found is None or not text[: found.start()].strip() else int(found.group(1))


class TitleIndex:
    """Titles of a catalogue, ready to be searched.

    Parameters
    ----------
    titles
        Title of each item, by row; null where an item has none.
    weights
        How well known each item is (its number of ratings), shape (items,): of several titles that fit, the
        best known is taken.
    """

    def __init__(self, titles: pa.ChunkedArray | pa.Array, weights: Int64) -> None:
        self.titles: list[str] = [title or "" for title in titles.to_pylist()]
        self._weights = weights

    @cached_property
    def _plain(self) -> list[str]:
        return [plain_title(title) for title in self.titles]

    @cached_property
    def _words(self) -> pa.Array:
        return pa.array([f" {text} " for text in self._plain])

    @cached_property
    def _years(self) -> Int64:
        return np.array([year_typed(title) or 0 for title in self.titles], np.int64)

    @cached_property
    def _exact(self) -> dict[str, int]:
        rows = np.argsort(self._weights, kind="stable")
        return {self.titles[row].casefold(): int(row) for row in rows if self.titles[row]}

    def search(self, text: str, limit: int = 20, among: NDArray[np.bool_] | None = None) -> Int64:
        """Return the rows of the titles that fit what was typed so far, the best known first.

        Parameters
        ----------
        text
            Beginnings of words of the title, in any order; a year at the end must fit too. No text fits all.
        limit
            Rows to return at most.
        among
            Items to look at, bool, shape (items,); all if absent.
        """
        fits = self._containing(text, whole_words=False)
        if among is not None:
            fits &= among
        rows = np.flatnonzero(fits)
        if not len(rows):
            return self.nearest(text, limit, among, CLOSE_ENOUGH)
        plain = plain_title(text)
        begins = np.array([self._plain[row].startswith(plain) for row in rows])
        return rows[np.lexsort((rows, -self._weights[rows], ~begins))][:limit]

    def nearest(
        self, text: str, limit: int = 3, among: NDArray[np.bool_] | None = None, least: float = 0.0
    ) -> Int64:
        """Return the rows, shape (limit,) or fewer, of the titles most like a text, best first.

        With `among`, bool, shape (titles,), only of these; with `least` only those scored so high.
        """
        allowed = np.flatnonzero([bool(title) for title in self.titles] if among is None else among)
        likeness = self._likeness(plain_title(text), allowed)
        order = np.lexsort((allowed, -self._weights[allowed], -np.round(likeness)))
        return allowed[order[likeness[order] >= least]][:limit]

    def _likeness(self, plain: str, rows: Int64) -> Float32:
        """Return how like a reduced text the titles of some rows are, 0 to 100.

        A text may be a part of a longer title, but a short title inside the text, as "It", is not what was
        meant.
        """
        titles = [self._plain[row] for row in rows]
        likeness = process.cdist([plain], titles, scorer=fuzz.ratio)[0]
        longer = np.flatnonzero([len(title) > len(plain) for title in titles])
        if plain and len(longer):
            part = process.cdist([plain], [titles[k] for k in longer], scorer=fuzz.partial_ratio)[0]
            likeness[longer] = np.maximum(likeness[longer], np.float32(_PART) * part)
        return np.asarray(likeness, np.float32)

    def resolve(self, text: str) -> TitleMatch:
        """Find the one item a typed title means.

        A bare number is a title only as a whole: `300` is "300 (2006)", but `1` is not "Kill Bill: Vol. 1".

        Raises
        ------
        DataError
            If no title is like it; the nearest three are suggested.
        """
        exact = self._exact.get(text.strip().casefold())
        if exact is not None:
            return TitleMatch(exact, self.titles[exact], is_exact=True)
        row = self._best_known(self._same_words(text))
        if row is None and is_bare_number(text):
            raise self.unknown(text)
        if row is None:
            row = self._best_known(np.flatnonzero(self._containing(text, whole_words=True)))
        if row is None:
            row = self._mistyped(text)
        if row is None:
            raise self.unknown(text)
        return TitleMatch(row, self.titles[row], is_exact=False)

    def is_title(self, text: str) -> bool:
        """Tell whether a text is a whole title, case, year, accents and article aside."""
        return text.strip().casefold() in self._exact or bool(len(self._same_words(text)))

    def same(self, text: str) -> int | None:
        """Return the row of the title that has a text's very words and year, None where there is none."""
        exact = self._exact.get(text.strip().casefold())
        return self._best_known(self._same_words(text)) if exact is None else exact

    def unknown(self, text: str) -> DataError:
        """Make the error for a title that nothing is like."""
        near = "; ".join(repr(self.titles[row]) for row in self.nearest(text))
        return DataError(
            f"no title is like {text!r}",
            where="title",
            expected=f"one of the catalogue; the nearest are {near}",
        )

    def _fitting_year(self, rows: Int64, text: str) -> Int64:
        year = year_typed(text)
        return rows if year is None else rows[self._years[rows] == year]

    def _same_words(self, text: str) -> Int64:
        plain = plain_title(text)
        rows = np.flatnonzero([own == plain for own in self._plain]) if plain else np.empty(0, np.int64)
        return self._fitting_year(rows, text)

    def _containing(self, text: str, *, whole_words: bool) -> NDArray[np.bool_]:
        fits = np.array([bool(title) for title in self.titles])
        words = plain_title(text).split()
        if whole_words and not words:
            return np.zeros(len(fits), dtype=bool)
        for word in words:
            pattern = f" {word} " if whole_words else f" {word}"
            fits &= np.asarray(pc.match_substring(self._words, pattern))
        year = year_typed(text)
        return fits if year is None else fits & (self._years == year)

    def _mistyped(self, text: str) -> int | None:
        plain = plain_title(text)
        found = process.extract(plain, self._plain, scorer=fuzz.ratio, limit=20, score_cutoff=CLOSE_ENOUGH)
        rows = self._fitting_year(np.array([hit[2] for hit in found if hit[0]], np.int64), text)
        if not len(rows):
            return None
        best = max(fuzz.ratio(plain, self._plain[row]) for row in rows)
        return self._best_known(
            np.array([row for row in rows if fuzz.ratio(plain, self._plain[row]) > best - 1.0], np.int64)
        )

    def _best_known(self, rows: Int64) -> int | None:
        return int(rows[np.argmax(self._weights[rows])]) if len(rows) else None
