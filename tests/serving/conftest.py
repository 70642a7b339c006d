"""A model of planted tastes with a catalogue, trained once for all that serve it."""

from __future__ import annotations

from pathlib import Path

import pytest

from daskals.fitting.fit import fit
from tests.cases.movies import TRAINING, write_movies


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Model folder beside `ml-planted`, the ratings that it was trained on."""
    path = tmp_path_factory.mktemp("movies")
    fit(write_movies(path / "ml-planted"), TRAINING).save(path / "model")
    return path / "model"
