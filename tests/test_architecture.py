"""Imports point down, without cycles, and each heavy library has its rooms."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = [
    ("daskals.errors", "daskals.types", "daskals.cache", "daskals.heap"),
    ("daskals.config",),
    ("daskals.kernels",),
    ("daskals.ratings",),
    ("daskals.store",),
    ("daskals.ingest",),
    ("daskals.preflight", "daskals.placement", "daskals.estimate", "daskals.losses"),
    ("daskals.workers",),
    ("daskals.cluster",),
    ("daskals.exchange",),
    ("daskals.training",),
    ("daskals.querying",),
    ("daskals.samples",),
    ("daskals.factors",),
    ("daskals.named",),
    ("daskals.model",),
    ("daskals.ranking",),
    ("daskals.buckets", "daskals.ranking_scores"),
    ("daskals.evaluation", "daskals.export", "daskals.people", "daskals.prediction", "daskals.recommend"),
    ("daskals.report", "daskals.posterior"),
    ("daskals.fitting",),
    ("daskals.judging",),
    ("daskals.search_space",),
    ("daskals.tuning",),
    ("daskals.reproduction",),
    ("daskals.bench", "daskals.analysis", "daskals.coldstart", "daskals.registry", "daskals.showing"),
    ("daskals.opening",),
    ("daskals.serving",),
    ("daskals.retrain", "daskals.watching"),
    ("daskals.plots",),
    ("jobs",),
]
"""From the ground up; a module may import from its own room and from lower floors."""

ROOMS_OF = {
    "numba": ("daskals.kernels", "daskals.bench.paper"),
    "llvmlite": ("daskals.kernels",),
    "zarr": ("daskals.store",),
    "distributed": (
        "daskals.workers",
        "daskals.cluster",
        "daskals.exchange",
        "daskals.fitting",
        "daskals.coldstart",
    ),
    "dask": ("daskals.workers", "daskals.cluster", "daskals.exchange"),
    "click": ("jobs",),
    "rich": ("jobs", "daskals.ratings.download_bar"),
    "s3fs": ("daskals.registry",),
    "fsspec": ("daskals.store.remote",),
    "streamlit": ("jobs.app", "jobs._page"),
    "optuna": ("daskals.tuning",),
    "matplotlib": ("daskals.plots", "daskals.bench"),
}
"""Who may import a library; `daskals.fitting` names Dask's client in its signature only."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


MODULES = {
    module_name(path): imports_of(path)
    for package in ("daskals", "jobs")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path != ROOT / "daskals" / "__init__.py"  # the public face: lazy, names every floor
}


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def floor_of(module: str) -> int:
    floors = [number for number, rooms in enumerate(FLOORS) if any(within(module, room) for room in rooms)]
    assert len(floors) == 1, f"{module} stands on floors {floors}: give its room one floor in FLOORS"
    return floors[0]


def room_of(module: str) -> str:
    return next(room for rooms in FLOORS for room in rooms if within(module, room))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for imported in MODULES[module]:
        if imported.split(".")[0] not in ("daskals", "jobs") or imported == "daskals":
            continue
        same_room = within(imported, room_of(module))
        assert same_room or floor_of(imported) < floor_of(module), (
            f"{module} imports {imported}, which is not below it"
        )


@pytest.mark.parametrize("library", ROOMS_OF)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    users = {
        module for module, imported in MODULES.items() if any(within(name, library) for name in imported)
    }
    strangers = {module for module in users if not any(within(module, room) for room in ROOMS_OF[library])}
    assert not strangers, f"{library} is imported by {sorted(strangers)}"


def test_no_cycles() -> None:
    graph = {module: {name for name in imported if name in MODULES} for module, imported in MODULES.items()}
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


def test_jobs_are_not_in_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'packages = ["daskals"]' in text
