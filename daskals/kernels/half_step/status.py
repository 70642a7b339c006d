"""Statuses of a block's rows: what a kernel can say of one, and the error that says it to the caller."""

from __future__ import annotations

import numpy as np

from daskals.errors import RowError
from daskals.types import Int64

OK, BAD_INDEX, BAD_PIVOT, NOT_FINITE = 0, 1, 2, 3

STATUS_TEXTS = {
    BAD_INDEX: "an index points past the other side's last row",
    BAD_PIVOT: "the ridge equations are not positive definite",
    NOT_FINITE: "the solution is not finite",
}


def raise_first(status: Int64, start: int) -> None:
    """Raise the RowError of the first row whose status, shape (rows,), is not OK, if there is one."""
    bad = np.flatnonzero(status)
    if len(bad):
        raise RowError(STATUS_TEXTS[int(status[bad[0]])], row=start + int(bad[0]))
