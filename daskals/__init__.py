"""daskals: matrix factorisation of explicit ratings by alternating least squares, on Dask."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskals.config import TrainConfig
    from daskals.fitting.fit import cross_validate, fit
    from daskals.ingest import ingest
    from daskals.model.filters import Filters
    from daskals.model.fitted import Model
    from daskals.registry.open_model import load_model
    from daskals.store.reader import open_store

__version__ = "0.1.0"
__all__ = ["Filters", "Model", "TrainConfig", "cross_validate", "fit", "ingest", "load_model", "open_store"]

_HOMES = {
    "TrainConfig": "daskals.config",
    "cross_validate": "daskals.fitting.fit",
    "fit": "daskals.fitting.fit",
    "ingest": "daskals.ingest",
    "Filters": "daskals.model.filters",
    "Model": "daskals.model.fitted",
    "load_model": "daskals.registry.open_model",
    "open_store": "daskals.store.reader",
}


class _Package(ModuleType):
    """The package, of which the import of the module `daskals.ingest` does not hide the function `ingest`."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    # numba, distributed and zarr take seconds to import; a command that only prints its help needs none
    if name not in _HOMES:
        raise AttributeError(f"module 'daskals' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
