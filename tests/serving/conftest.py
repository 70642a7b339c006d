"""A model of planted tastes with a catalogue, trained once for all that serve it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import daskals
from daskals import TrainConfig
from daskals.fitting.fit import fit
from tests.cases.movies import TRAINING, write_movies


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Model folder beside `ml-planted`, the ratings that it was trained on."""
    path = tmp_path_factory.mktemp("movies")
    fit(write_movies(path / "ml-planted"), TRAINING).save(path / "model")
    return path / "model"


@pytest.fixture(scope="session")
def clicks(tmp_path_factory, client):
    """A model of clicks with texts as ids and no titles."""
    users = [f"user-{k % 12}" for k in range(120)]
    items = [f"item {k * 7 % 20:03}" for k in range(120)]
    frame = pd.DataFrame({"user": users, "item": items})
    columns = {"user": "user", "item": "item"}
    config = TrainConfig(model="ials", columns=columns, rank=2, epochs=2)
    folder = tmp_path_factory.mktemp("clicks") / "model"
    daskals.fit(frame, config, client).save(folder)
    return folder
