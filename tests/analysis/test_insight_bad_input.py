"""Exploration, training report and geometry on what lacks or breaks something: said in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click.testing
import numpy as np
import pytest

from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from jobs import eda, geometry, report
from tests.cases.insight_cases import HOSTILE, bare_table, check_page, hostile_table, stored

MODEL = TrainConfig(rank=3, epochs=3, lambda_=0.1, model="als", test_fraction=0.3)
NAME = '<b>run & "Я\'ش" 日本 $x$'
"""A folder's name with markup, quotes, mathematics and other scripts."""


def run(command: click.Command, *arguments: object) -> str:
    """Run a command that must not end in a traceback; return what it said."""
    result = click.testing.CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.output


def trained(table, folder: Path, config: TrainConfig = MODEL) -> Path:
    """A run as jobs.train leaves it."""
    model = fit(stored(table, folder.parent / f"{folder.name}-store"), config)
    model.save(folder / "model")
    (folder / "report.json").write_text(json.dumps(model.report), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    return trained(bare_table(), tmp_path_factory.mktemp("bare") / "run")


@pytest.mark.long
def test_without_genres_times_tags_and_with_string_ids_and_negative_ratings(bare: Path) -> None:
    store = bare.parent / "run-store"
    said = run(eda.main, "--data", store, "--out", bare.parent / "eda")
    assert "60 users, 40 rated items" in said
    explored = json.loads((bare.parent / "eda" / "eda.json").read_text(encoding="utf-8"))
    assert explored["top_users"]["users"][0].startswith("ü<")
    assert explored["table"]["lowest"] < 0 < explored["table"]["highest"]
    page = (bare.parent / "eda" / "report.html").read_text(encoding="utf-8")
    for reason in ("no timestamps", "without a catalogue of their items", "without tags"):
        assert f"Not shown: the ratings {'have ' if reason[0] == 'n' else 'came '}{reason}." in page
    assert page.count("<img ") + page.count("Not shown") == len(list(_sections(page))) - 1  # and the table

    assert "saved" in run(report.main, bare)
    numbers = json.loads((bare / "training" / "training.json").read_text(encoding="utf-8"))
    assert sum(one["n"] for one in numbers["accuracy"]["user"]) == numbers["summary"]["n_test"] > 0
    page = (bare / "training" / "report.html").read_text(encoding="utf-8")
    assert page.count("Not shown: no search was named with --search.") == 2
    assert page.count("<img ") == 3

    said = run(geometry.main, bare)
    assert "genre agreement of neighbours: the model's items have no genres" in said
    numbers = json.loads((bare / "geometry" / "geometry.json").read_text(encoding="utf-8"))
    assert numbers["map"]["titles"][0].startswith("item it&em ")
    page = (bare / "geometry" / "report.html").read_text(encoding="utf-8")
    assert page.count("Not shown: the model&#x27;s items have no genres.") == 3
    assert "No genres are highlighted: the model&#x27;s items have none." in page
    for out in (bare.parent / "eda", bare / "training", bare / "geometry"):
        check_page((out / "report.html").read_text(encoding="utf-8"))


def _sections(page: str) -> list[str]:
    return page.split("<h2>")[1:]


@pytest.mark.long
def test_one_user_is_refused_in_files_and_explored_in_stores(tmp_path: Path) -> None:
    rows = "".join(f"u,i{item},{item % 5 + 1}\n" for item in range(30))
    (tmp_path / "one.csv").write_text(f"user,item,rating\n{rows}")
    said = run(eda.main, "--data", tmp_path / "one.csv", "--out", tmp_path / "out")
    assert "ratings of 1 user; expected at least two users" in said
    assert not (tmp_path / "out").exists()
    stored(bare_table(n_users=1, n_items=60), tmp_path / "store")
    assert "1 users" in run(eda.main, "--data", tmp_path / "store", "--out", tmp_path / "out")
    numbers = json.loads((tmp_path / "out" / "eda.json").read_text())
    assert "no exponent was fitted" in numbers["degrees"]["users"]["fit"]["missing"]


@pytest.mark.long
def test_one_user_has_a_model_without_a_density(tmp_path: Path) -> None:
    folder = trained(bare_table(n_users=1, n_items=60), tmp_path / "run")
    run(report.main, folder)
    run(geometry.main, folder)
    numbers = json.loads((folder / "geometry" / "geometry.json").read_text())
    assert numbers["density"]["users"] == {"missing": "only 1 rows have ratings"}


@pytest.mark.usefixtures("no_pictures")
def test_a_model_whose_ratings_are_others_by_now_is_reported_without_them(bare: Path, tmp_path: Path) -> None:
    other = stored(bare_table(seed=5), tmp_path / "other")
    folder = tmp_path / "run"
    shutil.copytree(bare / "model", folder / "model")
    for file in (folder / "report.json", folder / "model" / "zarr.json"):
        text = (bare / file.relative_to(folder)).read_text(encoding="utf-8")
        told = json.loads(text.replace(str(bare.parent / "run-store"), other.path))
        told.get("attributes", {}).pop("checksum", None)
        file.write_text(json.dumps(told), encoding="utf-8")
    run(report.main, folder)
    page = (folder / "training" / "report.html").read_text(encoding="utf-8")
    assert "Not shown: " in page
    assert "the store holds other ratings than the model was trained on" in page
    assert page.count("<img ") == 2  # the curves are the run's own


@pytest.mark.long
def test_a_report_json_of_another_run_beside_the_model_changes_nothing(bare: Path, tmp_path: Path) -> None:
    folder = trained(bare_table(seed=7), tmp_path / "run")
    own = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    shutil.copy(bare / "report.json", folder / "report.json")
    assert "saved" in run(report.main, folder)
    numbers = json.loads((folder / "training" / "training.json").read_text(encoding="utf-8"))
    assert numbers["summary"]["test_rmse"] == own["test_rmse"]
    assert own["test_rmse"] != json.loads((bare / "report.json").read_text(encoding="utf-8"))["test_rmse"]


@pytest.mark.long
def test_names_in_any_script_stay_text(tmp_path: Path) -> None:
    folder = trained(hostile_table(), tmp_path / NAME)
    speeds = {"results": [{"name": f"{HOSTILE}{n}", "seconds": n + 1.0, "status": HOSTILE} for n in range(2)]}
    (tmp_path / "bench.json").write_text(json.dumps(speeds))
    run(report.main, folder, "--bench", tmp_path / "bench.json")
    run(geometry.main, folder, "--label", f"{HOSTILE}3")
    run(eda.main, "--data", tmp_path / f"{NAME}-store", "--out", tmp_path / "eda")
    pages = {
        "Training of": folder / "training" / "report.html",
        "Geometry of": folder / "geometry" / "report.html",
        "Items of": folder / "geometry" / "map.html",
        "Ratings of": tmp_path / "eda" / "report.html",
    }
    for title, path in pages.items():
        page = path.read_text(encoding="utf-8")
        check_page(page)
        assert f"<title>{title} &lt;b&gt;run &amp; &quot;Я&#x27;ش&quot; 日本 $x$" in page
    assert "alert(&#x27;x&#x27;)" in pages["Geometry of"].read_text(encoding="utf-8")
    data = pages["Items of"].read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["titles"][0].startswith(HOSTILE)
    drawn = json.loads((folder / "geometry" / "geometry.json").read_text(encoding="utf-8"))
    assert [drawn["map"]["titles"][n] for n in drawn["map"]["labelled"]] == [f"{HOSTILE}3"]


@pytest.mark.long
def test_lone_surrogates_and_line_separators_do_not_break_json_or_page(tmp_path: Path) -> None:
    from daskals.analysis.eda import explore
    from daskals.plots.eda import write_exploration

    numbers = explore(stored(bare_table(), tmp_path / "store"))  # of which there are few figures
    numbers["top_users"]["users"][0] = "\ud800\u2028<i>"
    folder = tmp_path / "out"
    folder.mkdir()
    write_exploration(numbers, folder, "\ud800\u2028<i>")
    assert (
        json.loads((folder / "eda.json").read_text(encoding="utf-8"))["top_users"]["users"][0] == "?\u2028<i>"
    )
    assert "<i>" not in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_ratings_that_are_all_alike_have_figures(tmp_path: Path) -> None:
    table = bare_table()
    table.values[:] = np.float32(3.0)
    folder = trained(table, tmp_path / "run")
    run(eda.main, "--data", tmp_path / "run-store", "--out", tmp_path / "eda")
    assert json.loads((tmp_path / "eda" / "eda.json").read_text())["table"]["deviation"] == 0
    run(report.main, folder)
    run(geometry.main, folder)
    numbers = json.loads((folder / "geometry" / "geometry.json").read_text())
    assert "missing" in numbers["map"] or len(numbers["map"]["x"]) == 40
