"""Arrays of a model: what each must be, which of them must fit one another, and numbers that code goes by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import StoreError
from daskals.store.ranges import ANY, WEIGHTS, Bounds, check_below, check_finite, check_starts

_REMEDY = "Restore it from a copy, or make it anew"


_MOMENTS = 255
"""What the ages of ratings, a byte each, are told by."""

_FLOATS = ("float64", "float32")


class Form(NamedTuple):
    """What an array must be: one of some kinds, and the sizes of its axes by name, "" for any."""

    kinds: tuple[str, ...]
    axes: tuple[str, ...]


FORMS = {
    **{
        f"{side}/{name}": form
        for side in ("users", "items")
        for name, form in {
            "factors": Form(("float32",), (side, "rank")),
            "biases": Form(("float32",), (side,)),
            "counts": Form(("int64",), (side,)),
            "prior": Form(_FLOATS, ("", "rank + 1")),
        }.items()
    },
    "samples/users": Form(("float32",), ("users", "samples", "rank + 1")),
    "samples/items": Form(("float32",), ("items", "samples", "rank + 1")),
    "samples/means": Form(_FLOATS, ("samples",)),
    "samples/user_spread": Form(_FLOATS, ("samples", "rank + 1", "rank + 1")),
    "samples/item_spread": Form(_FLOATS, ("samples", "rank + 1", "rank + 1")),
    "times/bins": Form(("int64",), ("bins",)),
    "times/counts": Form(("int64",), ("bins",)),
    "times/factors": Form(("float32",), ("dates", "rank")),
    "times/user_factors": Form(("float32",), ("dates", "rank")),
    "times/biases": Form(("float32",), ("dates",)),
    "samples/times": Form(("float32",), ("dates", "samples", "rank + 1")),
    "samples/time_spread": Form(_FLOATS, ("samples", "rank + 1", "rank + 1")),
    "ratings/indptr": Form(("int64",), ("users + 1",)),
    "ratings/items": Form(("int32",), ("n_train",)),
    "ratings/values": Form(("uint8", "float32"), ("n_train",)),
    "ratings/scale": Form(("float32",), ("codes",)),
    "ratings/weights": Form(("float32",), ("n_train",)),
    "ratings/dates": Form(("int32",), ("n_train",)),
    "ratings/ages": Form(("uint8",), ("n_train",)),
    "held_out/indptr": Form(("int64",), ("users + 1",)),
    "held_out/items": Form(("int32",), ("n_held_out",)),
    "order/items": Form(("int64",), ("core",)),
    "order/products": Form(("float32",), ("", "core")),
    "order/scale": Form(("float32",), ("",)),
    "order/variances": Form(("float32",), ("",)),
    "order/popularity": Form(("float32",), ("items",)),
    "order/moments": Form(("int64",), ("",)),
    "order/companions": Form(("int32",), ("core", "companions")),
    "order/correlations": Form(("float32",), ("core", "companions")),
}
"""Arrays of a model's folder that this daskals knows; those of a later one it leaves alone."""

_BOUNDS = {
    "order/popularity": Bounds(least=0.0, most=1e12),
    "order/scale": Bounds(above=0.0),
    "order/variances": Bounds(above=0.0),
    "order/correlations": Bounds(least=0.0, most=1.0),
    "ratings/weights": WEIGHTS,
}
"""Where code takes roots and powers of numbers, or divides by them."""

_SAMPLED_TIMES = ("samples/times", "samples/time_spread")

_TOGETHER = (
    tuple(f"{side}/{name}" for side in ("users", "items") for name in ("factors", "biases", "counts")),
    tuple(name for name in FORMS if name.startswith("samples/") and name not in _SAMPLED_TIMES),
    ("times/bins", "times/counts", "times/factors"),
    _SAMPLED_TIMES,
    ("times/user_factors", "times/biases"),
    ("ratings/indptr", "ratings/items", "ratings/values"),
    ("held_out/indptr", "held_out/items"),
    ("order/items", "order/products", "order/scale", "order/popularity"),
    ("order/companions", "order/correlations"),
)
"""Arrays that are there all together or not at all; the first always."""

_NEEDED = (
    ("samples/times", "samples/users"),
    ("samples/times", "times/bins"),
    ("times/biases", "times/bins"),
    ("ratings/dates", "times/bins"),
    ("ratings/dates", "ratings/indptr"),
    ("ratings/ages", "ratings/indptr"),
    ("ratings/ages", "order/moments"),
    ("order/moments", "order/items"),
    ("order/companions", "order/items"),
)
"""Arrays, and another that each of them cannot do without."""


def check_shapes(shapes: Mapping[str, tuple[int, ...]], rank: int, where: str) -> None:
    """Raise StoreError where a shape that the manifest claims does not fit the others, before any is read."""
    for number, names in enumerate(_TOGETHER):
        missing = [name for name in names if name not in shapes]
        if missing and (number == 0 or len(missing) < len(names)):
            raise StoreError(
                f"lacks {', '.join(missing)}", where=where, expected="all of a model", remedy=_REMEDY
            )
    _check_needed(shapes, where)
    sizes = {"rank": rank, "rank + 1": rank + 1}
    for name, form in FORMS.items():
        if name not in shapes:
            continue
        shape = shapes[name]
        for axis, size in zip(form.axes, shape, strict=False):
            expected = sizes.setdefault(axis, size) if axis else size
            if axis == "users":
                sizes["users + 1"] = size + 1
            if expected != size:
                break
        else:
            if len(shape) == len(form.axes):
                continue
        expected_shape = [str(sizes.get(axis, "any")) for axis in form.axes]
        raise StoreError(
            f"{name} has shape {shape}",
            where=where,
            expected=f"({', '.join(expected_shape)})",
            remedy=_REMEDY,
        )


def _check_needed(shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise StoreError where an array is there without another that it is nothing without."""
    # dates are predicted by samples, or after an update by factors
    by_samples = ("times/bins", "samples/times" if "samples/users" in shapes else "times/biases")
    for name, other in (*_NEEDED, by_samples):
        if name in shapes and other not in shapes:
            raise StoreError(
                f"lacks {other}, but has {name}", where=where, expected="all of a model", remedy=_REMEDY
            )


def check_numbers(arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Raise StoreError where numbers that code goes by are out of their range, by the array's name."""
    n_items = len(arrays["items/biases"])
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            check_finite(values, name=name, where=where, bounds=_BOUNDS.get(name, ANY))
    for name in ("users/counts", "items/counts"):
        check_below(arrays[name], 1 << 48, name=name, where=where)
    if "times/bins" in arrays:
        check_below(arrays["times/counts"], 1 << 48, name="times/counts", where=where)
        if not len(arrays["times/bins"]) or bool(np.any(np.diff(arrays["times/bins"]) <= 0)):
            raise StoreError(
                "times/bins are not in order", where=where, expected="ascending numbers", remedy=_REMEDY
            )
    for group in ("ratings", "held_out"):
        if f"{group}/indptr" in arrays:
            items = arrays[f"{group}/items"]
            check_starts(
                arrays[f"{group}/indptr"],
                first=0,
                last=len(items),
                is_end=True,
                name=f"{group}/indptr",
                where=where,
            )
            check_below(items, n_items, name=f"{group}/items", where=where)
    if "ratings/values" in arrays:
        _check_codes(arrays["ratings/values"], arrays.get("ratings/scale"), where)
    if "order/items" in arrays:
        _check_order(arrays, n_items, where)


def _check_codes(values: NDArray[Any], scale: NDArray[Any] | None, where: str) -> None:
    if (values.dtype == np.uint8) != (scale is not None):
        raise StoreError(
            f"ratings/values is of {values.dtype.name} {'without a' if scale is None else 'with a'} scale",
            where=where,
            expected="codes with a scale, or ratings without one",
            remedy=_REMEDY,
        )
    if scale is not None:
        check_below(values, len(scale), name="ratings/values", where=where)


def _check_order(arrays: Mapping[str, NDArray[Any]], n_items: int, where: str) -> None:
    for name in ("order/items", "order/companions"):
        if name in arrays:
            check_below(arrays[name], n_items, name=name, where=where)
    moments = arrays.get("order/moments")
    if moments is not None and (len(moments) != _MOMENTS or bool(np.any(np.diff(moments) < 0))):
        raise StoreError(
            f"order/moments, {len(moments):,}, are not in order",
            where=where,
            expected=f"{_MOMENTS} ascending numbers",
            remedy=_REMEDY,
        )
    core = len(arrays["order/items"])
    lengths = {
        name: len(arrays[f"order/{name}"]) for name in ("scale", "variances") if f"order/{name}" in arrays
    }
    is_square = len(arrays["order/products"]) == core
    if any(length not in (0, core) for length in lengths.values()) or (
        not lengths["scale"] and not is_square
    ):
        raise StoreError(
            f"order/products has shape {arrays['order/products'].shape} beside {lengths}",
            where=where,
            expected=f"arrays of {core:,} items",
            remedy=_REMEDY,
        )
