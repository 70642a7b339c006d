"""Served lists against the library implicit: what it learns from, what is chosen, and the paired interval."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from daskals.bench import lists
from daskals.config import TrainConfig
from daskals.evaluation.known_ratings import Ratings
from daskals.fitting.fit import fit
from jobs import bench

pytest.importorskip("implicit", reason="is of the extra [bench]")


def test_only_what_was_liked_is_learnt_from():
    items, ratings = np.array([3, 1, 2, 0], np.int32), np.array([4, 2, 5, 3], np.float32)
    liked = lists.liked_only(Ratings(np.array([0, 2, 4]), items, ratings, 4), 3.5)
    assert (liked.indptr.tolist(), liked.items.tolist()) == ([0, 1, 2], [3, 2])


@pytest.mark.long
def test_the_command_holds_lists_against_the_best_setting(client, planted_folder, tmp_path, monkeypatch):
    settings = (lists.Setting(4, 0.01, 1.0), lists.Setting(4, 1e4, 1.0))
    monkeypatch.setattr(lists, "SETTINGS", settings)
    options = {"model": "als", "rank": 3, "epochs": 3, "test_fraction": 0.2, "order": "rating"}
    fit(str(planted_folder), TrainConfig.parse(options), client).save(tmp_path / "model")
    out = tmp_path / "lists.json"
    arguments = ["lists", str(tmp_path / "model"), "--threads", "1", "--json", str(out), "--k", "5,10"]
    result = CliRunner().invoke(bench.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    scores = {name: own["5"]["ndcg"] for name, own in found["scores"].items()}
    assert set(scores) == {"served", *(one.name for one in settings)}
    assert scores[found["best"]] == max(scores[one.name] for one in settings)
    over = found["over_best"]["5"]["ndcg"]
    assert over["mean"] == pytest.approx(scores["served"] - scores[found["best"]], abs=1e-6)
    assert over["half_width"] > 0
    assert f"served − {found['best']} at K = 5: NDCG {over['mean']:+.4f} ±" in result.output


def test_there_are_eight_settings():
    assert len({one.name for one in lists.SETTINGS}) == 8
