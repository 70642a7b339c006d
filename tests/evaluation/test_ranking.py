"""Ranking: every figure against a plain reference, ties included; affinity; what cannot be ranked."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.cluster.exchange import Gathered
from daskals.config import JobConfig, ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.evaluation.baselines import Baseline, baseline_scorers
from daskals.evaluation.error_by_count import error_by_count
from daskals.evaluation.known_ratings import read_known, read_part
from daskals.evaluation.ranking import RankingTask, compare, make_task, relevant_for
from daskals.evaluation.ranking_scores import Lists, ranking_report
from daskals.evaluation.scorers import BatchScorer, Scorer
from daskals.fitting.evaluate import evaluate_ranking, own_ratings
from daskals.fitting.fit import fit, split_spec
from daskals.ingest import resolve_store
from daskals.kernels.scoring.topk import SeenItems
from daskals.kernels.toolkit.layout import pack_rows
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split, load_block
from daskals.training.affinity import AffinitySpec, affinity_slab, factor_gram, liked_block, train_affinity
from daskals.types import TRAIN, BlockStats, RatingsBlock

pytestmark = pytest.mark.usefixtures("no_baseline")

USER_FIGURES = ("precision", "recall", "recall_capped", "ndcg", "map", "mrr", "hit_rate", "distance")


def cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return 0.0 if lengths == 0 else float(a @ b) / lengths


def reference(scores, seen, relevant, popularity, n_users, k, traits):
    """Rank by a full sort, user by user, as the definitions read."""
    figures = {name: [] for name in USER_FIGURES}
    listed, novelty, times = set(), [], [0] * scores.shape[1]
    for user, row in enumerate(scores):
        candidates = [item for item in range(len(row)) if item not in seen[user]]
        best = sorted(candidates, key=lambda item: (-row[item], item))[:k]
        hits = [item in relevant[user] for item in best]
        listed |= set(best)
        for item in best:
            times[item] += 1
        pairs = [(a, b) for place, a in enumerate(best) for b in best[:place]]
        if pairs:
            figures["distance"].append(np.mean([1 - cosine(traits[a], traits[b]) for a, b in pairs]))
        novelty += [-math.log2(max(popularity[item], 1) / n_users) for item in best]
        figures["precision"].append(sum(hits) / k)
        n = len(relevant[user])
        if n == 0:
            continue
        figures["recall"].append(sum(hits) / n)
        figures["recall_capped"].append(sum(hits) / min(n, k))
        gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
        figures["ndcg"].append(gain / sum(1 / math.log2(place + 2) for place in range(min(n, k))))
        precisions = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
        figures["map"].append(sum(precisions) / min(n, k))
        figures["mrr"].append(1 / (hits.index(True) + 1) if any(hits) else 0.0)
        figures["hit_rate"].append(float(any(hits)))
    means = {name: np.mean(values) if values else None for name, values in figures.items()}
    # Gini by its definition: half the mean difference of all pairs over the mean
    mean = np.mean(times)
    differences = np.mean([abs(a - b) for a in times for b in times])
    gini = differences / (2 * mean)
    return {**means, "coverage": len(listed) / scores.shape[1], "gini": gini, "novelty": np.mean(novelty)}


def as_rows(sets) -> SeenItems:
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in sets])]).astype(np.int64)
    return SeenItems(indptr, np.array([i for items in sets for i in sorted(items)], np.int32))


def test_of_plays_everything_observed_is_relevant(client, tmp_path):
    rng = np.random.default_rng(4)
    users, items = np.nonzero(rng.random((30, 20)) < 0.5)
    frame = pd.DataFrame({"user": users, "item": items, "rating": 1 + rng.poisson(1.0, len(users))})
    settings = TrainConfig.parse({"model": "ials", "rank": 3, "epochs": 2, "test_fraction": 0.3})
    model = fit(frame, settings, client)
    with own_ratings(model, frame, ReadConfig()) as (store, _):
        found = ranking_report(model, store, None, lists=Lists((5,), neighbours=False))
        split = ensure_split(store, SplitSpec(**model.report["data"]["split"]))
        assert found["relevant_from"] == relevant_for("ials", store) == 1.0
        assert found["users_with_relevant"] == found["users"]
        assert make_task(store, split).relevant_from > 3.0  # were they ratings
        stricter = ranking_report(model, store, None, lists=Lists((5,), relevant=2.0, neighbours=False))
        assert stricter["relevant_from"] == 2.0


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 12), levels=st.integers(1, 6))
def test_figures_equal_the_reference_ties_included(seed, k, levels):
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(1, 9)), int(rng.integers(k, 30))
    # few levels of score: most are tied
    users = rng.integers(0, levels, (n_users, 2)).astype(np.float32)
    items = rng.integers(0, levels, (n_items, 2)).astype(np.float32)
    offsets = rng.integers(0, levels, n_items).astype(np.float32)
    scores = users @ items.T + offsets
    seen = [set(np.flatnonzero(rng.random(n_items) < 0.4)) for _ in range(n_users)]
    relevant = [set(np.flatnonzero(rng.random(n_items) < 0.2)) - seen[u] for u in range(n_users)]
    if not any(relevant) or all(len(s) == n_items for s in seen):
        return
    popularity = rng.integers(0, n_users + 1, n_items)
    genres = rng.integers(0, 2, (n_items, 3)).astype(np.float32)  # some items have none
    traits = genres / np.maximum(np.linalg.norm(genres, axis=1, keepdims=True), 1)
    task = RankingTask(
        np.arange(n_users), as_rows(seen), as_rows(relevant), popularity, n_users, k, traits=traits
    )
    dense = BatchScorer("dense", lambda rows: scores[rows], n_items)
    ks = sorted({int(rng.integers(1, k + 1)), k})
    report = compare(task, [Scorer("factors", users, items, offsets), dense], ks)
    for length in ks:
        expected = reference(scores, seen, relevant, popularity, n_users, length, genres)
        for found in (report["factors"][str(length)], report["dense"][str(length)]):
            assert set(found) == set(expected)
            for name, value in expected.items():
                assert found[name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


@pytest.fixture(scope="module")
def store(planted_folder):
    return resolve_store(str(planted_folder))


def test_task_follows_the_protocol(store):
    split = ensure_split(store, SplitSpec(method="per-user", test_fraction=0.3, seed=5))
    task = make_task(store, split, k=4)
    assert len(task.users) == store.n_users
    assert task.popularity.sum() == split.n_train == len(task.seen.indices)
    sampled = make_task(store, split, k=4, sample=10, seed=1)
    assert len(sampled.users) == 10
    assert list(sampled.users) == sorted(set(sampled.users))
    np.testing.assert_array_equal(sampled.users, make_task(store, split, k=4, sample=10, seed=1).users)
    assert list(sampled.users) != list(make_task(store, split, k=4, sample=10, seed=2).users)
    first = task.seen.indices[: task.seen.indptr[1]]
    assert not set(first) & set(task.relevant.indices[: task.relevant.indptr[1]])


def test_what_cannot_be_ranked(store, client):
    split = ensure_split(store, SplitSpec(method="none"))
    with pytest.raises(DataError, match="ranking: no held-out ratings: all of them trained") as caught:
        make_task(store, split)
    assert 'Train another by split="random" test_fraction=0.1, without refit_all=True' in str(caught.value)
    with pytest.raises(ConfigError, match="k = 0 and a sample of 3000 users; expected a length of 1 or more"):
        make_task(store, split, k=0)
    disliked = pd.DataFrame({"user": [1, 1, 2, 2] * 5, "item": range(20), "rating": 2.0})
    model = fit(disliked, TrainConfig(test_fraction=0.4, rank=1, epochs=1), client)
    with own_ratings(model, disliked, ReadConfig()) as (other, its_split):
        assert make_task(other, its_split).relevant_from == 2.0  # all the same: all liked
        with pytest.raises(DataError, match=r"no held-out rating is 3\.5 or more.*relevant"):
            make_task(other, its_split, relevant=3.5)
    with (
        pytest.raises(DataError, match="these are not the ratings the model was trained on"),
        own_ratings(model, store, ReadConfig()),
    ):
        pass


def test_affinity_half_step_solves_its_equations():
    rng = np.random.default_rng(0)
    spec = AffinitySpec(rank=3, unseen=0.2, ridge=0.7, threshold=3.5)
    q = rng.normal(size=(6, 3)).astype(np.float32)
    gathered = Gathered(pack_rows(q, np.zeros(6, np.float32)), BlockStats(0.0, 0.0))
    block = RatingsBlock(
        0,
        np.array([0, 3, 3, 5]),
        np.array([0, 2, 5, 1, 4], np.int32),
        np.array([4.0, 3.0, 3.5, 5.0, 4.5], np.float32),
        np.empty(0, np.float32),
    )
    gram = factor_gram(gathered, 3)
    np.testing.assert_allclose(gram, q.T.astype(np.float64) @ q, atol=1e-6)
    rows = affinity_slab(liked_block(block, 3.5), gathered, gram, spec).rows
    for row, liked in enumerate([[0, 5], [], [1, 4]]):
        z = q[liked].astype(np.float64)
        expected = np.linalg.solve(z.T @ z + 0.2 * gram + 0.7 * np.eye(3), z.sum(axis=0))
        np.testing.assert_allclose(rows[row, :3], expected, atol=1e-5)
    assert not rows[:, 4].any()


def liking(seed: int = 0) -> pd.DataFrame:
    """Two tastes that choose and like different items, beside items everybody chooses."""
    rng = np.random.default_rng(seed)
    taste, kind = rng.integers(0, 2, 80), np.arange(60) % 2
    chance = np.where(taste[:, None] == kind, 0.45, 0.05)
    chance[:, :4] = 0.5
    users, items = np.nonzero(rng.random(chance.shape) < chance)
    likes = (taste[users] == kind[items]) | (rng.random(len(users)) < 0.3)
    return pd.DataFrame({"user": users, "item": items, "rating": np.where(likes, 4.5, 2.5)})


@pytest.mark.long
def test_affinity_beats_the_baselines(client):
    reports = []
    for seed in range(2):
        frame = liking(seed)
        settings = TrainConfig.parse(
            {"split": "per-user", "test_fraction": 0.3, "rank": 3, "epochs": 4, "tau": 0.2, "lambda": 0.05}
        )
        model = fit(frame, settings, client)
        with own_ratings(model, frame, ReadConfig()) as (store, _):
            from daskals.cluster.workers import Cluster

            lines: list[str] = []
            lists = Lists((5, 20), relevant=3.5)
            reports.append(evaluate_ranking(model, store, Cluster(client), lists=lists, tell=lines.append))
        assert lines == ["EASE of 60 items takes 0.00 GiB of memory"]
    names = set(reports[0]["scores"])
    assert {"popularity", "liked-count", "bias-only", "rating", "alpha=0.05", "affinity"} <= names
    assert {"item-kNN", "EASE"} <= names
    assert reports[0]["k"] == [5, 20]
    assert reports[0]["relevant_from"] == 3.5
    for figure in ("recall", "ndcg"):
        short = [{name: own["5"][figure] for name, own in report["scores"].items()} for report in reports]
        assert np.mean([found["affinity"] / found["liked-count"] for found in short]) > 1.1
        gain = reports[0]["scores"]["affinity"]["5"]["over_liked-count"][figure]
        assert gain["mean"] - gain["half_width"] > 0
    assert len(reports[0]["affinity"]["tried"]) == 15


def test_affinity_is_the_same_again(cluster, store):
    split = ensure_split(store, SplitSpec(method="none"))
    first, again = (train_affinity(cluster, store, split, AffinitySpec(rank=3, epochs=2)) for _ in range(2))
    np.testing.assert_array_equal(first.items, again.items)


def test_affinity_of_a_large_rank_comes_to_what_exact_rows_are(cluster, store):
    split = ensure_split(store, SplitSpec(method="none"))
    spec = AffinitySpec(rank=66, epochs=6)
    assert spec.is_improved
    found = train_affinity(cluster, store, split, spec)
    block = liked_block(load_block(store.path, "user", 0, 20, split.key, TRAIN), spec.threshold)
    q = found.items.astype(float)
    for user in range(20):
        own = q[block.indices[block.indptr[user] : block.indptr[user + 1]]]
        system = own.T @ own + spec.unseen * q.T @ q + spec.ridge * np.eye(spec.rank)
        exact = np.linalg.solve(system, own.sum(axis=0))
        np.testing.assert_allclose(found.users[user], exact, rtol=0, atol=2e-3)


def test_baselines_order_by_what_they_say(store):
    split = ensure_split(store, SplitSpec(method="per-user", test_fraction=0.3, seed=5))
    data = Baseline(read_part(store, split, TRAIN), read_known(store, split), 3.5, 7.5)
    popularity, liked, bias = baseline_scorers(data)
    np.testing.assert_array_equal(popularity.offsets, split.train_counts("item"))
    assert np.all(liked.offsets <= popularity.offsets)
    assert np.all(bias.offsets[split.train_counts("item") == 0] == 0)
    report = compare(make_task(store, split, k=3), [popularity, liked])
    assert "over_liked-count" in report["popularity"]["3"]
    assert "over_liked-count" not in report["liked-count"]["3"]


def test_buckets_add_up(client, store):
    settings = TrainConfig.parse({"test_fraction": 0.3, "rank": 3, "epochs": 2, "lambda": 0.05})
    model = fit(store, settings, client)
    split = ensure_split(store, split_spec(settings, store))
    found = error_by_count(model, store, split)
    for side in ("user", "item"):
        buckets = found[side].values()
        assert sum(bucket["n"] for bucket in buckets) == split.n_test
        total = sum(bucket["n"] * bucket["rmse"] ** 2 for bucket in buckets if bucket["n"])
        assert math.sqrt(total / split.n_test) == pytest.approx(model.report["test_rmse"], rel=1e-5)
    assert found["item"]["0"] == {"n": 0, "rmse": None, "mae": None} or found["item"]["0"]["n"] > 0


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(
            {"model": "bayes", "likelihood": "censored", "sweeps": 6, "burn_in": 2, "keep_samples": 2},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["hierarchical", "censored"],
)
def test_command_reports_ranking_and_buckets(client, planted_folder, tmp_path, options):
    from jobs.evaluate import main

    # a job's options, as the report of its run holds them
    job = {"data": planted_folder, "out": tmp_path / "run", "workers": 1, "quiet": True, **options}
    settings = JobConfig.parse({"test_fraction": 0.3, "rank": 3, "epochs": 2, "lambda": 0.05, **job})
    fit(str(planted_folder), settings, client).save(tmp_path / "model")
    json_file = tmp_path / "figures.json"
    arguments = [str(tmp_path / "model"), "--ranking", "--buckets", "--k", "3,200", "--json", str(json_file)]
    arguments += ["--skip-neighbours"] if options else []
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    figures = pd.read_json(json_file, typ="series")
    assert (
        ("EASE" in figures["ranking"]["scores"])
        == ("item-kNN" in figures["ranking"]["scores"])
        == (not options)
    )
    assert figures["ranking"]["k"] == [3, 80]
    assert "lists end with the catalogue's 80 items: they are never padded" in result.output
    assert f"relevant is {figures['ranking']['relevant_from']:.4g} and more" in result.output
    assert "test RMSE by training ratings" in result.output
    table = result.output[result.output.index("order at K = 3 ") :].splitlines()[2:]
    ndcg = [float(line.split()[-11]) for line in table[: len(figures["ranking"]["scores"])]]
    assert ndcg == sorted(ndcg, reverse=True)
    assert set(figures["by_training_ratings"]["item"]) == {"0", "1-2", "3-7", "8-29", "30+"}


@pytest.mark.parametrize("k", ["0", "ten", "10,", "-3"])
def test_command_refuses_lengths(k, tmp_path):
    from jobs.evaluate import main

    result = CliRunner().invoke(main, [str(tmp_path), "--ranking", "--k", k])
    assert result.exit_code == 1
    assert f"--k: found {k!r}; expected lengths of 1 or more, such as 10 or 10,20,50,100" in result.output
