"""Exploration: the papers' numbers on real ratings, figures for every part, a line for every missing one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pytest

from daskals.analysis.eda import explore
from daskals.analysis.powerlaw import fit_power_law
from daskals.errors import ConfigError
from daskals.ingest import resolve_store
from daskals.plots.page import Section, write_page
from daskals.plots.requirements import require
from daskals.plots.style import plain
from daskals.ratings.shown_text import in_html
from jobs import eda
from tests.cases.insight_cases import HOSTILE, bare_table, check_page, hostile_table, stored

FIGURES = [
    "rating-values",
    "most-active-users",
    "degree-distributions",
    "ratings-per-year",
    "ratings-above-their-biases",
    "releases-per-year",
    "mean-rating-by-release-year",
    "genre-means-and-shares",
    "genre-means-against-popularity",
    "tag-cloud",
]


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(eda.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def small(latest_small: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("eda") / "out"
    result = run("--data", latest_small, "--out", out)
    assert result.exit_code == 0, result.output
    assert "100,836 ratings, 610 users, 9,724 rated items, mean 3.5016, sparsity 98.30 %" in result.output
    return out


@pytest.mark.long
def test_table_1(small: Path) -> None:
    table = json.loads((small / "eda.json").read_text(encoding="utf-8"))["table"]
    assert (table["n_ratings"], table["n_users"], table["n_rated_items"]) == (100_836, 610, 9_724)
    assert round(table["mean"], 4) == 3.5016
    assert round(table["sparsity_percent"], 2) == 98.30


@pytest.mark.long
def test_every_figure_is_made(small: Path) -> None:
    for name in FIGURES:
        assert (small / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (small / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    page = (small / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(FIGURES)
    assert "Not shown" not in page
    check_page(page)


@pytest.mark.long
def test_numbers_equal_those_of_a_data_frame(small: Path, latest_small: Path) -> None:
    numbers = json.loads((small / "eda.json").read_text(encoding="utf-8"))
    ratings = pd.read_csv(latest_small / "ratings.csv")
    movies = pd.read_csv(latest_small / "movies.csv")
    values = ratings["rating"].value_counts().sort_index()
    assert numbers["rating_histogram"]["values"] == values.index.tolist()
    assert numbers["rating_histogram"]["counts"] == values.tolist()
    years = pd.to_datetime(ratings["timestamp"], unit="s").dt.year.value_counts().sort_index()
    assert numbers["ratings_per_year"] == {"years": years.index.tolist(), "counts": years.tolist()}
    top = ratings["userId"].value_counts()
    assert numbers["top_users"]["counts"] == top.tolist()[:20]
    joined = ratings.merge(movies, on="movieId").assign(genre=lambda frame: frame["genres"].str.split("|"))
    by_genre = joined.explode("genre").groupby("genre")["rating"].agg(["mean", "size"])
    got = numbers["genres"]
    for name, mean, n in zip(got["names"], got["means"], got["ratings"], strict=True):
        assert mean == pytest.approx(by_genre.loc[name, "mean"])
        assert n == by_genre.loc[name, "size"]
    assert sum(got["item_share_percent"]) == pytest.approx(100)
    year = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0].astype(float)
    assert sum(numbers["releases_per_year"]["counts"]) == int(year.notna().sum())
    by_year = ratings.merge(movies.assign(year=year), on="movieId").groupby("year")["rating"].mean()
    assert numbers["mean_by_release_year"]["years"] == by_year.index.astype(int).tolist()
    np.testing.assert_allclose(numbers["mean_by_release_year"]["means"], by_year)
    tags = pd.read_csv(latest_small / "tags.csv")["tag"].str.strip().str.lower().value_counts()
    assert numbers["tags"]["counts"][:5] == tags.tolist()[:5]


@pytest.mark.long
def test_missing_parts_are_said_in_one_line(tmp_path: Path) -> None:
    stored(bare_table(), tmp_path / "store")
    result = run("--data", tmp_path / "store", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not shown: the ratings have no timestamps." in page
    assert page.count("Not shown: the ratings came without a catalogue of their items.") == 4
    assert "Not shown: the ratings came without tags." in page
    assert page.count("<img ") == 3
    numbers = json.loads((tmp_path / "out" / "eda.json").read_text(encoding="utf-8"))
    assert sum(numbers["rating_histogram"]["counts"]) == numbers["table"]["n_ratings"]
    assert numbers["table"]["lowest"] < -3
    assert "50 rows" in numbers["degrees"]["items"]["fit"]["missing"]
    check_page(page)


def test_years_are_calendar_years(tmp_path: Path) -> None:
    table = hostile_table()
    edge = int(dt.datetime(2010, 1, 1, tzinfo=dt.UTC).timestamp())
    times = np.full(table.n_ratings, edge)
    times[:3] = edge - 1, edge - 1, -1
    store = stored(type(table)(**{**vars(table), "timestamps": times}), tmp_path / "store")
    years = explore(store)["ratings_per_year"]
    counted = {year: n for year, n in zip(years["years"], years["counts"], strict=True) if n}
    assert counted == {1969: 1, 2009: 2, 2010: table.n_ratings - 3}


def test_a_power_law_is_recovered_and_another_law_is_not_taken_for_one() -> None:
    rng = np.random.default_rng(0)
    law = fit_power_law(rng.zipf(2.5, 20_000))
    assert abs(law["exponent"] - 2.5) < 4 * law["standard_error"]
    assert law["p_value"] > 0.1
    other = fit_power_law(np.ceil(rng.lognormal(3.0, 0.5, 20_000)).astype(np.int64))
    assert other["lognormal_ratio"] < 0
    assert "no exponent was fitted" in fit_power_law(np.full(100, 7))["missing"]


@pytest.mark.long
def test_writes_whole_or_nothing(small: Path, latest_small: Path, tmp_path: Path) -> None:
    result = run("--data", latest_small, "--out", small)
    assert result.exit_code == 1
    assert "already holds something; expected a folder that is not there yet" in result.output
    (tmp_path / "mine.txt").write_text("mine")
    result = run("--data", latest_small, "--out", tmp_path, "--overwrite")
    assert result.exit_code == 1
    assert "holds no eda.json; expected a folder of earlier results" in result.output
    result = run("--out", tmp_path / "out")
    assert "--data, --dataset: found neither; expected one of the two" in result.output
    result = run("--data", "x", "--dataset", "y", "--out", tmp_path / "out")
    assert "found both" in result.output
    assert run("--data", tmp_path / "nowhere", "--out", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_same_ratings_give_the_same_bytes_and_replace_their_own_results(tmp_path: Path) -> None:
    stored(hostile_table(), tmp_path / "store")
    out = tmp_path / "out"
    contents = []
    for extra in ([], ["--overwrite"]):
        result = run("--data", tmp_path / "store", "--out", out, *extra)
        assert result.exit_code == 0, result.output
        contents.append({path: path.read_bytes() for path in out.rglob("*.*")})
    assert len(contents[0]) == 2 * len(FIGURES) + 2
    assert contents[0] == contents[1]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(FIGURES)
    check_page(page)
    numbers = json.loads((out / "eda.json").read_text(encoding="utf-8"))
    assert f"{HOSTILE}0" in numbers["genres"]["names"]


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"nonesuch is not installed\. Install it with: pip install 'daskals\[plots\]'"
    ):
        require("nonesuch", "plots")


def test_text_for_figures_and_pages(tmp_path: Path) -> None:
    assert plain("a$b\n\x00c" + "x" * 100, 10) == r"a\$b cxxxx…"
    assert in_html("<\ud800\x01>") == "&lt;\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}&gt;"
    write_page(
        tmp_path / "page.html", "t", "i", [Section("h", columns=("a", "b"), rows=[(True, None), (1234, 0.5)])]
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>yes</td><td>–</td>" in page
    assert '<td class="number">1,234</td><td class="number">0.500</td>' in page


@pytest.mark.slow
def test_32_million_ratings_take_20_seconds_of_cores() -> None:
    """Which 30 s by the clock were, on a machine that did nothing else; it may do."""
    import time

    store = resolve_store("synthetic-32m")
    start = time.process_time()
    explore(store)
    assert time.process_time() - start < 20
