"""The geometry of models: what is found is what was planted, and what cannot be found is said."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import numpy as np
import pyarrow as pa
import pytest

from daskals.analysis.density import joint_density
from daskals.analysis.geometry import describe_geometry, polarity
from daskals.analysis.projection import map_items
from daskals.analysis.separation import genre_means, neighbour_agreement, paper_claims, silhouette
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.fitted import Model
from daskals.model.neighbours import Neighbours
from daskals.plots.scatter_page import script_json
from jobs import geometry
from tests.cases.insight_cases import HOSTILE, bare_table, check_page, hostile_table, planted_genres, stored

pytestmark = pytest.mark.usefixtures("no_baseline")

NAMES = ["Horror", "Children", "Documentary"]


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(geometry.main, [str(argument) for argument in arguments])


def make_model(
    factors: np.ndarray, genres: list[list[str]] | None, counts: np.ndarray | None = None
) -> Model:
    n = len(factors)
    catalogue = None
    if genres is not None:
        catalogue = pa.table({"title": [f"Film {row}" for row in range(n)], "genres": genres})
    rows = pack_rows(factors.astype(np.float32), np.zeros(n, np.float32))
    return Model(
        rank=factors.shape[1],
        mean=3.0,
        limits=(0.5, 5.0),
        user_rows=rows,
        item_rows=rows,
        user_ids=pa.array(range(n)),
        item_ids=pa.array(range(n)),
        user_counts=np.ones(n, np.int64),
        item_counts=np.arange(n, 0, -1) if counts is None else counts,
        catalogue=catalogue,
        report={"config": {"model": "als", "rank": factors.shape[1]}},
    )


def nearest(factors: np.ndarray) -> np.ndarray:
    """Return the places of each item's ten nearest by cosine."""
    rows = np.arange(len(factors))
    everything = np.ones(len(factors), bool)
    return Neighbours(factors.astype(np.float32), None).nearest(rows, 10, everything).items.astype(np.int64)


def test_separated_genres_are_found_and_mixed_ones_are_not() -> None:
    counts = np.arange(300)
    for apart, found in ((3.0, True), (0.0, False)):
        factors, genres = planted_genres(apart=apart)
        near = neighbour_agreement(nearest(factors), genres, counts)
        assert (near["p_value"] < 0.01) == found
        assert (near["p_value_like_popularity"] < 0.01) == found
        assert near["chance"] == pytest.approx(99 / 299, abs=0.02)
        shape = silhouette(factors, genres)
        assert (shape["p_value"] < 0.01) == found
        assert [claim["holds"] for claim in paper_claims(factors[:, :2], genres, NAMES)["claims"][:2]] == [
            found,
            found,
        ]


def test_agreement_by_popularity_alone_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    popularity = rng.permutation(400)
    # popular items share a genre, and lie near each other only because they are popular
    genres = np.eye(2)[(popularity > 200).astype(int)]
    factors = np.stack([popularity > 200, popularity <= 200], axis=1) + rng.normal(0, 0.1, (400, 2))
    near = neighbour_agreement(nearest(factors), genres, popularity)
    assert near["p_value"] < 0.01
    assert near["p_value_like_popularity"] > 0.01


def test_silhouette_equals_its_definition() -> None:
    factors, genres = planted_genres(n=30, apart=1.0)
    labels = genres.argmax(axis=1)
    expected = []
    for i in range(30):
        distances = np.linalg.norm(factors - factors[i], axis=1)
        inside = distances[(labels == labels[i]) & (np.arange(30) != i)].mean()
        outside = min(distances[labels == other].mean() for other in range(3) if other != labels[i])
        expected.append((outside - inside) / max(outside, inside))
    assert silhouette(factors, genres)["silhouette"] == pytest.approx(np.mean(expected))


def test_genre_means_have_intervals_that_cover() -> None:
    factors, genres = planted_genres(apart=2.0)
    means = genre_means(factors[:, :2], genres, NAMES)
    assert means["names"] == NAMES
    place = means["names"].index("Horror")
    assert means["low"][place][0] < means["means"][place][0] < means["high"][place][0]
    assert means["means"][place][0] == pytest.approx(2.0, abs=0.4)


def test_map_is_direct_at_rank_2_and_principal_above(tmp_path: Path) -> None:
    factors, _ = planted_genres(apart=3.0, rank=2)
    found = map_items(make_model(factors, None), also=(299,), top=10)
    assert found.axes == ("factor 1", "factor 2")
    np.testing.assert_allclose(found.places, factors[[*range(10), 299]], rtol=1e-6)
    factors, _ = planted_genres(apart=3.0)
    found = map_items(make_model(factors, None))
    centred = factors - factors.mean(axis=0)
    shares = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert found.axes[0] == f"principal axis 1 ({100 * shares[0] / shares.sum():.0f} % of the variance)"
    np.testing.assert_allclose((found.places**2).sum(axis=0), shares[:2], rtol=1e-5)


def test_density_tells_a_gaussian_from_another() -> None:
    rng = np.random.default_rng(0)
    gaussian = joint_density(rng.normal(0, 1, (4000, 5)) * [3, 2, 1, 1, 1])
    assert len(gaussian["pairs"]) == 3
    np.testing.assert_allclose(gaussian["pairs"][0]["within"], (0.5, 0.9, 0.99), atol=0.03)
    assert abs(gaussian["pairs"][0]["excess_kurtosis"]) < 1
    assert gaussian["distance"] < 0.03
    heavy = joint_density(rng.standard_t(3, (4000, 5)))
    assert heavy["distance"] > 0.1
    assert heavy["pairs"][0]["excess_kurtosis"] > 5


def test_polarity_ranks_by_length_of_well_rated_items() -> None:
    factors = np.zeros((100, 2))
    factors[:, 0] = np.arange(100)
    model = make_model(factors, None, counts=np.where(np.arange(100) < 60, 1500, 3))
    found = polarity(model)
    assert (found["min_ratings"], found["items"]) == (1000, 60)
    assert [one["norm"] for one in found["most"][:2]] == [59, 58]
    assert found["least"][0] == {"title": "item 0", "norm": 0.0, "n_ratings": 1500}
    assert polarity(model, 3)["most"][0]["norm"] == 99
    assert polarity(model, 5000) == {"missing": "no item has 5,000 training ratings"}


@pytest.mark.parametrize(
    ("rank", "reason"), [(0, "a map takes two factors, and the model has 0"), (1, "and the model has 1")]
)
def test_too_few_factors_are_said(rank: int, reason: str) -> None:
    numbers = describe_geometry(make_model(np.ones((30, rank)), None))
    assert reason in numbers["map"]["missing"]
    assert "a pair takes two factors" in numbers["density"]["items"]["missing"]


def test_what_small_or_flat_models_lack_is_said() -> None:
    flat = make_model(np.outer(np.arange(30.0), np.ones(3)), None)
    numbers = describe_geometry(flat)
    assert numbers["map"]["missing"] == "the items' factors lie on one line"
    assert numbers["density"]["items"]["missing"] == "the factors lie on one line"
    assert "three rated items" in map_items(make_model(np.eye(3), None, counts=np.array([1, 0, 0])))
    few = describe_geometry(make_model(np.random.default_rng(0).normal(size=(8, 3)), [["A"], ["B"]] * 4))
    assert "no genre has 5 items" in few["genre_means"]["missing"]
    assert "fewer than 5 items of Horror, Children, Documentary" in few["claims"]["missing"]
    assert "fewer than 11 items have genres" in few["neighbours"]["missing"]
    assert "no two genres have 5 items" in few["silhouette"]["missing"]
    assert "only 8 rows have ratings" in few["density"]["items"]["missing"]


@pytest.mark.slow
def test_report_of_real_ratings(latest_small: Path, tmp_path: Path) -> None:
    model = fit(latest_small, TrainConfig(model="als", rank=20, epochs=15, test_fraction=0.2))
    model.save(tmp_path / "model")
    result = run(tmp_path, "--label", "toy story", "--label", "The Matrix", "--min-ratings", 50)
    assert result.exit_code == 0, result.output
    assert "10 nearest items share a genre in" in result.output
    numbers = json.loads((tmp_path / "geometry" / "geometry.json").read_text())
    assert numbers["neighbours"]["p_value"] < 0.01
    assert [numbers["map"]["titles"][n] for n in numbers["map"]["labelled"]] == [
        "Toy Story (1995)",
        "Matrix, The (1999)",
    ]
    assert len(numbers["map"]["x"]) == 2500
    assert numbers["map"]["highlighted"] == ["Horror", "Children", "Documentary"]
    page = (tmp_path / "geometry" / "report.html").read_text()
    assert page.count("<img ") == 5
    assert "Not shown" not in page
    result = run(tmp_path, "--label", "xqzvw jjkq", "--overwrite")
    assert result.exit_code == 1
    assert "xqzvw jjkq" in result.output
    result = run(tmp_path)
    assert "already holds something" in result.output


@pytest.mark.slow  # beside the other reports: test_insight_bad_input.py
def test_missing_parts_are_said_and_hostile_titles_stay_text(tmp_path: Path) -> None:
    for name, table in (("bare", bare_table()), ("hostile", hostile_table())):
        store = stored(table, tmp_path / f"{name}-store")
        config = TrainConfig(rank=3, epochs=3, lambda_=0.1, model="als")
        fit(store, config).save(tmp_path / name / "model")
        result = run(tmp_path / name)
        assert result.exit_code == 0, result.output
        check_page((tmp_path / name / "geometry" / "report.html").read_text())
        check_page((tmp_path / name / "geometry" / "map.html").read_text())
    page = (tmp_path / "bare" / "geometry" / "report.html").read_text()
    assert page.count("Not shown: the model&#x27;s items have no genres.") == 3
    points = (tmp_path / "hostile" / "geometry" / "map.html").read_text()
    data = points.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["titles"][0].startswith(HOSTILE)


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = script_json({"a": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["als", "hierarchical"])
def test_neighbours_share_genres_on_a_million_ratings(kind: str) -> None:
    model = fit("synthetic-1m", TrainConfig(model=kind, rank=10, epochs=15))
    near = describe_geometry(model)["neighbours"]
    print(kind, near)
    assert near["p_value"] < 0.01
    assert near["p_value_like_popularity"] < 0.01
