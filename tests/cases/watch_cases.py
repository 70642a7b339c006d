"""Small trainings, and what `jobs.watch` shows of them."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from jobs.train import main as train_command
from jobs.watch import main as watch
from tests.cases.night_cases import ratings_of_day


def seen(path: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(watch, [str(path), *options])
    assert result.exit_code == code, result.output
    return result.output


def arguments(folder: Path, *more: object) -> list[str]:
    data, out = folder / "ratings.csv", folder / "run"
    if not data.exists():
        ratings_of_day(1).to_csv(data, index=False)
    options = ("--rank", 2, "--epochs", 4, "--lambda", 1, "--dashboard-address", "none", *more)
    return [str(one) for one in ("--data", data, "--out", out, *options)]


def train(folder: Path, *more: object, code: int = 0) -> None:
    result = CliRunner().invoke(train_command, arguments(folder, *more))
    assert result.exit_code == code, result.output
