"""What all tests share: reference data, a cache of their own, and a loud word about what could not run."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

# a cache of the tests' own, set before anything of daskals reads it and inherited by child processes
os.environ.setdefault("DASKALS_CACHE", tempfile.mkdtemp(prefix="daskals-tests-"))

import hypothesis
import pytest

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig
from tests.cases.planted import write_planted
from tests.cases.registry_cases import s3_environment, s3_server

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DASKALS_TEST_DATA", ROOT.parent / "shared" / "data"))

CHROMIUM = Path(os.environ.get("DASKALS_CHROMIUM", "/usr/bin/chromium"))

# how long an example takes is this machine's, beside whatever else it does
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts what runs in the background deaf to Ctrl-C; some tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)

_not_run: set[str] = set()
"""What could not run on this machine, and what it would take."""


@pytest.fixture(autouse=True)
def _notes_are_heard() -> None:
    """Let the handlers that catch a test's log take everything.

    pytest adds them to loggers that do not propagate as well, Dask's among them; and a Dask cluster that is
    to be silent turns all handlers of its loggers down for as long as it lives, which is the session.
    """
    for handler in logging.root.handlers:
        handler.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _no_disk_is_waited_for():
    """Let no test of this process wait until the disk has what it wrote: none of them cuts the power.

    What must be flushed, and when, is held by `store/test_store_writing.py`; processes that tests start
    flush as they always do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # fails as well for what is no open file
        yield


@pytest.fixture(scope="module")
def no_baseline():
    """Spare a module's trainings the bias model that stands beside every one, which takes as long again.

    What it says is held where it is asked for: `training/test_selection.py`, `training/test_units.py`.
    """
    none = {f"{part}_rmse": None for part in ("train", "validation", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daskals.fitting.fit.baseline_section", lambda *_: none)
        yield


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Spare a test of a report's words what takes most of its time: to lay out and write its figures, twice.

    That is held by `analysis/test_analysis_training.py`, what they show by `analysis/test_figures.py`.
    """

    def unwritten(figure: object, folder: Path, name: str) -> Path:
        path = folder / f"{name}.svg"
        path.touch()
        return path

    monkeypatch.setattr("daskals.plots.report_folder.save", unwritten)


@pytest.fixture(scope="session")
def latest_small() -> Path:
    """Folder of ml-latest-small."""
    folder = DATA / "ml-latest-small"
    if not (folder / "ratings.csv").is_file():
        _not_run.add(
            f"REFERENCE DATA ABSENT: {folder}: the tests on real ratings DID NOT RUN; "
            "set DASKALS_TEST_DATA to the folder that holds ml-latest-small"
        )
        pytest.skip(f"reference data {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory) -> Path:
    """Folder with the ratings and genres of `tests.cases.planted`."""
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def s3():
    """Address of an S3 server on loopback that every client here finds."""
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment(endpoint).items():
            patch.setenv(name, value)
        yield endpoint


@pytest.fixture(scope="session")
def debian_tool():
    """Return the path of a program of a Debian package; CI has it or fails."""

    def find(program: str, package: str) -> str:
        found = shutil.which(program)
        if found is not None:
            return found
        message = f"{program} is absent; install it with: apt-get install -y {package}"
        if os.environ.get("CI"):
            pytest.fail(message)
        _not_run.add(f"NO {program.upper()}: {message}: the tests that need it DID NOT RUN")
        pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def cluster():
    """Threads of this process."""
    with connect(ClusterConfig(dashboard_address=None, threads_per_worker=2)) as made:
        yield made


@pytest.fixture(scope="session")
def client(cluster: Cluster):
    """Dask client of `cluster`."""
    return cluster.client


KINDS = ("process", "browser", "long", "slow")
"""Folders whose name is the mark of every test in them."""

SHORT = ("model", "ratings")
"""Packages all of whose test files end in seconds."""


def kinds_of(item) -> set[str]:
    """Return the kinds that the folders of a test's file name."""
    return {*KINDS} & {*item.path.relative_to(ROOT).parts[:-1]}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Look for no garbage while a heap is filled with modules, all of which stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items) -> None:
    """Mark tests by their folders; leave the browser tests out, loudly, where there is no browser.

    CI has a browser or fails.
    """
    for item in items:
        for kind in kinds_of(item):
            item.add_marker(kind)
        if "s3" in item.fixturenames:
            item.add_marker("process")
    # begun last, a long file would keep one of two test processes while the other has nothing left
    items.sort(key=lambda item: (not kinds_of(item), item.path.parent.name in SHORT))
    if CHROMIUM.is_file() or os.environ.get("CI"):
        return
    apart = [item for item in items if item.get_closest_marker("browser")]
    if apart:
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if not item.get_closest_marker("browser")]
        _not_run.add(
            f"NO BROWSER: {CHROMIUM} is absent: {len(apart)} tests of the app in a browser DID NOT RUN; "
            "install it with: apt-get install -y chromium"
        )


def pytest_sessionfinish(session) -> None:
    """Let a test process that is one of several hand on what it could not run."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["not_run"] = sorted(_not_run)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Gather what one of several test processes could not run."""
    _not_run.update(getattr(node, "workeroutput", {}).get("not_run", ()))


def pytest_terminal_summary(terminalreporter) -> None:
    """Say loudly what did not run."""
    for line in sorted(_not_run):
        terminalreporter.write_line(line, red=True, bold=True)
