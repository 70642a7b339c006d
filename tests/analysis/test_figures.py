"""The reports' figures: what is drawn equals the numbers, and no word of it is cut off."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch, Rectangle
from matplotlib.text import Text

from daskals.analysis.eda import explore
from daskals.analysis.geometry import describe_geometry
from daskals.analysis.missing import missing
from daskals.analysis.search import grid_facets, rank_curve
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.plots import eda, geometry, training
from daskals.plots.notebook import picture
from daskals.plots.style import styled
from tests.cases.insight_cases import bare_table, hostile_table, planted_genres, stored, trials

pytestmark = pytest.mark.usefixtures("no_baseline")

EDA = {heading: (key, draw) for key, heading, _, draw in eda.FIGURES}
GEOMETRY = {
    "map": geometry.draw_map,
    "genre_means": geometry.draw_means,
    "polarity": geometry.draw_polarity,
}
HISTORY = {"epoch": [1, 2, 3], "objective": [30.0, 20.0, 2.0], "train_rmse": [0.9, 0.8, 0.7]}
HISTORY |= {"validation_rmse": [None, 0.95, 0.9], "seconds": [1.0, 1.0, 1.0]}


def drawn(draw, numbers) -> Figure:
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = draw(numbers)
        figure.draw_without_rendering()
    return figure


def check_words(figure: Figure) -> None:
    """Every word lies within the figure, and every panel says what it shows and in what."""
    frame = figure.bbox
    for text in set(figure.findobj(Text)) - undrawn(figure):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            outside = max(frame.x0 - box.x0, box.x1 - frame.x1, frame.y0 - box.y0, box.y1 - frame.y1)
            assert outside < 1, text.get_text()
    for axes in figure.axes:
        if axes.axison and axes.get_label() != "<colorbar>":
            assert axes.get_title()
            assert axes.get_xlabel()
            assert axes.get_ylabel() or axes.get_yticklabels()


def undrawn(figure: Figure) -> set[Text]:
    """Labels of ticks that lie outside their axis, and all of axes that are off."""
    found: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not axes.axison or not low <= tick.get_loc() <= high:
                    found |= {tick.label1, tick.label2}
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return stored(hostile_table(), tmp_path_factory.mktemp("stores") / "hostile")


@pytest.fixture(scope="module")
def explored(hostile):
    return explore(hostile)


@pytest.fixture(scope="module")
def described(hostile):
    return describe_geometry(fit(hostile, TrainConfig(rank=2, epochs=3, lambda_=0.1, model="als")))


@pytest.mark.parametrize("heading", EDA)
def test_words_of_the_exploration_are_whole(explored, heading: str) -> None:
    key, draw = EDA[heading]
    check_words(drawn(draw, explored[key]))


@pytest.mark.slow
def test_words_of_the_exploration_of_real_ratings_are_whole(latest_small: Path) -> None:
    numbers = explore(resolve_store(latest_small))
    for key, draw in EDA.values():
        check_words(drawn(draw, numbers[key]))


@pytest.mark.parametrize("part", GEOMETRY)
def test_words_of_the_geometry_are_whole(described, part: str) -> None:
    check_words(drawn(GEOMETRY[part], described[part]))


@pytest.mark.long
@pytest.mark.parametrize("rank", [2, 3])
def test_densities_are_drawn_as_counted(tmp_path: Path, rank: int) -> None:
    store = stored(bare_table(), tmp_path / "store")
    model = fit(store, TrainConfig(rank=rank, epochs=3, lambda_=0.1, model="als"))
    part = describe_geometry(model)["density"]["users"]
    figure = drawn(geometry.draw_density, part)
    check_words(figure)
    for axes, pair in zip(figure.axes, part["pairs"], strict=False):
        counts = axes.collections[0].get_array()
        np.testing.assert_array_equal(counts.filled(0), np.array(pair["histogram"]).T)
        assert [patch.get_label() for patch in axes.patches] == ["50 %", "90 %", "99 %"]
        widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Ellipse)]
        np.testing.assert_allclose(widths[0], 2 * np.sqrt(-2 * np.log(0.5)) * pair["deviations"][0])


def test_bars_of_the_exploration_equal_the_numbers(explored) -> None:
    for heading, name in (
        ("Rating values", "counts"),
        ("Ratings per year", "counts"),
        ("Releases per year", "counts"),
    ):
        key, draw = EDA[heading]
        axes = drawn(draw, explored[key]).axes[0]
        assert [bar.get_height() for bar in axes.patches] == explored[key][name]
    key, draw = EDA["Most active users"]
    assert [bar.get_width() for bar in drawn(draw, explored[key]).axes[0].patches] == explored[key]["counts"]
    key, draw = EDA["Genre means and shares"]
    means, shares = drawn(draw, explored[key]).axes
    assert sorted(means.collections[0].get_offsets()[:, 0]) == sorted(explored[key]["means"])
    assert [bar.get_width() for bar in shares.patches] == explored[key]["item_share_percent"]
    key, draw = EDA["Mean rating by release year"]
    points = drawn(draw, explored[key]).axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(points[:, 1], explored[key]["means"])


def test_degrees_are_drawn_on_logarithmic_axes_with_means_of_bins(explored) -> None:
    figure = drawn(EDA["Degree distributions"][1], explored["degrees"])
    for axes, side in zip(figure.axes, ("users", "items"), strict=True):
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        points = axes.collections[0].get_offsets()
        np.testing.assert_array_equal(points[:, 0], explored["degrees"][side]["n_ratings"])
        np.testing.assert_array_equal(points[:, 1], explored["degrees"][side]["rows"])
    middles, means = eda._binned(np.array([1, 2, 5]), np.array([8, 4, 3]))
    np.testing.assert_allclose(middles, [1, 2, np.sqrt(4 * 5)])  # bins 1, 2, 3 and 4 to 5; none has 3
    np.testing.assert_allclose(means, [8, 4, 1.5])


def test_tags_are_drawn_whole_and_the_bigger_the_more_often() -> None:
    tags = [f"{word} {number}" for number in range(6) for word in ("queue", "flying", "aura")]
    axes = drawn(eda.draw_tag_cloud, {"tags": tags, "counts": list(range(18, 0, -1))}).axes[0]
    paths = [patch.get_path() for patch in axes.patches if isinstance(patch, PathPatch)]
    assert len(paths) > 12
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for path in paths:
        ink = path.get_extents()
        assert max(left - ink.x0, ink.x1 - right, high - ink.y0, ink.y1 - low) < 1
    # the same word with another number: as often as the order says
    heights = [path.get_extents().height for path in paths[::3]]
    assert heights == sorted(heights, reverse=True)


def test_the_map_draws_every_item_once_and_documents_its_genres() -> None:
    factors, genres = planted_genres(n=60, apart=2.0)
    names = ["Horror", "Children", "Documentary"]
    points = {
        "axes": ["factor 1", "factor 2"],
        "x": factors[:, 0].tolist(),
        "y": factors[:, 1].tolist(),
        "titles": [f"Film {row}" for row in range(60)],
        "genres": [[names[n] for n in np.flatnonzero(row)] for row in genres],
        "highlighted": names,
        "labelled": [0, 1],
    }
    axes = drawn(geometry.draw_map, points).axes[0]
    # the others, one collection a genre, and circles around what is named
    assert [len(one.get_offsets()) for one in axes.collections] == [0, 20, 20, 20, 2]
    assert len({tuple(one.get_facecolor()[0]) for one in axes.collections[1:4]}) == 3


def test_curves_equal_the_numbers() -> None:
    objective = drawn(training.draw_objective, HISTORY)
    check_words(objective)
    assert objective.axes[0].get_yscale() == "log"
    assert objective.axes[0].lines[0].get_ydata().tolist() == HISTORY["objective"]
    rmse = drawn(training.draw_rmse, HISTORY)
    check_words(rmse)
    train, validation = (line.get_ydata().tolist() for line in rmse.axes[0].lines)
    assert train == HISTORY["train_rmse"]
    assert validation[1:] == HISTORY["validation_rmse"][1:]
    curve = rank_curve(trials())
    figure = drawn(training.draw_rank_curve, curve)
    check_words(figure)
    assert figure.axes[0].lines[0].get_ydata().tolist() == curve["validation_rmse"]
    assert figure.axes[0].get_legend().get_texts()[-1].get_text() == "best: K = 10, 0.9120"


def test_the_grid_frames_the_best_trial_in_the_papers_letters() -> None:
    grid = grid_facets(trials())
    figure = drawn(training.draw_grid, grid)
    check_words(figure)
    first, second = figure.axes[:2]
    assert (first.get_title(), first.get_xlabel(), first.get_ylabel()) == ("λ = 0.002", "τ", "γ")
    frames = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert [patch.get_xy() for patch in frames] == [(0.5, -0.5)]  # τ = 0.1, γ = 0.01
    assert not second.patches
    assert first.texts[1].get_text() == "0.9120"


def test_speeds_and_buckets_equal_the_numbers() -> None:
    systems = [{"name": "slow", "seconds": 8.0}, {"name": "fast", "seconds": 0.5}]
    speed = drawn(training.draw_speed, {"systems": systems})
    check_words(speed)
    assert speed.axes[0].get_xscale() == "log"
    assert [bar.get_width() for bar in speed.axes[0].patches] == [8.0, 0.5]
    bucket = {"training_ratings": "1–2", "n": 7, "rmse": 0.9, "mae": 0.7}
    empty = {"training_ratings": "0", "n": 0, "rmse": None, "mae": None}
    accuracy = drawn(training.draw_accuracy, {"item": [empty, bucket], "user": [bucket]})
    check_words(accuracy)
    for axes in accuracy.axes:
        assert [bar.get_height() for bar in axes.patches] == [0.9]
        assert axes.texts[0].get_text() == "0.900"


def test_notebooks_show_the_reports_figures_or_why_not() -> None:
    shown = picture(training.draw_objective, HISTORY)
    assert shown._repr_png_().startswith(b"\x89PNG")
    assert picture(training.draw_rank_curve, missing("the search tried one K only"))._repr_png_() is None
    assert repr(picture(training.draw_grid, missing("no search"))) == "Not shown: no search."
