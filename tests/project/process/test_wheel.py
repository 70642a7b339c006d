"""The wheel: what is in it, and that its commands run without the clone."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling import build

import daskals
from jobs.__main__ import describe
from tests.conftest import ROOT

HEAVY = ("numba", "distributed", "zarr", "pyarrow", "pandas", "scipy", "rich", "numpy", "pydantic")
COMMANDS = {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, as pip has it built."""
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return folder / build.build_wheel(str(folder))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder as site-packages is, with the wheel in it."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def daskals_command(installed: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what the script `daskals` of an installation runs, away from the clone.

    The last line on standard error tells what it imported.
    """
    tell = "import atexit, sys; atexit.register(lambda: print('imported', *sys.modules, file=sys.stderr))"
    return subprocess.run(
        [sys.executable, "-c", f"{tell}; from daskals.__main__ import main; main()", *arguments],
        cwd=installed.parent, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
    )  # fmt: skip


def imported(ran: subprocess.CompletedProcess[str]) -> set[str]:
    return set(ran.stderr.splitlines()[-1].split()[1:])


def test_the_wheel_brings_the_commands_below_daskals_alone(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    about = f"daskals-{daskals.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"daskals", about}
    below = "daskals/commands/jobs/"
    assert {name.removeprefix(below) for name in names if name.startswith(below)} == {
        *(path.name for path in (ROOT / "jobs").glob("*.py")),
        ".streamlit/config.toml",
    }
    scripts = configparser.ConfigParser()
    scripts.read_string(archive.read(f"{about}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"daskals": "daskals.__main__:main"}


def test_an_editable_installation_leads_to_the_clone_and_copies_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    archive = zipfile.ZipFile(tmp_path / build.build_editable(str(tmp_path)))
    code = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert [archive.read(name).decode().strip() for name in code] == [str(ROOT)]


def test_help_lists_all_commands_and_imports_none(installed: Path) -> None:
    ran = daskals_command(installed, "--help")
    assert ran.returncode == 0, ran.stderr
    for name in COMMANDS:
        assert f"\n  {name} " in ran.stdout
        assert describe(name), f"the first line of jobs/{name}.py does not say what it does"
    found = imported(ran)
    assert "jobs.__main__" in found
    assert not {f"jobs.{name}" for name in COMMANDS} & found
    assert not {*HEAVY} & found


def test_a_command_of_the_wheel_is_the_one_of_the_clone(installed: Path) -> None:
    ran = daskals_command(installed, "train", "--help")
    clone = subprocess.run(
        [sys.executable, "-m", "jobs.train", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout.replace("daskals train", "python -m jobs.train") == clone.stdout
    assert ran.returncode == clone.returncode == 0


def test_a_command_runs_without_the_clone(installed: Path) -> None:
    """Its parts are found beside it, not in whatever `jobs` else is on the path."""
    (installed.parent / "elsewhere" / "jobs").mkdir(parents=True)
    (installed.parent / "elsewhere" / "jobs" / "__init__.py").write_text("raise RuntimeError('another jobs')")
    path = os.pathsep.join([str(installed.parent / "elsewhere"), str(installed)])
    ran = daskals_command(installed, "watch", "nowhere", PYTHONPATH=path)
    assert ran.returncode == 1
    assert "error: nowhere: " in ran.stderr
    assert "jobs._command" in imported(ran)


def test_version_completion_and_what_is_no_command(installed: Path) -> None:
    assert daskals_command(installed, "--version").stdout == f"daskals, version {daskals.__version__}\n"
    ran = daskals_command(installed, "trian")
    assert (ran.returncode, "No such command 'trian'" in ran.stderr) == (2, True)
    script = daskals_command(installed, _DASKALS_COMPLETE="bash_source")
    assert "_DASKALS_COMPLETE=bash_complete" in script.stdout
    words = daskals_command(
        installed, _DASKALS_COMPLETE="bash_complete", COMP_WORDS="daskals rec", COMP_CWORD="1"
    )
    assert words.stdout == "plain,recommend\n"
    flags = daskals_command(
        installed, _DASKALS_COMPLETE="bash_complete", COMP_WORDS="daskals train --patie", COMP_CWORD="2"
    )
    assert "plain,--patience\n" in flags.stdout
