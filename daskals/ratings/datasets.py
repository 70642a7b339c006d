"""MovieLens data sets by name: fetched once, checked, unpacked into the user's cache."""

from __future__ import annotations

import difflib
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Literal

import pooch

from daskals.cache import VARIABLE, cache_folder
from daskals.errors import DatasetError, OutputError
from daskals.ratings.download_bar import DownloadBar
from daskals.ratings.movielens import RATINGS_FILES

DATASETS: tuple[str, ...] = (
    "ml-latest-small",
    "ml-100k",
    "ml-1m",
    "ml-10m",
    "ml-20m",
    "ml-25m",
    "ml-32m",
)
"""Data sets that can be fetched; each is the archive NAME.zip at the publisher's."""

SYNTHETIC_DATASETS: tuple[str, ...] = ("synthetic-100k", "synthetic-1m", "synthetic-32m")
"""Data sets that are made rather than fetched."""

PUBLISHER = "https://files.grouplens.org/datasets/movielens/"

MOST_UNPACKED_BYTES = 1 << 34
"""Of an archive, far above the largest that is published: a small one may unpack to any size."""

_CHUNK_BYTES = 1 << 18


def suggest_name(name: str) -> DatasetError:
    """Return the error for a name that is no data set's, with the nearest one that is."""
    names = (*DATASETS, *SYNTHETIC_DATASETS)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return DatasetError(
        f"no data set is called '{name}'",
        where="--dataset",
        expected=f"one of {', '.join(names)}",
        remedy=f"The nearest is {near[0]}" if near else "Name one of these, or the path of a file",
    )


def datasets_folder() -> Path:
    """Return the folder of the cache that holds archives and unpacked data sets."""
    return cache_folder() / "datasets"


def fetch_dataset(
    name: str, *, base_url: str = PUBLISHER, progress: Literal["show", "hide"] = "show"
) -> Path:
    """Return the folder of a data set, fetched, checked and unpacked if it is not in the cache yet.

    An archive NAME.zip that lies in `datasets_folder()` is used instead of a download, checked against
    NAME.zip.md5 where that lies there too.

    Parameters
    ----------
    name
        One of `DATASETS`.
    base_url
        Address the archives and their `.md5` files lie under.
    progress
        Whether a bar on the standard error shows the download.

    Raises
    ------
    DatasetError
        Where the name is unknown, the archive cannot be fetched, or it is damaged.
    OutputError
        Where the cache cannot be written.
    """
    if name not in DATASETS:
        raise suggest_name(name)
    folder = datasets_folder() / name
    if not folder.is_dir():
        try:
            _obtain(folder, base_url, progress)
        except OSError as error:
            raise OutputError(
                f"the cache cannot be written ({error.strerror})",
                where=str(folder.parent),
                expected="a folder that can be written, with room for the data set",
                remedy=f"Set {VARIABLE} to another folder",
            ) from None
    return folder


def parse_md5(text: str) -> str | None:
    """Find the digest in a checksum file: `MD5 (x.zip) = digest`, `digest  x.zip`, or the bare digest."""
    found = re.search(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])", text)
    return found.group().lower() if found else None


def _obtain(folder: Path, base_url: str, progress: Literal["show", "hide"]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f"{folder.name}.zip")
    if archive.is_file():
        _check_by_hand(archive)
        _unpack(archive, folder)
    else:
        _download(f"{base_url.rstrip('/')}/{archive.name}", archive, progress)
        _unpack(archive, folder)
        archive.unlink(missing_ok=True)


def _download(url: str, archive: Path, progress: Literal["show", "hide"]) -> None:
    digest = _expected_md5(url, archive)
    pooch.get_logger().setLevel("WARNING")
    with DownloadBar(archive.name, visible=progress == "show") as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK_BYTES)
        try:
            pooch.retrieve(
                url,
                known_hash=f"md5:{digest}",
                fname=archive.name,
                path=archive.parent,
                downloader=downloader,
            )
        except ValueError:
            raise DatasetError(
                "the archive arrived damaged: its MD5 is not the published one",
                where=url,
                expected=f"MD5 {digest}",
                remedy=f"Try again, or put a sound archive by hand at {archive}",
            ) from None
        except OSError as error:
            raise _unreachable(url, archive, error) from None


def _check_by_hand(archive: Path) -> None:
    checksum = archive.with_name(f"{archive.name}.md5")
    digest = parse_md5(checksum.read_text(errors="replace")) if checksum.is_file() else None
    if digest is not None and pooch.file_hash(str(archive), alg="md5") != digest:
        raise _damaged(archive, f"the archive is damaged: its MD5 is not that of {checksum.name}")


def _expected_md5(url: str, archive: Path) -> str:
    answer = io.BytesIO()
    try:
        pooch.HTTPDownloader()(f"{url}.md5", answer, None)
    except OSError as error:
        refused = getattr(error, "response", None) is not None
        raise _unreachable(f"{url}.md5" if refused else url, archive, error) from None
    digest = parse_md5(answer.getvalue().decode("ascii", errors="replace"))
    if digest is None:
        raise DatasetError(
            "the checksum file holds no MD5",
            where=f"{url}.md5",
            expected="32 hexadecimal digits",
            remedy=f"Put the archive by hand at {archive}",
        )
    return digest


def _unreachable(url: str, archive: Path, error: OSError) -> DatasetError:
    response = getattr(error, "response", None)
    reason = error.strerror or type(error).__name__
    if response is not None:
        reason = f"the server answers {response.status_code}"
    return DatasetError(
        f"cannot be fetched ({reason})",
        where=url,
        expected="a server that can be reached",
        remedy=f"Check the network, or put {archive.name} by hand into the folder {archive.parent}",
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside the final place and move there by one rename."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in opened.namelist():
                    _require_inside(archive, member)
                _require_room(archive, sum(entry.file_size for entry in opened.infolist()))
                opened.extractall(scratch)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _damaged(archive, f"the archive is damaged ({error})") from None
        found = [path.parent for name in RATINGS_FILES for path in sorted(Path(scratch).rglob(name))]
        if not found:
            raise _damaged(archive, "the archive holds no ratings")
        try:
            found[0].rename(folder)
        except OSError:
            # another process may have put the same folder there meanwhile
            if not folder.is_dir():
                raise


def _require_inside(archive: Path, member: str) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member:
        raise _damaged(archive, f"the archive wants to write outside its folder, '{member}'")


def _require_room(archive: Path, n_bytes: int) -> None:
    """Refuse an archive that would fill the disk: no more is unpacked than it says it holds."""
    if n_bytes > MOST_UNPACKED_BYTES:
        raise _damaged(archive, f"the archive would unpack to {n_bytes:,} bytes")
    if n_bytes > shutil.disk_usage(archive.parent).free:
        raise OutputError(
            f"the archive unpacks to {n_bytes:,} bytes, more than the disk has room for",
            where=str(archive),
            expected="free space for the data set",
            remedy=f"Free some, or name another folder in {VARIABLE}",
        )


def _damaged(archive: Path, found: str) -> DatasetError:
    return DatasetError(
        found,
        where=str(archive),
        expected="a MovieLens archive as published",
        remedy="Delete it and fetch it again",
    )
