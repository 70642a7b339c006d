"""The state of a run between two epochs: all that the rest of it depends on, held by the driving process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daskals.training.events import EpochFinished
from daskals.types import SIDES, Side


@dataclass(frozen=True)
class TrainingState:
    """What an epoch leaves to the next.

    `history`: the epochs so far; `rows`: factor rows of the sides that the next epoch depends on: the items',
    those of times, and the users' where a solve starts from the rows as they are; `weights`: W of the sides
    that have features, float64, shape (features, rank + 1).
    """

    history: tuple[EpochFinished, ...]
    rows: dict[Side, NDArray[np.float32]]
    weights: dict[Side, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a checkpoint stores them."""
        named: dict[str, NDArray[Any]] = {f"{side}s/rows": rows for side, rows in self.rows.items()}
        return named | {f"{side}s/weights": values for side, values in self.weights.items()}

    def attributes(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"history": [asdict(record) for record in self.history]}

    @classmethod
    def from_stored(cls, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build a state from what a checkpoint stored; raise KeyError where that lacks something."""
        sides: tuple[Side, ...] = (*SIDES, "time")
        rows = {side: arrays[f"{side}s/rows"] for side in sides if f"{side}s/rows" in arrays}
        return cls(
            history=tuple(EpochFinished(**record) for record in attributes["history"]),
            rows={**rows, "item": arrays["items/rows"]},
            weights={side: arrays[f"{side}s/weights"] for side in sides if f"{side}s/weights" in arrays},
        )
