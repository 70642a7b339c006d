"""How ratings are read, as one value that every reader takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from daskals.config import ReadConfig
from daskals.ratings.catalogue import Catalogue
from daskals.ratings.columns import check_columns
from daskals.ratings.duplicates import Duplicates
from daskals.ratings.raw import Invalid
from daskals.ratings.sniff import Header


@dataclass(frozen=True)
class Reading:
    """How ratings are read, and what is done about rows that are bad, none, later, or there twice.

    Attributes
    ----------
    columns
        Role (`user`, `item`, `rating`, `timestamp`, `weight`) → name of the column; None for the usual names.
    duplicates
        Which rating of a duplicated pair holds: the last or first by timestamp (ties and inputs
        without timestamps: by file order), their mean or sum at the place of the last, or none (an error).
    invalid
        Whether a row that cannot be used ends the reading or is dropped and counted.
    leave_out
        Values that are no rating, as -1 or 99: their rows are dropped and counted, before duplicates are
        settled.
    until
        Last second since 1970 of which anything may be known: later rows are left out before duplicates are
        settled; everything if None.
    header
        Whether the first line of a text file may name its columns; without names they are 1, 2, ….
    catalogue
        What is known of the items, instead of what lies beside the ratings; see
        `ratings.item_catalogue.read_items`.
    least
        Users and items there have to be: two to train on, one for what is added to them.
    clicks
        Whether rows without a rating are observations, though `columns` does not say so.
    """

    columns: Mapping[str, str] | None = None
    duplicates: Duplicates = "last"
    invalid: Invalid = "error"
    leave_out: Collection[float] = ()
    until: int | None = None
    header: Header = "find"
    catalogue: Catalogue | None = None
    least: int = 2
    clicks: bool = False

    def __post_init__(self) -> None:
        """Check the columns; raise ConfigError where they are not understood."""
        if self.columns is not None:
            check_columns(self.columns)

    @classmethod
    def of(cls, config: ReadConfig, **more: Any) -> Self:
        """Return what options say, and more that none says.

        Raises ConfigError where the columns are not understood.
        """
        said = cls(
            columns=config.columns,
            duplicates=config.duplicates,
            invalid=config.invalid,
            leave_out=config.leave_out_ratings,
            header="none" if config.no_header else "find",
            clicks=config.takes_clicks,
        )
        return replace(said, **more)


AS_USUAL = Reading()
"""Without anything said."""
