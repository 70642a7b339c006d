"""Features of rows: shares of catalogue values, who rated what from training ratings alone, and bad names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError
from daskals.ingest import ingest, open_ratings
from daskals.kernels.prior import features as kernels
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split, load_block
from daskals.training.features import (
    describe_features,
    describe_gaps,
    features_section,
    load_features,
    resolve_model,
    side_features,
)
from daskals.types import TRAIN

MOVIES = """movieId,title,genres
10,First (1990),Drama|Comedy
20,Second (1995),Drama
30,Third (1995),(no genres listed)
40,Fourth,Drama|Comedy
50,Never rated (2001),Horror
"""


def dense(rows: kernels.FeatureRows) -> np.ndarray:
    out = np.zeros((rows.n_rows, rows.n_features))
    for row in range(rows.n_rows):
        here = slice(rows.indptr[row], rows.indptr[row + 1])
        out[row, rows.indices[here]] = rows.values[here]
    return out


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    pairs = [(1, 10), (1, 20), (2, 20), (2, 30), (2, 40), (3, 10)]
    lines = [f"{user},{item},{1 + user},{100 + n}" for n, (user, item) in enumerate(pairs)]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
    (folder / "movies.csv").write_text(MOVIES)
    return ingest(folder, folder / "store")


@pytest.fixture(scope="module")
def split(store):
    return ensure_split(store, SplitSpec(method="none"))


def load(store, split, side, columns):
    spec = describe_features(store, side, columns)
    n = store.n_rows(side)
    block = load_block(store.path, side, 0, n, split.key, TRAIN)
    return spec, load_features(store.path, spec, 0, n, block)


def test_genres_are_shares_and_no_genres_is_a_genre(store, split):
    spec, rows = load(store, split, "item", ("genres",))
    section = features_section(store, {"item": spec})["item"]
    assert section[0]["values"] == ["Drama", "Comedy", "(no genres listed)", "Horror"]
    expected = [[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(dense(rows), expected)
    np.testing.assert_array_equal(rows.patterns, [0, 1, 2, 0, 3])


def test_columns_stand_side_by_side(store, split):
    spec, rows = load(store, split, "item", ("year", "genres"))
    assert spec.sizes == (3, 4)
    section = features_section(store, {"item": spec})["item"]
    assert section[0] == {"column": "year", "n_features": 3, "values": ["1990", "1995", "2001"]}
    years = [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(dense(rows)[:, :3], years)
    np.testing.assert_array_equal(dense(rows)[:, 3:], dense(load(store, split, "item", ("genres",))[1]))


def test_users_have_the_mean_of_what_they_rated(store, split):
    _, rows = load(store, split, "user", ("genres",))
    np.testing.assert_allclose(dense(rows)[0], [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(dense(rows)[1], [0.5, 1 / 6, 1 / 3, 0], rtol=1e-6)


def test_implicit_is_who_rated_what_to_unit_length(store, split):
    _, rows = load(store, split, "user", ("implicit",))
    half, third = 1 / np.sqrt(2), 1 / np.sqrt(3)
    np.testing.assert_allclose(
        dense(rows), [[half, half, 0, 0, 0], [0, third, third, third, 0], [1, 0, 0, 0, 0]], rtol=1e-6
    )
    spec, both = load(store, split, "item", ("genres", "implicit"))
    assert spec.sizes == (4, 3)
    np.testing.assert_allclose(dense(both)[1, 4:], [half, half, 0], rtol=1e-6)


def test_implicit_sees_training_ratings_only():
    rng = np.random.default_rng(5)
    trained = [(u, i) for u in range(8) for i in range(12) if (u * 5 + i * 7) % 3 == 0 or i == u]
    held = [(u, i) for u in range(8) for i in range(12) if (u, i) not in set(trained)]
    found = []
    for order in (held, [held[k] for k in rng.permutation(len(held))]):
        pairs = [*trained, *order[:15]]
        frame = pd.DataFrame(pairs, columns=["user", "item"]).assign(rating=3.0, timestamp=range(len(pairs)))
        spec = SplitSpec(method="time", test_fraction=15 / len(pairs))
        with open_ratings(frame, TrainConfig()) as store:
            split = ensure_split(store, spec)
            assert split.n_test == 15
            found.append([dense(load(store, split, side, ("implicit",))[1]) for side in ("user", "item")])
    for before, after in zip(*found, strict=True):
        assert before.any()
        np.testing.assert_array_equal(before, after)


def test_auto_is_hierarchical_where_genres_are_known(store):
    resolved = resolve_model(store, TrainConfig())
    assert (resolved.model, resolved.item_features) == ("hierarchical", ("genres",))
    assert resolve_model(store, TrainConfig(item_features=())).model == "als"
    assert resolve_model(store, TrainConfig(solver="coordinate")).model == "als"
    assert resolve_model(store, TrainConfig(model="bayes")).item_features == ("genres",)
    frame = pa.table({"user": [1, 2], "item": [1, 2], "rating": [3.0, 4.0]})
    with open_ratings(frame, TrainConfig()) as plain:
        assert resolve_model(plain, TrainConfig()).model == "als"
        assert resolve_model(plain, TrainConfig(user_features="implicit")).model == "hierarchical"
        assert resolve_model(plain, TrainConfig(model="bayes")).item_features == ()
        with pytest.raises(ConfigError, match=r"no item has genres.*train with model=.als."):
            side_features(plain, resolve_model(plain, TrainConfig(model="hierarchical")))


def test_gaps_are_told(store):
    notes = describe_gaps(store, describe_features(store, "item", ("genres", "year")))
    assert notes == [
        "2 of 4 genres features describe one item only; they act as a second, weaker ridge on it",
        "1 of 5 items have no year; their prior mean is zero in it",
        "2 of 3 year features describe one item only; they act as a second, weaker ridge on it",
    ]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("director",), "there is no catalogue column 'director'; expected implicit, genres, .*title"),
        (("genres", "genres"), "a feature is named twice: genres, genres; expected each once"),
    ],
)
def test_bad_names(store, columns, text):
    with pytest.raises(ConfigError, match=f"item_features: {text}"):
        describe_features(store, "item", columns)


def test_hierarchical_without_features(store):
    with pytest.raises(ConfigError, match="item_features: a hierarchical model without features"):
        resolve_model(store, TrainConfig(model="hierarchical", item_features=()))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"model": "als", "item_features": "genres"}, "als has no features; add --model hierarchical"),
        ({"model": "hierarchical", "solver": "coordinate"}, "coordinate serves the models without features"),
        (
            {"model": "als", "likelihood": "censored"},
            "censored serves the Gibbs sampler; found model als; add --model bayes",
        ),
        ({"burn_in": 400}, "--burn-in: found 400; expected fewer than the 400 sweeps"),
        ({"patience": 3}, "--patience: no ratings to validate on; add --validation-fraction"),
        (
            {"patience": 3, "validation_fraction": 0.1, "model": "bayes"},
            "--patience: the Gibbs sampler has no epochs to choose",
        ),
    ],
)
def test_options_that_contradict(values, text):
    with pytest.raises(ConfigError) as caught:
        TrainConfig.parse(values)
    assert text in caught.value.for_command()


def test_products(store, split):
    _, rows = load(store, split, "item", ("genres", "implicit"))
    rng = np.random.default_rng(0)
    weights, of_rows = rng.normal(size=(rows.n_features, 3)), rng.normal(size=(rows.n_rows, 3))
    np.testing.assert_allclose(kernels.times(rows, weights), dense(rows) @ weights, atol=1e-12)
    np.testing.assert_allclose(kernels.transposed_times(rows, of_rows), dense(rows).T @ of_rows, atol=1e-12)
    np.testing.assert_allclose(
        kernels.squared_transposed_times(rows, of_rows), (dense(rows) ** 2).T @ of_rows, atol=1e-6
    )
    counted = np.array([1, 0, 2, 1, 0])
    kept = dense(rows)[counted > 0]
    np.testing.assert_allclose(kernels.feature_gram(rows, counted), kept.T @ kept, atol=1e-6)
