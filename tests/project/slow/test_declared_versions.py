"""The lowest declared versions of everything are enough, and the newest, released or not, are not too new."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.cases.environments import make_environment, run
from tests.conftest import ROOT

ORDINARY = "not process and not slow and not browser"
TESTS = (
    "ratings", "store", "model", "registry", "serving", "fitting", "kernels/test_topk.py",
    "training/test_training.py",
)  # fmt: skip
"""What meets the most of other libraries."""

RESOLUTIONS = {
    "lowest": ("--resolution", "lowest-direct"),
    # httpx 1.0, which asks the service here, is another library than 0.28
    "newest": ("--resolution", "highest", "--prerelease", "allow", "httpx<1"),
}
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BOUND = re.compile(r"(?P<name>[\w-]+)(?:\[[^]]*\])?>=(?P<lowest>[\d.]+)")


@pytest.fixture(scope="module")
def uv(tmp_path_factory) -> Path:
    """The installer, which can take the lowest versions."""
    folder = tmp_path_factory.mktemp("tools")
    programs = make_environment(folder / "environment")
    run(programs / "pip", "install", "-q", "uv", cwd=folder)
    return programs / "uv"


@pytest.fixture(scope="module", params=list(RESOLUTIONS))
def programs(request, uv: Path, tmp_path_factory) -> Path:
    """Programs of an environment with this project and all that its tests need, lowest or newest."""
    folder = tmp_path_factory.mktemp(request.param)
    programs = make_environment(folder / "environment")
    run(
        uv, "pip", "install", "-q", "--python", programs / "python", *RESOLUTIONS[request.param],
        "-e", f"{ROOT}[test]",
        cwd=folder,
    )  # fmt: skip
    return programs


@pytest.mark.parametrize(
    "extra", [None, *(name for name in DECLARED["optional-dependencies"] if name != "bench")]
)
def test_each_extra_alone_has_its_lowest_versions(uv: Path, tmp_path: Path, extra: str | None) -> None:
    """They fit together, and what is installed is what was declared, or as near as there is."""
    declared = DECLARED["dependencies"] + (DECLARED["optional-dependencies"][extra] if extra else [])
    bounds = [bound for text in declared if (bound := BOUND.match(text)) and "<" not in text]
    found = run(
        uv, "pip", "compile", "-q", "--no-annotate", "--no-header", *RESOLUTIONS["lowest"],
        *(("--extra", extra) if extra else ()), ROOT / "pyproject.toml",
        cwd=tmp_path,
    )  # fmt: skip
    chosen = dict(line.split("==") for line in found.splitlines() if "==" in line)
    for bound in bounds:
        version = chosen[bound["name"].lower().replace("_", "-")].split(" ")[0]
        lowest = [int(part) for part in bound["lowest"].split(".")]
        parts = [int(part) for part in re.findall(r"\d+", version)]
        assert parts[: len(lowest)] == lowest, f"{bound['name']}: {version}, declared {bound['lowest']}"


@pytest.mark.parametrize("tests", TESTS)
def test_the_ordinary_tests_pass_with_them(programs: Path, tests: str) -> None:
    run(
        programs / "python", "-m", "pytest", "-q", "-x", "-m", ORDINARY, "-p", "no:cacheprovider",
        f"tests/{tests}",
        cwd=ROOT, seconds=3600,
    )  # fmt: skip
