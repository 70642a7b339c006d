"""The measurement of what the defaults lose: its sets, its figures, its command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from daskals.bench import defaults, tuned
from daskals.bench.defaults import Regret, set_names
from daskals.bench.planted_sets import PLANTED, PlantedSet
from jobs.bench import main


def tiny() -> PlantedSet:
    """Sixty users, forty items, genres that say something."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 40)) < 0.4)
    genres = [[item % 3] for item in range(40)]
    liked = rng.normal(size=60)[users] + rng.normal(size=3)[items % 3] + 0.3 * rng.normal(size=len(users))
    return PlantedSet(users, items, np.clip(np.round(3 + liked), 1, 5), genres)


@pytest.mark.long
def test_the_planted_sets_have_the_shapes_they_are_named_for():
    drawn = {name: make() for name, make in PLANTED.items()}
    for name, found in drawn.items():
        pairs = found.frame[["user", "item"]]
        assert not pairs.duplicated().any(), name
        # else what NumPy's partition makes of this CPU would say which item has which rating
        assert pairs.equals(pairs.sort_values(["user", "item"])), name
        assert np.isfinite(found.ratings).all()
    assert np.array_equal(PLANTED["strong-genres"]().ratings, drawn["strong-genres"].ratings)
    assert np.median(np.bincount(drawn["very-short-users"].users)) <= 4
    zeros = drawn["real-zeros"].ratings == 0
    assert 0.1 < zeros.mean() < 0.3
    counts = drawn["counts-over-decades"].ratings
    assert counts.min() == 1
    assert counts.max() > 1e4
    wide = drawn["items-outnumber-users"]
    assert wide.items.max() > 20 * wide.users.max()
    assert drawn["no-genres"].catalogue is None
    assert len(drawn["strong-genres"].catalogue) == 2_500


def test_regret_is_against_the_best_alternative():
    row = Regret("set", 10, 1.01, "bayes", 2.0, {"bias": 1.2, "als": 1.0})
    assert row.best == "als"
    assert row.as_report()["regret"] == pytest.approx(0.01)


@pytest.fixture
def short(monkeypatch):
    """One tiny set, and grids that take no time."""
    monkeypatch.setattr(defaults, "PLANTED", {"tiny": tiny})
    monkeypatch.setattr(defaults, "NAMED", ())
    monkeypatch.setattr(tuned, "BIAS_RIDGES", (2.0, 8.0))
    monkeypatch.setattr(tuned, "FACTOR_RIDGES", (14.0,))
    monkeypatch.setattr(tuned, "EXPONENTS", (0.5,))
    monkeypatch.setattr(tuned, "FEATURE_RIDGES", (2.5,))
    monkeypatch.setattr(tuned, "EPOCHS", 4)
    monkeypatch.setattr(tuned, "SWEEPS", 6)


@pytest.mark.long
@pytest.mark.usefixtures("short")
def test_command__measures_every_set_and_prints_one_line_for_each(tmp_path):
    file = tmp_path / "defaults.json"
    result = CliRunner().invoke(
        main, ["defaults", "--rank", "3", "--time-budget", "0", "--json", str(file)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    (row,) = report["results"]
    assert set(row["alternatives"]) == {"bias", "als", "hierarchical", "bayes"}
    assert row["regret"] == pytest.approx(row["default"] / min(row["alternatives"].values()) - 1)
    line = next(line for line in result.stdout.splitlines() if line.strip().startswith("tiny"))
    assert f"{100 * row['regret']:+.2f} %" in line
    assert row["chosen"] in line


@pytest.mark.long
@pytest.mark.usefixtures("short")
def test_command__goes_on_with_what_was_measured(tmp_path, monkeypatch):
    row = {"name": "tiny", "n_ratings": 9, "default": 2.0, "chosen": "als", "seconds": 1.0}
    row |= {"alternatives": {"bias": 0.5}, "best": "bias", "regret": 3.0}
    file, options = tmp_path / "defaults.json", {"rank": 3, "test_fraction": 0.2, "seed": 42}
    before = {"config": {**options, "time_budget": 0.0}, "results": [row, {**row, "name": "another"}]}
    command = ["defaults", "--rank", "3", "--time-budget", "0", "--json", str(file), "--keep"]

    file.write_text(json.dumps(before))
    assert CliRunner().invoke(main, [*command, "rows"], catch_exceptions=False).exit_code == 0
    assert json.loads(file.read_text())["results"] == before["results"]  # nothing was measured again

    monkeypatch.setattr(defaults, "TunedModels", None)  # nobody tunes the others again
    assert CliRunner().invoke(main, [*command, "others"], catch_exceptions=False).exit_code == 0
    anew, kept = json.loads(file.read_text())["results"]
    assert kept == before["results"][1]
    assert anew["alternatives"] == {"bias": 0.5}
    assert anew["default"] != 2.0
    assert anew["regret"] == pytest.approx(anew["default"] / 0.5 - 1)

    other = CliRunner().invoke(main, [*command, "rows", "--seed", "7"])
    assert (other.exit_code, "measured with seed 42; expected 7" in other.stderr) == (1, True), other.stderr
    file.write_text("[]")
    unread = CliRunner().invoke(main, [*command, "rows"])
    assert (unread.exit_code, "cannot read the measurement to keep" in unread.stderr) == (1, True)


def test_command__keeps_nothing_without_a_file():
    result = CliRunner().invoke(main, ["defaults", "--keep", "rows"])
    assert result.exit_code == 1
    assert "--keep: found --keep without --json" in result.stderr


def test_command__refuses_a_set_that_is_not_there(tmp_path):
    result = CliRunner().invoke(main, ["defaults", "--only", "films"])
    assert result.exit_code == 1
    assert "--only: found films; expected of very-short-users" in result.stderr
    assert "with --data also real" in result.stderr
    assert set_names(None) == [*PLANTED, "synthetic-1m"]
    assert set_names("folder")[-4:] == ["times-0.2", "times-20", "thumbs", "ranks"]
