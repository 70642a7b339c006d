"""Damaged and lying folders: each is refused by name, or read as the whole one; none crashes or hangs."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cases.mutations import Target, make_targets, mutate, whole_of
from tests.conftest import ROOT

ARTEFACTS = ROOT / "tests" / "data" / "before-0.1" / "artefacts.tar.xz"


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return make_targets(tmp_path_factory.mktemp("mutations"), ARTEFACTS)


def fuzz(targets: list[Target], rounds: int, seed: int) -> Counter[str]:
    whole = whole_of(targets)
    return Counter(mutate(targets, whole, f"{seed}-{number}") for number in range(rounds))


@pytest.mark.long
def test_damaged_and_lying_folders(targets: list[Target]) -> None:
    tally = fuzz(targets, 200, seed=0)
    assert tally.total() == 200
    assert tally["refused"] > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_and_lying_folders_at_length(targets: list[Target]) -> None:
    tally = fuzz(targets, 10_000, seed=1)
    print(dict(tally))
    assert tally.total() == 10_000
