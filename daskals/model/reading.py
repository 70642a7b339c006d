"""How ratings beside a model are read where nobody says it: as those that trained it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from daskals.config import ReadConfig
from daskals.ratings.columns import MissingColumnError

Read = TypeVar("Read")


def read_as_trained(
    report: Mapping[str, Any], config: ReadConfig, read: Callable[[ReadConfig], Read]
) -> Read:
    """Read ratings, and where no columns are named and the usual ones are not there, as those of training.

    Parameters
    ----------
    report
        The model's report: its columns, whether they have names, and what was no rating are taken.
    config
        How the ratings are read.
    read
        Reads them.

    Raises
    ------
    MissingColumnError
        Where neither finds the columns: as of the first.
    """
    try:
        return read(config)
    except MissingColumnError:
        trained = report["config"]
        if config.columns is not None or not trained.get("columns"):
            raise
        own = {"columns": trained["columns"], "no_header": config.no_header or bool(trained.get("no_header"))}
        own["leave_out_ratings"] = config.leave_out_ratings or trained.get("leave_out_ratings") or ()
        with suppress(MissingColumnError):
            return read(type(config).parse({**config.model_dump(), **own}))
        raise
