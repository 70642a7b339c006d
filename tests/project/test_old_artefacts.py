"""What the version before wrote opens unchanged: ratings, models, a registry, and checkpoints to go on from.

The data and how they were made: `tests/data/before-0.1/README.md`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from daskals.ingest import ingest
from daskals.kernels.toolkit.target import current_target
from daskals.registry.open_model import open_model
from daskals.registry.registry import Registry
from daskals.store.checkpoint_files import list_states
from daskals.store.reader import open_store
from daskals.training.checkpoint import parsed_state
from daskals.training.gibbs.state import GibbsState
from daskals.training.state import TrainingState
from jobs import train
from tests.cases.commands import run
from tests.conftest import ROOT

DATA = ROOT / "tests" / "data" / "before-0.1"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
CONTENT = "a7fee5578e5a880fefc4f4a63af0a5237f5116e745ba8b1c1177dfb3b6ab34ed"
OPTIONS = {
    "data": "ratings.store",
    "cpu": "generic",
    "dashboard_address": "none",
    "rank": 2,
    "lambda": 0.1,
    "test_fraction": 0.2,
}
RUNS = {
    "als": {"model": "als", "epochs": 8, "checkpoint_every": 4},
    "bayes": {
        "model": "bayes",
        "sweeps": 24,
        "burn_in": 4,
        "keep_samples": 2,
        "warm_start": 3,
        "checkpoint_every": 1,
    },
}
MOST_BYTES = 200_000


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """Folder with all that was written, fresh for each test."""
    with tarfile.open(DATA / "artefacts.tar.xz") as archive:
        # the first releases of Python 3.11 and 3.12 have no filters
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return tmp_path


def resume(before: Path, name: str, **changes: str) -> subprocess.CompletedProcess:
    """Continue a run in a process of its own, as the CPU target is chosen once a process."""
    (before / "options.json").write_text(json.dumps({**OPTIONS, **RUNS[name], **changes}))
    command = [sys.executable, "-m", "jobs.train", "--config", "options.json", "--out", name, "--resume"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=before, capture_output=True, text=True, timeout=550, env=environment, check=False
    )


def as_killed(before: Path, name: str) -> None:
    """Leave of a run what one leaves that was killed half-way."""
    shutil.rmtree(before / name / "model")
    (before / name / "report.json").unlink()


def check_model(where: Path, expected: dict[str, object], digits: float = 1e-6) -> None:
    with open_model(where) as found:
        model = found.model
        predictions = np.ravel(model.predict(expected["users"], expected["items"])[0])
        np.testing.assert_allclose(predictions, expected["predictions"], rtol=10 * digits)
        assert found.report["test_rmse"] == pytest.approx(expected["test_rmse"], rel=digits)
        assert [one["objective"] for one in found.report["history"]] == pytest.approx(
            expected["objectives"], rel=1e-6, nan_ok=True
        )
        if model.samples is not None:  # whose items are compared by the samples by now
            return
        similar = model.similar_items(expected["items"][0], len(expected["similar"]))
        assert similar["item"].tolist() == expected["similar"]


def test_the_data_are_small_and_of_no_machine(before: Path) -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= MOST_BYTES
    for path in before.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert not any(place in text for place in (b"/tmp", b"/home", b"/root", b"/work", b"192.")), path


def test_store(before: Path) -> None:
    store = open_store(before / "ratings.store")
    assert (store.n_users, store.n_items, store.n_ratings) == (60, 40, 900)
    assert store.content_hash == CONTENT
    again = ingest(before / "ratings", before / "again.store")
    assert again.content_hash == CONTENT


@pytest.mark.parametrize("name", ["als", "hierarchical", "bayes"])
def test_run(before: Path, name: str) -> None:
    check_model(before / name, EXPECTED[name])
    with open_model(before / name) as found:
        assert found.model.factors_sha256() == EXPECTED[name]["factors_sha256"]


def test_registry(before: Path) -> None:
    registry = Registry(before / "registry")
    check_model(before / "registry", EXPECTED["hierarchical"])
    assert registry.load("challenger").factors_sha256() == EXPECTED["als"]["factors_sha256"]
    for alias in ("champion", "challenger"):
        registry.verify(alias)
    registry.promote(registry.resolve("challenger"))
    check_model(before / "registry", EXPECTED["als"])
    registry.rollback()
    check_model(before / "registry", EXPECTED["hierarchical"])


@pytest.mark.process
@pytest.mark.parametrize(("name", "step"), [("als", 4), pytest.param("bayes", 20, marks=pytest.mark.slow)])
def test_checkpoint_is_continued(before: Path, name: str, step: int) -> None:
    as_killed(before, name)
    ended = resume(before, name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((before / name / "report.json").read_text())["resumed_from"] == step
    # of a chain that ends now samples are kept to 10 bits
    check_model(before / name, EXPECTED[name], digits=1e-3 if name == "bayes" else 1e-6)


@pytest.mark.parametrize(
    ("name", "step", "parse"), [("als", 4, TrainingState.from_stored), ("bayes", 20, GibbsState.from_stored)]
)
def test_checkpoint_is_parsed(before: Path, name: str, step: int, parse) -> None:
    (folder,) = list_states(before / name / "checkpoints")
    found = parsed_state(folder, parse)
    assert (found.identity["--model"], len(found.state.history)) == (name, step)


def test_checkpoint_of_another_cpu_target_says_what_to_do(before: Path, monkeypatch) -> None:
    as_killed(before, "als")
    options = {name: value for name, value in {**OPTIONS, **RUNS["als"]}.items() if name != "cpu"}
    (before / "options.json").write_text(json.dumps(options))
    monkeypatch.chdir(before)
    ended = run(train, "--config", "options.json", "--out", "als", "--resume")
    assert ended.exit_code == 1
    assert f"cpu target {current_target().name}; expected cpu target generic" in ended.stderr
    assert "--cpu generic" in ended.stderr


@pytest.mark.process
def test_damaged_checkpoint_says_what_to_do(before: Path) -> None:
    as_killed(before, "als")
    chunk = next(path for path in (before / "als" / "checkpoints").rglob("c/*/*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes(content)
    ended = resume(before, "als")
    assert ended.returncode == 1
    assert "als/checkpoints/epoch-000004" in ended.stderr
    assert "--overwrite" in ended.stderr
    assert "Traceback" not in ended.stderr
