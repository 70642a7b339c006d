"""Quotes in texts that nobody doubled: rows behind them must not be lost without a word."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from daskals.errors import DataError
from daskals.ratings import quotes
from daskals.ratings.quotes import StrayQuote, find_stray_quote
from daskals.ratings.source import read_ratings

N = 40


def reviews(sign: str, texts: dict[int, str]) -> str:
    rows = [(str(k % 9), str(k % 7), str(k % 5 + 1), texts.get(k, f"good {k}")) for k in range(N)]
    return "\n".join(sign.join(row) for row in [("user_id", "item_id", "rating", "review"), *rows]) + "\n"


@pytest.mark.parametrize("sign", ["\t", ",", ";", "|"])
@pytest.mark.parametrize(
    "texts", [{5: '"12 inches'}, {5: '"12 inches', 15: 'ends here"'}, {5: '"a', 9: '"b'}]
)
def test_rows_behind_a_quote_that_is_not_closed__are_read(tmp_path, caplog, sign, texts):
    """Of the first 34 of 40 rows were lost, of the second 10."""
    path = tmp_path / "r.txt"
    path.write_text(reviews(sign, texts))
    assert read_ratings(path).n_input == N
    assert f"{path}, line 7: a quote opens and does not close: quotes are read as they stand" in caplog.text


def test_rows_that_do_not_fit_without_quotes__are_an_error(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(reviews(",", {3: '"good, really"', 5: '"12 inches'}))
    with pytest.raises(DataError, match=r"r\.csv, line 7: a quote that is not closed, in whose text 34 rows"):
        read_ratings(path)


@pytest.mark.parametrize("chunk", [16, 1 << 24])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_texts_of_several_lines__are_texts(tmp_path, monkeypatch, caplog, chunk, pack):
    monkeypatch.setattr(quotes, "_CHUNK_BYTES", chunk)
    text = '"Great, with a salad.\nCooked on top, ""15 minutes""\r\n\r\nyum, yum, yum"'
    path = tmp_path / "r.csv"
    path.write_bytes(pack(reviews(",", dict.fromkeys(range(0, N, 3), text) | {1: "5' 11\" tall"}).encode()))
    assert read_ratings(path).n_input == N
    assert not caplog.records


@pytest.mark.parametrize("chunk", [16, 100, 1 << 24])
def test_a_stray_quote_is_found_in_whatever_chunks(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(quotes, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(quotes, "_MOST_OPEN", 400)
    path = Path(tmp_path / "r.csv")
    path.write_text(reviews(",", {3: '"two\nlines"', 30: '"12 inches'}))
    found = find_stray_quote(path, ",", 4)
    assert isinstance(found, StrayQuote)
    assert found.line == 33
    path.write_text(reviews(",", {3: '"two\nlines"', 30: "12 inches"}))
    assert find_stray_quote(path, ",", 4) is None
