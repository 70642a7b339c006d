"""A model on disk: Zarr arrays, ids and a manifest in one folder; no pickle.

MODEL/                                a Zarr v3 group; its attributes are the manifest
  users/{factors,biases,counts}       float32 (users, rank), float32 (users,), int64 (users,)
  items/{factors,biases,counts}       the same for items
  users/prior, items/prior            weights of the sides' features, float64 (only where there are some)
  samples/{users,items}               float32 (rows, samples, rank + 1), of Bayesian models only
  samples/{means,user_spread,item_spread}  float64: global means and prior covariances of the samples
  samples/{times,time_spread}         the same of a third side of time (only with one)
  times/{bins,counts,factors}         int64 (bins,), int64 (bins,), float32 (dates, rank)
  times/{user_factors,biases}         float32 (dates, rank), float32 (dates,)
  ratings/{indptr,items,values,scale}  training ratings by user, with dates their day, week or month;
                                      held_out/{indptr,items} (only where kept)
  ids/{users,items}                   original ids, int64 or string
  catalogue.parquet                   one row an item (only if there is a catalogue)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from daskals.errors import ModelError, NewerFormatError, StoreError
from daskals.store.arrays import (
    TEXT,
    open_for_reading,
    open_for_writing,
    read_attributes,
    read_whole,
    write_array,
    write_group,
)
from daskals.store.atomic_folder import Existing, staged_directory
from daskals.store.checked import checked
from daskals.store.ids import ids_from_numpy, ids_to_numpy
from daskals.store.layout import CATALOGUE_FILE, Finite, Sha256, check_version
from daskals.store.model_checks import FORMS, check_numbers, check_shapes
from daskals.store.tables import check_catalogue, read_table, table_digest

_REMEDY = "Restore it, or train it anew"

MODEL_FORMAT = "daskals-model"
MODEL_FORMAT_VERSION = 5
"""Of models whose dates have features; of others with dates and no samples 4, of those with samples in a unit
of their own 3, of those that saw ratings through a curve 2, of others 1: an older reader would leave that
out, or miss what is not there."""


@dataclass(frozen=True)
class _Manifest:
    """What every model's attributes must hold; a part of a model checks its own."""

    rank: Annotated[int, Field(ge=0, lt=1 << 20)]
    mean: Finite
    limits: tuple[Finite, Finite]
    report: dict[str, Any]
    arrays: dict[str, tuple[Annotated[int, Field(ge=0)], ...]]
    has_catalogue: bool
    tables: dict[str, Sha256] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredModel:
    """The content of a model folder.

    Attributes
    ----------
    attributes
        The manifest beside format and array shapes: rank, mean, limits, report, and a curve if there is one.
    arrays
        Named as in the folder.
    user_ids, item_ids
        Original ids, int64 or string.
    catalogue
        One row an item, or None.
    """

    attributes: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    user_ids: pa.Array
    item_ids: pa.Array
    catalogue: pa.Table | None


def write_model(path: Path, model: StoredModel, *, existing: Existing) -> None:
    """Write a model folder that appears whole or not at all; raise OutputError where it cannot."""
    with staged_directory(path.absolute(), existing=existing) as folder:
        store = open_for_writing(folder)
        try:
            for group in sorted({"ids", *(name.partition("/")[0] for name in model.arrays)}):
                write_group(store, group, {})
            for name, values in model.arrays.items():
                write_array(store, name, values, by_bits=name.startswith("samples/"))
            write_array(store, "ids/users", ids_to_numpy(model.user_ids))
            write_array(store, "ids/items", ids_to_numpy(model.item_ids))
            tables = {}
            if model.catalogue is not None:
                pq.write_table(model.catalogue, folder / CATALOGUE_FILE, write_page_checksum=True)
                tables = {CATALOGUE_FILE: table_digest(folder / CATALOGUE_FILE)}
            shapes = {name: list(values.shape) for name, values in model.arrays.items()}
            attributes = {
                "format": MODEL_FORMAT,
                "format_version": _version_of(model.attributes),
                "arrays": shapes,
                "has_catalogue": model.catalogue is not None,
                "tables": tables,
                **model.attributes,
            }
            write_group(store, "", attributes)
        finally:
            store.stop()


def _version_of(attributes: Mapping[str, Any]) -> int:
    if "time_features" in attributes:
        return MODEL_FORMAT_VERSION
    if "time_unit" in attributes and "noise_variance" not in attributes:
        return 4
    if "sample_unit" in attributes:
        return 3
    return 2 if "curve" in attributes else 1


def read_model(path: Path) -> StoredModel:
    """Read a model folder whole; raise ModelError where it is none, damaged, or of a newer format."""
    where = str(path)
    if not (path / "zarr.json").is_file():
        raise ModelError(
            "is no model folder" if path.exists() else "does not exist",
            where=where,
            expected="the model folder of a run, or the run's folder",
            remedy="Train one with daskals train",
        )
    try:
        store = open_for_reading(where)
        attributes = read_attributes(store, "")
        check_version(attributes, MODEL_FORMAT, where, MODEL_FORMAT_VERSION)
        manifest = checked(
            _Manifest, attributes, where, StoreError, expected="attributes of a model", remedy=_REMEDY
        )
        shapes = {name: shape for name, shape in manifest.arrays.items() if name in FORMS}
        check_shapes(shapes, manifest.rank, where)
        arrays = {name: read_whole(store, name, shape, FORMS[name].kinds) for name, shape in shapes.items()}
        check_numbers(arrays, where)
        n_users, n_items = len(arrays["users/biases"]), len(arrays["items/biases"])
        ids = ("int64", TEXT)
        return StoredModel(
            attributes=attributes,
            arrays=arrays,
            user_ids=ids_from_numpy(read_whole(store, "ids/users", (n_users,), ids)),
            item_ids=ids_from_numpy(read_whole(store, "ids/items", (n_items,), ids)),
            catalogue=check_catalogue(
                read_table(where, CATALOGUE_FILE, manifest.tables.get(CATALOGUE_FILE)), n_items, where
            )
            if manifest.has_catalogue
            else None,
        )
    except NewerFormatError as error:
        raise ModelError(
            error.found, where=error.where, expected=error.expected, remedy="Update daskals, or train it anew"
        ) from error
    except StoreError as error:
        raise ModelError(error.found, where=error.where, expected=error.expected, remedy=_REMEDY) from error
    except (OSError, pa.ArrowException) as error:
        raise ModelError(
            f"is incomplete or damaged ({type(error).__name__}: {error})",
            where=where,
            remedy=_REMEDY,
        ) from error
