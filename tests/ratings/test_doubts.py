"""Numbers that are no ratings though they were read as such: said, for nothing else shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings

PAIRS = pd.DataFrame({"user": np.arange(600) // 30, "item": np.arange(600) % 30})
GENERATOR = np.random.default_rng(5)


def test_an_average_of_the_item__is_said(caplog):
    frame = PAIRS.assign(score=6 + PAIRS["item"] / 10)
    from_frame(frame)
    assert "column 'score': all ratings of an item are the same, whoever rated it" in caplog.text
    assert 'columns={"user": "user", "item": "item", "rating": "…"}' in caplog.text


def test_an_average_of_the_user__is_said(caplog):
    from_frame(PAIRS.assign(rating=PAIRS["user"] / 4))
    assert "all ratings of a user are the same, whoever they rated" in caplog.text


def test_counts__are_told_how_to_be_trained_on(tmp_path, caplog):
    counts = np.exp(GENERATOR.normal(1, 1.5, 600)).astype(int) + 1
    PAIRS.assign(n=counts).to_csv(tmp_path / "r.csv", index=False, header=False)
    read_ratings(tmp_path / "r.csv")
    told = "they look like counts. Train on clicks or plays with --model ials --columns "
    assert f"{told}user=user,item=item,weight=rating." in caplog.text
    table = read_ratings(
        tmp_path / "r.csv", Reading(columns={"user": "user", "item": "item", "weight": "rating"})
    )
    assert table.adds_up
    assert table.values.sum() == counts.sum()


def test_a_name_with_a_blank__is_told_in_quotes(tmp_path, caplog):
    counts = np.exp(GENERATOR.normal(1, 1.5, 600)).astype(int) + 1
    PAIRS.assign(rating=counts).rename(columns={"user": "User Name"}).to_csv(tmp_path / "r.csv", index=False)
    read_ratings(tmp_path / "r.csv")
    assert '--columns "user=User Name,item=item,weight=rating".' in caplog.text


@pytest.mark.parametrize(
    "ratings",
    [
        GENERATOR.integers(1, 6, 600),
        GENERATOR.integers(0, 101, 600),
        GENERATOR.normal(0, 5, 600),
        np.ones(600),
        np.where(PAIRS["item"] > 3, 5, 1),
    ],
)
def test_ratings__are_read_without_a_word(caplog, ratings):
    from_frame(PAIRS.assign(rating=ratings))
    assert not caplog.records


def test_few_ratings__tell_nothing(caplog):
    from_frame(pd.DataFrame({"user": [1, 2, 3, 4], "item": [1, 1, 2, 2], "rating": [1, 1, 90, 90]}))
    assert not caplog.records


@pytest.mark.parametrize(
    ("users", "told"),
    [
        (["NA", "u1", "NA", "u2"], "frame: 2 of 4 rows are of the user 'NA', read as any other id"),
        (["7", "null", *(str(user) for user in range(200))], "1 of 202 rows are of the user 'null'"),
        (["u", "None", *(f"u{user}" for user in range(200))], ""),
        (["7", "8"], ""),
    ],
)
def test_ids_that_say_that_there_is_none__are_said(caplog, users, told):
    frame = pd.DataFrame({"user": users, "item": np.arange(len(users)), "rating": 3.0})
    assert from_frame(frame).n_users == len(set(users))
    assert told in caplog.text if told else caplog.messages == []
