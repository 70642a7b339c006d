"""Every command that takes MODEL takes a run, a model folder and a registry; what all commands share."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import numpy as np
import pandas as pd
import pytest

from daskals.registry.open_model import FORMS
from jobs._command import MODEL_HELP
from tests.conftest import ROOT

JOBS = ROOT / "jobs"
COMMANDS = sorted(path.stem for path in JOBS.glob("[a-z]*.py") if path.stem != "app")
MODEL_COMMANDS = {
    "recommend": ["--user", "1", "--out", "{out}", "--dashboard-address", "none"],
    "similar": ["--out", "{out}", "--dashboard-address", "none"],
    "predict": ["{pairs}", "--out", "{out}"],
    "evaluate": ["--json", "{out}"],
    "export": ["--previous", "{model}", "--out", "{out}"],
    "geometry": ["--out", "{out}"],
    "anomalies": ["--out", "{out}"],
    "report": ["--out", "{out}"],
    "serve": ["--openapi", "{out}"],
    "update": ["{ratings}", "--out", "{out}"],
    "models": ["--name", "again"],
}
"""The commands with MODEL, and arguments of a small piece of work that writes {out}."""

FORM_NAMES = ["run", "model", "registry"]
SAME_DOOR = [("geometry", "run"), ("geometry", "model")]


def invoke(name: str, arguments: list[str]) -> click.testing.Result:
    command = importlib.import_module(f"jobs.{name}").main
    return click.testing.CliRunner().invoke(command, arguments)


@pytest.fixture(scope="module")
def doors(tmp_path_factory) -> Path:
    """One tiny model as a run, a model folder that was copied away from it, and a registry."""
    folder = tmp_path_factory.mktemp("doors")
    rng = np.random.default_rng(3)
    pairs = rng.permutation(30 * 25)[:500]
    ratings = pd.DataFrame(
        {
            "userId": pairs // 25,
            "movieId": pairs % 25,
            "rating": rng.integers(1, 11, 500) / 2,
            "timestamp": 1_600_000_000 + 9_000 * np.arange(500),
        }
    )
    (folder / "ratings").mkdir()
    ratings.to_csv(folder / "ratings" / "ratings.csv", index=False)
    genres = ["Comedy", "Drama", "Comedy|Drama"]
    movies = [(item, f"Film {item} (2000)", genres[item % 3]) for item in range(25)]
    pd.DataFrame(movies, columns=["movieId", "title", "genres"]).to_csv(
        folder / "ratings" / "movies.csv", index=False
    )
    ratings[["userId", "movieId"]].head(5).to_csv(folder / "pairs.csv", index=False)
    options = "--model als --rank 2 --epochs 3 --lambda 0.1 --test-fraction 0.2 --dashboard-address none"
    store = str(folder / "ratings.store")
    assert invoke("ingest", [str(folder / "ratings"), store]).exit_code == 0
    made = invoke("train", ["--data", store, *options.split(), "--out", str(folder / "run")])
    assert made.exit_code == 0, made.output
    shutil.copytree(folder / "run" / "model", folder / "model")
    published = invoke(
        "models", [str(folder / "registry"), "publish", str(folder / "run"), "--alias", "champion"]
    )
    assert published.exit_code == 0, published.output
    return folder


def arguments_for(name: str, where: Path | str, doors: Path, out: Path) -> list[str]:
    places = {"out": out, "model": where, "pairs": doors / "pairs.csv", "ratings": doors / "ratings"}
    arguments = [text.format(**places) for text in MODEL_COMMANDS[name]]
    before = [str(out), "publish"] if name == "models" else []
    return [*before, str(where), *arguments]


def test_the_list_of_commands_is_whole() -> None:
    takes_model = {path.stem for path in JOBS.glob("[a-z]*.py") if "@model_argument" in path.read_text()}
    # one of the benchmarks takes a model by the same door; what it runs against is an extra
    assert takes_model - {"bench"} == MODEL_COMMANDS.keys()
    # no command reads a model by another door
    for path in JOBS.glob("*.py"):
        assert "Model.load(" not in path.read_text(), path


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "form"),
    [
        # its figures take seconds each time, and one form shows that it has the same door
        pytest.param(name, form, marks=pytest.mark.slow if (name, form) in SAME_DOOR else ())
        for name in MODEL_COMMANDS
        for form in FORM_NAMES
    ],
)
def test_every_form_of_a_model(name: str, form: str, doors: Path, tmp_path: Path) -> None:
    result = invoke(name, arguments_for(name, doors / form, doors, tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("name", MODEL_COMMANDS)
def test_one_wording_where_there_is_no_model(name: str, doors: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "report.json").write_text('{"folds": []}')
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    for place, message in {
        "nowhere": "does not exist",
        "empty": "holds no model",
        "folds": "holds a cross-validation, which keeps no model",
        "half": "holds a run that did not end, and no model yet",
    }.items():
        result = invoke(name, arguments_for(name, tmp_path / place, doors, tmp_path / "out"))
        assert result.exit_code == 1
        assert f"{tmp_path / place}: {message}; expected {FORMS}." in result.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["geometry", "anomalies", "report"])
def test_a_registry_is_no_place_for_a_report(name: str, doors: Path) -> None:
    result = invoke(name, [str(doors / "registry")])
    assert result.exit_code == 1
    assert "--out: found none, and MODEL" in result.output


def test_a_model_without_a_report_is_said(doors: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(doors / "model", tmp_path / "bare"))
    content = json.loads((bare / "zarr.json").read_text())
    content["attributes"]["report"] = {}
    del content["attributes"]["checksum"]
    (bare / "zarr.json").write_text(json.dumps(content))
    result = invoke("report", [str(bare), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "has no report of a training run" in result.output


def leaves(command: click.Command, name: str):
    if isinstance(command, click.Group):
        for sub, one in command.commands.items():
            yield from leaves(one, f"{name} {sub}")
    else:
        yield name, command


ALL_LEAVES = [
    leaf for name in COMMANDS for leaf in leaves(importlib.import_module(f"jobs.{name}").main, name)
]


@pytest.mark.parametrize(("name", "command"), ALL_LEAVES, ids=[name for name, _ in ALL_LEAVES])
def test_shared_options(name: str, command: click.Command) -> None:
    options = {one.opts[0]: one for one in command.params}
    assert options["--debug"].help == "Show tracebacks."
    help_text = " ".join(command.get_help(click.Context(command)).split())
    assert ("model" in options) == (MODEL_HELP in help_text)
    assert ("--config" in options) == (name in {"train", "tune", "retrain"})
    assert "Undefined" not in help_text


@pytest.mark.parametrize("name", MODEL_COMMANDS)
def test_debug_shows_the_traceback(name: str, doors: Path, tmp_path: Path) -> None:
    arguments = [*arguments_for(name, tmp_path / "nowhere", doors, tmp_path / "out"), "--debug"]
    result = invoke(name, arguments)
    assert type(result.exception).__name__ == "ModelError"


def test_debug_in_a_configuration_file_counts(tmp_path: Path) -> None:
    for debug, kind in ((True, "ConfigError"), (False, "SystemExit")):
        (tmp_path / "options.json").write_text(json.dumps({"debug": debug, "rank": -1}))
        result = invoke("train", ["--config", str(tmp_path / "options.json")])
        assert type(result.exception).__name__ == kind


def test_retrain_keeps_its_exit_code(tmp_path: Path) -> None:
    assert invoke("retrain", ["--config", str(tmp_path / "none.json")]).exit_code == 30


def test_no_command_takes_what_it_ignores() -> None:
    for path in JOBS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [one.arg for one in [*node.args.args, *node.args.kwonlyargs]]
                assert "debug" not in names or path.name == "_command.py", (path, node.name)
        assert "--debug" not in path.read_text() or path.name == "_command.py", path


@pytest.mark.process
@pytest.mark.parametrize("name", COMMANDS)
def test_help_waits_for_no_library(name: str) -> None:
    """A command's module brings in nothing that takes seconds: what it needs is imported when it works."""
    heavy = ("numba", "distributed", "pandas", "pyarrow", "zarr", "scipy", "matplotlib")
    code = f"import sys, jobs.{name}; print(*[one for one in {heavy} if one in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
