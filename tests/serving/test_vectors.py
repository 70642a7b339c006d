"""Exported vectors: whoever multiplies them finds the lists that the model serves."""

from __future__ import annotations

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from usearch.index import MetricKind, search

from daskals.model.fitted import Model
from daskals.serving.index_recall import _least_scores, _recall
from daskals.serving.vectors import rating_vectors
from jobs import export
from tests.cases.commands import run

N = 10
USERS = slice(0, 40)


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder)


@pytest.fixture(scope="module")
def served(model) -> list[list[int]]:
    """The lists by rating of some users, what they have seen included."""
    return [
        model.recommend(user, N, order="rating", include_seen=True)["item"].tolist()
        for user in model.user_ids.to_pylist()[USERS]
    ]


def faiss_flat(index: faiss.Index, items: np.ndarray, users: np.ndarray) -> np.ndarray:
    index.add(items)
    return index.search(users, N)[1]


def exact_usearch(metric: MetricKind, items: np.ndarray, users: np.ndarray) -> np.ndarray:
    return np.asarray(search(items, users, N, metric, exact=True).keys).astype(np.int64)


def test_flat_search_by_inner_product_gives_the_served_lists(folder, model, served, tmp_path):
    result = run(export, folder, "--vectors", "--out", tmp_path / "v", "--format", "parquet,npy,sql")
    assert result.exit_code == 0, result.output
    assert "item_vectors.npy: 120 lines" in result.output
    items, users = np.load(tmp_path / "v" / "item_vectors.npy"), np.load(tmp_path / "v" / "user_vectors.npy")
    assert items.shape[1] == users.shape[1] == model.rank + 1
    ids = pq.read_table(tmp_path / "v" / "item_vectors.parquet")["item"].to_numpy()
    for found in (
        faiss_flat(faiss.IndexFlatIP(items.shape[1]), items, users[USERS]),
        exact_usearch(MetricKind.IP, items, users[USERS]),
    ):
        assert ids[found].tolist() == served
    for side, vectors in (("user", users), ("item", items)):
        table = pq.read_table(tmp_path / "v" / f"{side}_vectors.parquet")
        assert np.array_equal(np.stack(table["vector"].to_numpy()), vectors)
    predicted = model.predict_rows(np.zeros(len(items), np.int64), np.arange(len(items)))
    np.testing.assert_allclose(items @ users[0] + model.mean + model.user_biases[0], predicted, atol=1e-5)
    assert read_copy((tmp_path / "v" / "vectors.sql").read_text(), "item") == dict(
        zip(map(str, ids), items.tolist(), strict=True)
    )


def read_copy(script: str, side: str) -> dict[str, list[float]]:
    """Read the rows of a table as PostgreSQL's COPY does, text that needs no escapes."""
    body = script.partition(f'COPY {side}_vectors ("{side}", vector) FROM stdin;\n')[2].partition("\\.\n")[0]
    rows = [line.split("\t") for line in body.splitlines()]
    return {key: [float(np.float32(part)) for part in vector.strip("[]").split(",")] for key, vector in rows}


def test_cosines_alone_give_the_served_lists_too(model, served):
    users, items = rating_vectors(model, cosine=True)
    for vectors in (users, items):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    ids = np.array(model.item_ids.to_pylist())
    l2 = faiss_flat(faiss.IndexFlatL2(items.shape[1]), items, users[USERS])
    assert ids[l2].tolist() == served
    assert ids[exact_usearch(MetricKind.Cos, items, users[USERS])].tolist() == served


def test_what_cannot_be_exported_together_is_refused(folder, tmp_path):
    for arguments, message in {
        (
            "--vectors",
            "--previous",
            folder,
        ): "--vectors: found together with --previous; expected one of the two",
        ("--cosine",): "--cosine: found without --vectors; expected both",
        ("--vectors", "--format", "npy,cvs"): "--format: found 'npy,cvs'; expected some of parquet,npy,sql",
    }.items():
        result = run(export, folder, "--out", tmp_path / "v", *arguments)
        assert (result.exit_code, message in result.output) == (1, True), result.output
    assert not (tmp_path / "v").exists()


def test_recall_counts_what_is_as_good_as_the_exact_list():
    items = np.array([[3, 0], [2, 0], [2, 0], [1, 0]], np.float32)
    user = np.array([[1, 0]], np.float32)
    least = _least_scores(user, items, 2)
    assert least.tolist() == [2.0]
    for lists, expected in (([0, 2], 1.0), ([0, 3], 0.5), ([0, 0], 0.5), ([-1, 3], 0.0)):
        assert _recall(user, items, np.array([lists]), least) == expected


def test_indexes_are_held_against_the_exact_lists(folder, tmp_path):
    result = run(export, folder, "--vectors", "--recall", "--format", "npy", "--out", tmp_path / "v")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    rows = {tuple(line[:2]): float(line[-3]) for line in lines if line[:1] in (["faiss"], ["usearch"])}
    assert rows["faiss", "flat"] == rows["usearch", "flat"] == 1.0
    assert all(found > 0.9 for found in rows.values())
    assert len(rows) == 4
    refused = run(export, folder, "--recall", "--out", tmp_path / "w")
    assert "--recall: found without --vectors" in refused.output


def test_text_ids_are_escaped_as_copy_reads_them():
    from daskals.serving.vectors import _escaped

    assert _escaped("a\\b\tc\nd\re") == "a\\\\b\\tc\\nd\\re"
