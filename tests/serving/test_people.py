"""What invented people get by default: titles of the kind they like, and titles that people know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from jobs import recommend
from tests.cases.commands import run

pytestmark = pytest.mark.usefixtures("no_baseline")

PEOPLE = {
    "Sci-Fi": [
        "Matrix, The (1999)",
        "Alien (1979)",
        "Blade Runner (1982)",
        "Terminator, The (1984)",
        "2001: A Space Odyssey (1968)",
        "Star Wars: Episode IV - A New Hope (1977)",
        "Star Trek II: The Wrath of Khan (1982)",
        "Twelve Monkeys (a.k.a. 12 Monkeys) (1995)",
    ],
    "Comedy and Romance": [
        "When Harry Met Sally... (1989)",
        "Sleepless in Seattle (1993)",
        "Notting Hill (1999)",
        "You've Got Mail (1998)",
        "Four Weddings and a Funeral (1994)",
        "Bridget Jones's Diary (2001)",
        "Pretty Woman (1990)",
        "While You Were Sleeping (1995)",
    ],
    "Children": [
        "Toy Story (1995)",
        "Lion King, The (1994)",
        "Finding Nemo (2003)",
        "Monsters, Inc. (2001)",
        "Aladdin (1992)",
        "Beauty and the Beast (1991)",
        "Babe (1995)",
        "Toy Story 2 (1999)",
    ],
    "Horror": [
        "Exorcist, The (1973)",
        "Shining, The (1980)",
        "Halloween (1978)",
        "Nightmare on Elm Street, A (1984)",
        "Ring, The (2002)",
        "Scream (1996)",
        "Evil Dead, The (1981)",
        "Poltergeist (1982)",
    ],
    "Film-Noir": [
        "Double Indemnity (1944)",
        "Maltese Falcon, The (1941)",
        "Big Sleep, The (1946)",
        "Sunset Blvd. (a.k.a. Sunset Boulevard) (1950)",
        "Third Man, The (1949)",
        "Touch of Evil (1958)",
        "Out of the Past (1947)",
        "Laura (1944)",
    ],
}
"""Eight films each, chosen before their lists were looked at; all get five stars."""


@pytest.fixture(scope="module")
def folder(latest_small, tmp_path_factory) -> Path:
    """Folder of a model of real ratings, trained with the default order."""
    path = tmp_path_factory.mktemp("people") / "model"
    fit(latest_small, TrainConfig(model="als", rank=8, epochs=4)).save(path)
    return path


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_person_gets_what_they_like_and_people_know(kind, folder):
    model = Model.load(folder)
    person = model.fold_in(dict.fromkeys(PEOPLE[kind], 5.0))
    found = model.recommend(person)
    wanted = set(kind.split(" and "))
    alike = [wanted <= set(genres) for genres in found["genres"]]
    assert sum(alike) >= 7, found["title"].tolist()
    assert np.median(found["n_ratings"]) >= 40
    assert found["n_ratings"].min() >= 5
    assert not set(PEOPLE[kind]) & set(found["title"])


def test_the_command_gives_a_person_the_same_list(folder, tmp_path):
    model = Model.load(folder)
    expected = model.recommend(model.fold_in(dict.fromkeys(PEOPLE["Horror"], 5.0)), order="affinity")
    rated = [part for title in PEOPLE["Horror"] for part in ("--rate", f"{title}=5")]
    assert run(recommend, folder, *rated, "--json", tmp_path / "typed.json").exit_code == 0
    lines = "\n".join(f'"{title}",5' for title in PEOPLE["Horror"])
    (tmp_path / "own.csv").write_text(f"title,rating\n{lines}\n")
    own = ("--ratings", tmp_path / "own.csv", "--json", tmp_path / "file.json")
    assert run(recommend, folder, *own).exit_code == 0
    for name in ("typed", "file"):
        told = json.loads((tmp_path / f"{name}.json").read_text())
        assert told["order"] == "affinity"
        assert [line["title"] for line in told["recommendations"]] == expected["title"].tolist()
