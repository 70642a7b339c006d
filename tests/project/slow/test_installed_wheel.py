"""A wheel in an environment of its own, away from the clone: what `pip install` gives somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import daskals
from tests.cases.environments import make_environment, run
from tests.conftest import ROOT

RATINGS = "user,film,stars\n" + "".join(
    f"u{user},film {item},{1 + (user * item) % 5}\n" for user in range(12) for item in range(1 + user % 3, 15)
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """Programs of an environment with the wheel, its extra [app], and what they need."""
    folder = tmp_path_factory.mktemp("installed")
    programs = make_environment(folder / "environment")
    run(programs / "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(programs / "pip", "install", "-q", f"{wheel}[app]", cwd=folder)
    return programs


def test_a_wheel_trains_and_recommends(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(RATINGS)
    assert run(programs / "daskals", "--version", cwd=tmp_path) == f"daskals, version {daskals.__version__}\n"
    run(
        programs / "daskals", "train", "--data", "mine.csv", "--columns", "user=user,item=film,rating=stars",
        "--model", "als", "--rank", 2, "--epochs", 3, "--out", "run", "--dashboard-address", "none",
        cwd=tmp_path,
    )  # fmt: skip
    run(programs / "daskals", "recommend", "run", "--rate", "film 3=5", "--json", "list.json", cwd=tmp_path)
    listed = json.loads((tmp_path / "list.json").read_text())["recommendations"]
    assert {one["item"] for one in listed} <= {f"film {item}" for item in range(1, 15)} - {"film 3"}
    assert len(listed) == 10
    where = run(programs / "python", "-c", "import daskals; print(daskals.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(programs.parent)


def test_nothing_else_is_put_into_site_packages(programs: Path, tmp_path: Path) -> None:
    """`jobs` is anybody's name."""
    code = "import importlib.util; print(importlib.util.find_spec('jobs'))"
    assert run(programs / "python", "-c", code, cwd=tmp_path) == "None\n"
    # what the extra is for is there
    assert "Usage: daskals app" in run(programs / "daskals", "app", "--help", cwd=tmp_path)
    run(programs / "python", "-c", "import streamlit, altair", cwd=tmp_path)
    run(programs / "pip", "check", cwd=tmp_path)
