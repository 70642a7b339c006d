"""MovieLens folders of every generation: which file holds what, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from daskals.errors import DataError
from daskals.ratings.catalogue import GENRES_TYPE, Catalogue, split_genres, years_of_titles
from daskals.ratings.columns import KNOWN_NAMES, first_known
from daskals.ratings.encodings import decoded, read_encoded
from daskals.ratings.item_catalogue import NAMES, read_items
from daskals.ratings.layout import COMMAS, read_head
from daskals.ratings.packing import PACKED_SUFFIXES, unpacked_name

RATINGS_FILES = (
    "ratings.csv",
    *(f"ratings.csv{suffix}" for suffix in PACKED_SUFFIXES),
    "ratings.dat",
    "u.data",
)
"""Files that hold the ratings of a folder, in order of preference."""

STANDARD_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""Genres of the flag columns of `u.item` where no `u.genre` names them."""

_UNIT = "\x1f"
_RATINGS = re.compile(r"rating(?P<many>s?)(?:[-_.].+)?\.(?:csv|parquet)")
"""The one file of a folder, or one of several that share its catalogue, as `ratings-2024-05-01.csv`."""


def catalogue_files(ratings: Path) -> dict[str, Path]:
    """Return the files beside a ratings file that describe its items: role → path, where they exist."""
    name = unpacked_name(ratings)
    if (called := _RATINGS.fullmatch(name)) is not None:
        s = called["many"]  # of some copies all names are in the singular
        roles = {"items": f"movie{s}.csv", "tags": f"tag{s}.csv", "links": f"link{s}.csv"}
    elif name == "ratings.dat":
        roles = {"items": "movies.dat", "tags": "tags.dat"}
    elif name == "u.data" or (name.startswith("u") and name.endswith((".base", ".test"))):
        roles = {"items": "u.item", "genres": "u.genre"}
    else:
        return {}
    found = {role: ratings.with_name(file) for role, file in roles.items()}
    found = {role: path for role, path in found.items() if path.is_file()}
    return found if "items" in found else {}


def read_catalogue(files: dict[str, Path]) -> Catalogue | None:
    """Read the files that `catalogue_files` found.

    Raises
    ------
    DataError
        Where one of them cannot be read or lacks a column.
    """
    if not files:
        return None
    items = files["items"]
    if items.name == "u.item":
        return _read_flagged(items, files.get("genres"))
    if _is_of_others(items):
        return read_items(items)
    table = _read_texts(items, ("item", "title", "genres"))
    columns = {"title": table["title"], "year": years_of_titles(table["title"])}
    columns["genres"] = split_genres(table["genres"])
    ids = table["item"].combine_chunks()
    if "links" in files:
        links = _read_texts(files["links"], ("item", "imdbId", "tmdbId"))
        index = pc.index_in(ids, value_set=links["item"].combine_chunks())
        columns["imdb_id"] = _blank_to_null(links["imdbId"]).take(index)
        columns["tmdb_id"] = _whole_numbers(links["tmdbId"]).take(index)
    return Catalogue(ids, pa.table(columns), _read_tags(files.get("tags")))


def _is_of_others(path: Path) -> bool:
    """Tell whether a file names its columns otherwise than MovieLens does, and has ids and titles."""
    if path.suffix == ".dat":
        return False
    names = read_head(path, COMMAS).names
    if all(set(KNOWN_NAMES.get(role, (role,))) & set(names) for role in ("item", "title", "genres")):
        return False
    return all(first_known(names, NAMES[role]) is not None for role in ("item", "title"))


def _read_tags(path: Path | None) -> pa.Table | None:
    if path is None:
        return None
    table = _read_texts(path, ("user", "item", "tag", "timestamp"))
    seconds = _whole_numbers(table["timestamp"])
    return pa.table(
        {"user_id": table["user"], "item_id": table["item"], "tag": table["tag"], "timestamp": seconds}
    )


def _read_flagged(path: Path, genres: Path | None) -> Catalogue:
    """Read `u.item`: id, title, release date, video release date, link, then one flag a genre."""
    names = STANDARD_GENRES if genres is None else _genre_names(genres)
    fields = ("item", "title", "released", "video", "link", *names)
    table = _parse(path, _decoded(path).replace("|", _UNIT), fields)
    flags = np.column_stack([pc.equal(table[name], "1").to_numpy() for name in names])
    rows, columns = np.nonzero(flags)
    offsets = np.searchsorted(rows, np.arange(len(flags) + 1)).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(list(names)).take(pa.array(columns)))
    released = pc.struct_field(pc.extract_regex(table["released"], pattern=r"(?P<year>[0-9]{4})\s*$"), "year")
    years = pc.coalesce(years_of_titles(table["title"]), released.cast(pa.int32()))
    items = pa.table({"title": table["title"], "year": years, "genres": lists.cast(GENRES_TYPE)})
    return Catalogue(table["item"].combine_chunks(), items)


def _genre_names(path: Path) -> tuple[str, ...]:
    """Read `u.genre`: name and number of each genre, in the order of the flags."""
    lines = [line for line in _decoded(path).splitlines() if line.strip()]
    return tuple(line.rpartition("|")[0] for line in lines)


def _read_texts(path: Path, roles: tuple[str, ...]) -> pa.Table:
    """Read a file of the catalogue as texts, its columns by role."""
    if path.suffix == ".dat":
        return _parse(path, _decoded(path).replace("::", _UNIT), roles)
    head = read_head(path, COMMAS)
    chosen = [_column(path, head.names, role) for role in roles]

    def read(encoding: str) -> pa.Table:
        return arrow_csv.read_csv(
            str(path),
            read_options=arrow_csv.ReadOptions(
                column_names=head.names, skip_rows=head.n_lines, encoding=encoding
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=chosen, column_types=dict.fromkeys(chosen, pa.string())
            ),
        )

    try:
        return read_encoded(path, read).rename_columns(list(roles))
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None


def _column(path: Path, found: Sequence[str], role: str) -> str:
    names = KNOWN_NAMES.get(role, (role,))
    name = next((known for known in names if known in found), None)
    if name is None:
        raise DataError(
            f"no column {' or '.join(names[:2])}; columns found: {', '.join(found)}",
            where=str(path),
            expected="the columns of a MovieLens folder",
            remedy="Correct the file's header, or move the file away to go without it",
        )
    return name


def _parse(path: Path, text: str, fields: tuple[str, ...]) -> pa.Table:
    """Parse text whose fields are separated by the unit separator, all as texts."""
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(text.encode()),
            read_options=arrow_csv.ReadOptions(column_names=fields),
            parse_options=arrow_csv.ParseOptions(delimiter=_UNIT, quote_char=False),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(fields, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _unreadable(path, error) from None


def _decoded(path: Path) -> str:
    """Return a file's text: UTF-8 (ML-10M), or as of ML-100K and ML-1M, Latin-1, which a note says."""
    try:
        return decoded(path, path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from None


def _whole_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn texts into int64, null where a text is no whole number."""
    digits = pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$")
    return pc.if_else(digits, texts, None).cast(pa.int64())


def _blank_to_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot be read ({error})",
        where=str(path),
        expected="a file of a MovieLens folder",
        remedy="Correct the file, or move it away to go without it",
    )
