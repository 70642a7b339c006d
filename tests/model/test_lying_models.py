"""Numbers of a model that lie under checksums that hold: refused by name, no NaN in a list."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from daskals.config import TrainConfig
from daskals.errors import ModelError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.store.layout import sealed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((15, 30)) < 0.4)
    values, weights = rng.integers(1, 11, len(users)) / 2, rng.random(len(users)) + 0.5
    table = pd.DataFrame({"user": users, "item": items, "rating": values, "weight": weights})
    model = fit(table, TrainConfig.parse({"model": "als", "rank": 4, "epochs": 1, "test_fraction": 0.2}))
    assert model.order is not None
    path = tmp_path_factory.mktemp("lying") / "model"
    model.save(path)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.mark.parametrize(
    ("name", "lie", "expected"),
    [
        ("order/popularity", -0.5, r"finite numbers from 0 up to 1e\+12"),
        ("order/popularity", 3e38, r"finite numbers from 0 up to 1e\+12"),
        ("order/popularity", np.nan, "finite numbers"),
        ("order/correlations", 1.5, "finite numbers from 0 up to 1"),
        ("order/companions", 10**6, "numbers from 0 to "),
        ("order/scale", 0.0, "finite numbers above 0"),
        ("items/factors", np.inf, "finite numbers"),
    ],
)
def test_an_array_that_lies_is_named(folder: Path, name: str, lie: float, expected: str) -> None:
    array = zarr.open_array(folder / name, mode="r+")
    array[(0,) * array.ndim] = lie
    with pytest.raises(ModelError, match=f"{name} holds .*; expected {expected}"):
        Model.load(folder)


@pytest.mark.parametrize(
    "name", ["genre_exponent", "rating_weight", "popularity_weight", "ridge", "stale_weight"]
)
@pytest.mark.parametrize("lie", [-1.0, 1e300])
def test_a_weight_of_the_order_that_lies_is_named(folder: Path, name: str, lie: float) -> None:
    path = folder / "zarr.json"
    content = json.loads(path.read_text())
    told = {key: value for key, value in content["attributes"].items() if key != "checksum"}
    assert name in told["order"]
    content["attributes"] = sealed({**told, "order": {**told["order"], name: lie}})
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"{name} is damaged .*; expected the weights of an order"):
        Model.load(folder)
