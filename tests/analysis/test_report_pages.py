"""What a report says where nothing can be said: undecided differences, folded lists; and how it is set."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from daskals.analysis.training import describe_run
from daskals.plots import nights, training
from daskals.plots.anomalies import _list_section
from daskals.plots.eda import _fit_remark
from daskals.plots.page import Section, write_page
from daskals.retrain.night import Check, Outcome
from daskals.retrain.report import as_html

FIT = {
    "p_value": 0.4, "exponent": 2.1, "standard_error": 0.1, "cutoff": 20, "n_tail": 300, "ks_distance": 0.03,
    "lognormal_ratio": -0.1, "lognormal_p_value": 0.89,
}  # fmt: skip


@pytest.mark.parametrize(
    ("p_value", "ratio", "said"),
    [
        (0.89, -0.1, "there is no clear difference between it and a log-normal"),
        (0.02, -2.3, "a log-normal fits better"),
        (0.02, 2.3, "the power law fits better"),
    ],
)
def test_a_law_is_better_only_where_that_is_clear(p_value, ratio, said):
    text = _fit_remark("users", {**FIT, "lognormal_p_value": p_value, "lognormal_ratio": ratio})
    assert f"(a power law is not ruled out); {said} (normalised" in text
    assert f"p = {p_value}" in text


def test_a_list_of_which_nothing_can_be_decided_is_folded(tmp_path):
    listed = {"tested": 0, "flagged": 0, "undecided": 1234, "undecided_why": "too few ratings", "rows": []}
    folded = _list_section({"users": listed}, "users")
    assert folded.folded == "None of 1,234 can be decided: why"
    assert _list_section({"users": {**listed, "tested": 3}}, "users").folded == ""
    write_page(tmp_path / "page.html", "T", "I", [folded, Section("Open", text=["open text"])])
    page = (tmp_path / "page.html").read_text()
    assert re.search(r"</h2>\n<details><summary>None of 1,234 can be decided: why</summary>\n<p>", page)
    assert page.count("<details>") == page.count("</details>") == 1
    assert page.index("</details>") < page.index("open text")


def test_heads_of_numbers_stand_above_them(tmp_path):
    section = Section(
        "Table", columns=("Name", "Ratings", "RMSE"), rows=iter([("a", 3, None), ("b", 4, 0.5)])
    )
    write_page(tmp_path / "page.html", "T", "I", [section])
    page = (tmp_path / "page.html").read_text()
    assert '<th>Name</th><th class="number">Ratings</th><th class="number">RMSE</th>' in page


def test_the_page_of_a_night_fits_a_phone():
    check = Check(name="rows", value=12.0, limit=20.0, passed=True)
    page = as_html(Outcome(code=0, as_of="2024-05-01", summary="promoted", checks=[check]))
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert '<th class="n">found</th>' in page
    assert page.count('<div class="wide"><table>') == page.count("<table>") == 1


def test_nights_are_whole_numbers(monkeypatch, tmp_path):
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    night = {"champion_rmse": 0.9, "cold_rmse": 0.88, "code": 0, "cold_seconds": 2.0, "warm_seconds": 1.0}
    result = {"nights": [{"night": k, **night} for k in (1, 2, 3)], "ratio_low": 1.0, "ratio_high": 1.02}
    nights.plot_nights(result, tmp_path / "nights.png")
    for panel in drawn[0].axes:
        assert all(tick == round(tick) for tick in panel.get_xticks())
        assert len(panel.get_yticks()) <= 7


class Bare:
    """A model without held-out ratings, of which the report is all that is read."""

    times = None
    report = {  # noqa: RUF012
        "data": {"n_test": 0, "store": "gone", "content_hash": "0" * 64, "split": {"kind": "none"}}
    }


def test_the_curve_shows_test_and_biases():
    report = {
        "config": {}, "data": {"n_test": 0}, "test_rmse": 0.85, "baseline": {"test_rmse": 0.9},
        "history": [{"epoch": k, "objective": 9.0 - k, "train_rmse": 0.9 - 0.1 * k} for k in (1, 2)],
    }  # fmt: skip
    numbers = describe_run(report, Bare(), None, None)
    assert numbers["summary"]["test_rmse_of_biases_alone"] == 0.9
    assert numbers["history"]["levels"] == {"test": 0.85, "biases": 0.9}
    labels = training.draw_rmse(numbers["history"]).axes[0].get_legend_handles_labels()[1]
    assert labels == [
        "train, 0.7000 at last", "test, of the model that was saved, 0.8500", "test, biases alone, 0.9000",
    ]  # fmt: skip
    followed = {**numbers["history"], "test_rmse": [0.95, 0.85]}
    assert np.array(training.draw_rmse(followed).axes[0].get_legend_handles_labels()[1]).tolist() == [
        "train, 0.7000 at last", "test, 0.8500 at last", "test, biases alone, 0.9000",
    ]  # fmt: skip
