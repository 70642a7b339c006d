"""A small MovieLens-like folder with planted taste: people like some genres, films of a genre go together."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from daskals.config import TrainConfig

REAL = {
    "Toy Story (1995)": "Adventure|Animation|Children|Comedy|Fantasy",
    "Toy Story 2 (1999)": "Adventure|Animation|Children|Comedy|Fantasy",
    "Toy Story 3 (2010)": "Adventure|Animation|Children|Comedy|Fantasy",
    "Lion King, The (1994)": "Adventure|Animation|Children|Drama|Musical",
    "Finding Nemo (2003)": "Adventure|Animation|Children|Comedy",
    "Monsters, Inc. (2001)": "Adventure|Animation|Children|Comedy|Fantasy",
    "Shrek (2001)": "Adventure|Animation|Children|Comedy|Fantasy|Romance",
    "Incredibles, The (2004)": "Action|Adventure|Animation|Children|Comedy",
    "Aladdin (1992)": "Adventure|Animation|Children|Comedy|Musical",
    "Spirited Away (Sen to Chihiro no kamikakushi) (2001)": "Adventure|Animation|Fantasy",
    "Matrix, The (1999)": "Action|Sci-Fi|Thriller",
    "Alien (1979)": "Horror|Sci-Fi",
    "Aliens (1986)": "Action|Adventure|Horror|Sci-Fi",
    "Shining, The (1980)": "Horror",
    "Psycho (1960)": "Crime|Horror",
    "Exorcist, The (1973)": "Horror|Mystery",
    "Godfather, The (1972)": "Crime|Drama",
    "Godfather: Part II, The (1974)": "Crime|Drama",
    "Pulp Fiction (1994)": "Comedy|Crime|Drama|Thriller",
    "Goodfellas (1990)": "Crime|Drama",
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)": "Comedy|Romance",
    "Hamlet (1990)": "Drama",
    "Hamlet (1996)": "Crime|Drama|Romance",
    "Notting Hill (1999)": "Comedy|Romance",
    "Untitled Home Movie": "(no genres listed)",
}
MADE_UP = (
    "Animation|Children",
    "Horror|Thriller",
    "Crime|Drama",
    "Comedy|Romance",
    "Documentary",
    "Action|Sci-Fi",
)
TRAINING = TrainConfig.parse(
    {"model": "als", "rank": 8, "epochs": 12, "lambda": 1.0, "tau": 2.0, "gamma": 2.0, "split": "none"}
)
N_USERS = 160
N_UNRATED = 3


def catalogue() -> list[tuple[int, str, str]]:
    """Return (movieId, title, genres); ids have gaps, as MovieLens's have."""
    films = list(REAL.items())
    films += [
        (f"Quiet Harbour {number} ({1950 + number % 70})", MADE_UP[number % len(MADE_UP)])
        for number in range(95)
    ]
    return [(1 + 3 * place, title, genres) for place, (title, genres) in enumerate(films)]


def write_movies(folder: Path, seed: int = 0) -> Path:
    """Write movies.csv, links.csv and ratings.csv; the last three films have no ratings."""
    folder.mkdir(parents=True, exist_ok=True)
    films = catalogue()
    rng = np.random.default_rng(seed)
    names = sorted({genre for _, _, genres in films for genre in genres.split("|")})
    of_genre = np.array([[name in genres.split("|") for name in names] for _, _, genres in films], float)
    of_genre /= of_genre.sum(axis=1, keepdims=True)
    taste = rng.normal(0, 1.6, (N_USERS, len(names)))
    quality = rng.normal(0, 0.35, len(films)) + 0.4 * (np.arange(len(films)) < len(REAL))
    weight = 1.0 / (3 + np.arange(len(films)))
    weight[-N_UNRATED:] = 0
    with (folder / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        for user in range(N_USERS):
            seen = rng.choice(len(films), int(rng.integers(12, 60)), replace=False, p=weight / weight.sum())
            for film in seen:
                rating = 3.3 + quality[film] + taste[user] @ of_genre[film] + rng.normal(0, 0.4)
                writer.writerow(
                    [user + 1, films[film][0], np.clip(round(2 * rating) / 2, 0.5, 5), 900_000_000 + user]
                )
    with (folder / "movies.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("movieId", "title", "genres"), *films])
    with (folder / "links.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("movieId", "imdbId", "tmdbId"), *[(i, f"{i:07d}", 10 * i) for i, _, _ in films]]
        )
    return folder
