"""Imports point down, without cycles, and each heavy library has its rooms."""

from __future__ import annotations

import ast
import subprocess
from functools import cache

import pytest

from tests.cases.sources import ROOT, trees

FLOORS = [
    ("daskals.errors", "daskals.types", "daskals.cache"),
    ("daskals.config",),
    ("daskals.kernels",),
    ("daskals.ratings",),
    ("daskals.store",),
    ("daskals.cluster", "daskals.ingest", "daskals.model"),
    ("daskals.training",),
    ("daskals.evaluation",),
    ("daskals.fitting", "daskals.registry"),
    ("daskals.bench", "daskals.experiments", "daskals.serving"),
    ("daskals.analysis", "daskals.retrain"),
    ("daskals.plots",),
    ("jobs", "daskals.__main__"),
]
"""From the ground up; a module may import from its own room and from lower floors."""

KERNEL_FLOORS = [
    ("daskals.kernels.toolkit",),
    ("daskals.kernels.half_step", "daskals.kernels.scoring", "daskals.kernels.data"),
    ("daskals.kernels.prior", "daskals.kernels.statistics"),
    ("daskals.kernels.gibbs",),
    ("daskals.kernels.warm_up", "daskals.kernels"),
]
"""The same inside the kernels."""

ROOMS_OF = {
    "numba": ("daskals.kernels", "daskals.bench.paper"),
    "llvmlite": ("daskals.kernels",),
    "zarr": ("daskals.store",),
    "distributed": ("daskals.cluster", "daskals.fitting.fit", "daskals.experiments.cold_start"),
    "dask": ("daskals.cluster",),
    "click": ("jobs",),
    "rich": ("jobs", "daskals.ratings.download_bar"),
    "s3fs": ("daskals.registry",),
    "fsspec": ("daskals.store.remote",),
    "streamlit": (
        "jobs.app",
        "jobs._app_command",
        "jobs._app_page",
        "jobs._app_people",
        "jobs._app_ratings",
        "jobs._app_stars",
    ),
    "fastapi": ("daskals.serving.web",),
    "prometheus_client": ("daskals.serving.web",),
    "uvicorn": ("jobs.serve",),
    "optuna": ("daskals.experiments.tuning",),
    "matplotlib": ("daskals.plots", "daskals.bench"),
}
"""Who may import a library; `daskals.fitting.fit` names Dask's client in its signature only."""


def names_of(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@cache
def modules() -> dict[str, set[str]]:
    """Return what every module imports, but for the public face, which is lazy and names every floor."""
    found = {module: names_of(tree) for part in ("daskals", "jobs") for module, tree in trees(part).items()}
    del found["daskals"]
    return found


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


Floors = list[tuple[str, ...]]


def floor_of(module: str, floors: Floors) -> int:
    matching = [
        (len(room), number) for number, rooms in enumerate(floors) for room in rooms if within(module, room)
    ]
    assert matching, f"{module} stands on no floor: give its room one in FLOORS"
    return max(matching)[1]


def room_of(module: str, floors: Floors) -> str:
    return max((room for rooms in floors for room in rooms if within(module, room)), key=len)


def not_below(module: str, floors: Floors) -> list[str]:
    """Name what a module imports that stands no lower."""
    inside = [name for name in modules()[module] if name != "daskals"]
    inside = [name for name in inside if any(within(name, room) for rooms in floors for room in rooms)]
    floor, own = floor_of(module, floors), room_of(module, floors)
    return sorted(name for name in inside if not within(name, own) and floor_of(name, floors) >= floor)


@pytest.mark.parametrize(
    ("floors", "house"),
    [(FLOORS, ("daskals", "jobs")), (KERNEL_FLOORS, ("daskals.kernels",))],
    ids=["rooms", "kernels"],
)
def test_imports_point_down(floors: Floors, house: tuple[str, ...]) -> None:
    held = [module for module in modules() if any(within(module, part) for part in house)]
    assert len(held) > 50
    wrong = {module: found for module in held if (found := not_below(module, floors))}
    assert wrong == {}, "a module imports from its own room and from lower floors"


def test_the_house_keeps_its_size() -> None:
    """The listing of a folder tells what is in it: few loose files, packages that say what they are about."""
    here = ROOT / "daskals"
    assert len(list(here.glob("*.py"))) <= 6
    assert len([path for path in here.iterdir() if (path / "__init__.py").is_file()]) <= 16
    assert len(list((here / "kernels").glob("*.py"))) <= 4
    assert len(FLOORS) <= 14
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in here.rglob("*.py")}
    assert {path.relative_to(ROOT): length for path, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("library", ROOMS_OF)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    users = {
        module for module, imported in modules().items() if any(within(name, library) for name in imported)
    }
    strangers = {module for module in users if not any(within(module, room) for room in ROOMS_OF[library])}
    assert not strangers, f"{library} is imported by {sorted(strangers)}"


def test_no_cycles() -> None:
    known = modules()
    graph = {module: {name for name in imported if name in known} for module, imported in known.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle {' → '.join((*trail[trail.index(module) :], module))}"
        if module in done:
            return
        for name in sorted(graph[module]):
            visit(name, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


TESTS = ROOT / "tests"
KINDS = {"process", "browser", "slow"}
BESIDE = {"cases", "data", "jobs", "project"}
"""Folders of tests that mirror no package: what tests share, files that they read, commands, the project."""


@pytest.mark.long
def test_no_test_file_imports_another() -> None:
    """What tests share is in `tests/cases` or in a `conftest.py`."""
    borrowed = {}
    for path in sorted(TESTS.rglob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        found = {name for name in names if any(part.startswith("test_") for part in name.split("."))}
        if {name for name in found if within(name, "tests")}:
            borrowed[path.relative_to(ROOT).as_posix()] = found
    assert not borrowed, f"{borrowed}: move what is shared to tests/cases"


def test_folders_of_tests_mirror_the_packages() -> None:
    packages = {path.parent.name for path in (ROOT / "daskals").glob("*/__init__.py")}
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - BESIDE <= packages, "a folder of tests is named as the package that it tests"
    assert not list(TESTS.glob("test_*.py")), "a test stands in the folder of its package"
    inner = {path.parent.name for path in TESTS.glob("*/*/*.py")}
    assert inner <= KINDS | {"data"}, "a folder inside is a mark: process, browser or slow"


TOP_LEVEL = {
    *("pyproject.toml", "daskals", "jobs", "tests", "notebooks", "README.md", "docker"),
    *("LICENSE", ".gitignore", ".ci", "findings"),
}


def test_nothing_that_a_command_left_is_kept_with_the_project() -> None:
    """What is tracked lies in the folders the project is made of: no run, no list, nobody's ratings."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = listed.stdout.splitlines()
    assert {path.split("/")[0] for path in files} == TOP_LEVEL
    assert [path for path in files if path.endswith((".parquet", ".npz", ".nbc"))] == []
