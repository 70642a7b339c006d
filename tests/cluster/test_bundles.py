"""Bundles: tasks of small epochs in one, whose results nobody could tell from those of tasks apart."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.cluster.bundles import is_small
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.training.events import EpochFinished, Event
from tests.cases.outcomes import outcome
from tests.cases.planted import planted

ran: list[str] = []


def called(name: str, *values: object) -> list[object]:
    """Note a call and return what it was given."""
    ran.append(name)
    return [name, *values]


def joined(values: list[list[object]], named: dict[str, list[object]], pair: tuple[object, int]) -> str:
    return f"{values} {named} {pair}"


def failing(row: int) -> None:
    raise DataError(f"row {row} is no row")


def test_parts_are_called_in_turn_and_only_what_is_held_comes_back(cluster: Cluster) -> None:
    ran.clear()
    outside = cluster.submit(called, "outside", key="bundle-outside")
    with cluster.bundled("bundle-of-three") as bundle:
        first = cluster.submit(called, "first", outside, key="first")
        cluster.submit(called, "nobody wants it", first, key="second")
        last = cluster.submit(joined, [first], {"outside": outside}, (first, 1), key="last")
        del first
    assert cluster.result(last) == (
        "[['first', ['outside']]] {'outside': ['outside']} (['first', ['outside']], 1)"
    )
    assert ran == ["outside", "first", "nobody wants it"]
    assert bundle.results is not None
    assert set(bundle.results) == {2}


def test_a_part_serves_tasks_apart_and_other_bundles(cluster: Cluster) -> None:
    with cluster.bundled("bundle-before"):
        part = cluster.submit(called, "part", key="part-of-it")
        other = cluster.submit(called, "other", key="other-of-it")
    with cluster.bundled("bundle-after"):
        after = cluster.submit(called, "after", part, other, key="after")
    alone = cluster.submit(called, "alone", [part], key="bundle-alone")
    cluster.wait([part, after, alone])
    assert cluster.result(after) == ["after", ["part"], ["other"]]
    assert cluster.result(alone) == ["alone", [["part"]]]


def test_an_error_of_a_part_is_raised_where_it_is_awaited(cluster: Cluster) -> None:
    with cluster.bundled("bundle-that-fails") as bundle:
        before = cluster.submit(called, "before", key="before-it")
        part = cluster.submit(failing, 3, key="failing")
        after = cluster.submit(called, "after", [part], key="after-it")
    with cluster.bundled("bundle-of-a-failure"):
        another = cluster.submit(called, "another", part, key="another")
    alone = cluster.submit(called, "alone", after, key="alone-after-it")
    cluster.arrive(bundle)
    assert cluster.result(before) == ["before"]
    for ask in (cluster.result, lambda task: cluster.wait([task])):
        for task in (part, after, another, alone):
            with pytest.raises(DataError, match="row 3 is no row"):
                ask(task)


def test_what_is_awaited_while_it_is_filled_is_sent(cluster: Cluster) -> None:
    ran.clear()
    with cluster.bundled("bundle-awaited"):
        first = cluster.submit(called, "first", key="awaited-first")
        assert cluster.result(first) == ["first"]
        again = cluster.submit(called, "again", first, key="awaited-again")
        assert cluster.result(again) == ["again", ["first"]]
        last = cluster.submit(called, "last", again, key="awaited-last")
    assert cluster.result(last) == ["last", ["again", ["first"]]]
    assert ran == ["first", "again", "last"]


def test_what_is_submitted_when_the_block_fails_is_not_sent(cluster: Cluster) -> None:
    def submit() -> None:
        with cluster.bundled("bundle-unsent"):
            cluster.submit(called, "never", key="never")
            raise KeyError

    ran.clear()
    with pytest.raises(KeyError):
        submit()
    assert cluster.result(cluster.submit(called, "apart", key="bundle-apart")) == ["apart"]
    assert ran == ["apart"]


def test_what_is_small() -> None:
    assert is_small(100_836, 10_334, 20)
    assert is_small(1_000_000, 10_000, 20)
    assert not is_small(32_000_000, 290_000, 20)
    assert not is_small(100_836, 10_334, 512)


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"model": "als"},
        {"model": "hierarchical", "item_features": "implicit"},
        {"model": "bayes", "item_features": "implicit", "sweeps": 25, "burn_in": 5, "epochs": 50},
        {"model": "als", "validation_fraction": 0.2, "patience": 1, "epochs": 40},
    ],
    ids=["als", "hierarchical", "bayes", "patience"],
)
def test_epochs_of_one_task_leave_what_tasks_apart_do(cluster: Cluster, options, monkeypatch) -> None:
    config = TrainConfig.parse({"rank": 3, "epochs": 23, "seed": 2, "order": "rating", **options})
    submitted: list[str] = []
    submit = cluster.client.submit

    def noting(function: object, *values: object, key: str, **more: object) -> object:
        submitted.append(key)
        return submit(function, *values, key=key, **more)

    monkeypatch.setattr(cluster.client, "submit", noting)
    seconds: list[float] = []

    def callback(event: Event) -> None:
        if isinstance(event, EpochFinished):
            seconds.append(event.seconds)

    together = fit(planted()[0], config, cluster.client, [callback])
    assert any(key.startswith("small-epochs-") for key in submitted)
    # those that trainings close with: the model's, the bias model's beside it
    assert sum("half-step" in key for key in submitted) <= 4
    assert min(seconds) > 0
    submitted.clear()
    monkeypatch.setattr("daskals.cluster.bundles.SMALL_EPOCH", 0.0)
    one_each = fit(planted()[0], config, cluster.client)
    assert sum(key.startswith("epoch-") for key in submitted) >= len(one_each.report["history"])
    assert sum("half-step" in key for key in submitted) <= 4
    assert outcome(one_each) == outcome(together)
    np.testing.assert_array_equal(one_each.user_rows, together.user_rows)
    submitted.clear()
    monkeypatch.setattr(Cluster, "dashboard_link", "http://localhost:8787/status")
    fit(planted()[0], config, cluster.client)
    assert not any(key.startswith("epoch-") for key in submitted)
    submitted.clear()
    monkeypatch.setattr(Cluster, "bundles", False)
    apart = fit(planted()[0], config, cluster.client)
    assert not any(key.startswith("small-epochs-") for key in submitted)
    assert outcome(together) == outcome(apart)
    np.testing.assert_array_equal(together.user_rows, apart.user_rows)
