"""Original ids as Zarr can hold them: 64-bit integers or strings, never floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def ids_to_numpy(ids: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Return ids as int64, or as NumPy's variable-length strings, shape (ids,)."""
    if pa.types.is_integer(ids.type):
        return np.asarray(ids.to_numpy(), dtype=np.int64)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def ids_from_numpy(values: NDArray[Any]) -> pa.Array:
    """Return stored ids, shape (ids,), as an Arrow array of int64 or string."""
    if values.dtype.kind == "i":
        return pa.array(values, pa.int64())
    return pa.array(values.tolist(), pa.string())
