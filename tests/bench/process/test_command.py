"""`python -m jobs.bench` itself, once a sub-command at small size, so that it never rots."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click.testing
import psutil
import pytest

from daskals.bench import scaling
from daskals.bench.epoch import FIGURES
from daskals.bench.systems import SYSTEMS
from jobs.bench import main
from tests.conftest import ROOT

NAMED = {"name", "group", "status", "note", "extra"}
MACHINE = {
    "cpu",
    "cores",
    "threads",
    "features",
    "target",
    "memory_bytes",
    "system",
    "python",
    "packages",
    "peak_gflops",
}
DATA = {"source", "content_hash", "n_users", "n_items", "n_ratings", "split", "n_train", "n_test"}


def run(*arguments: object, data: Path, folder: Path) -> tuple[dict, click.testing.Result]:
    """Run a sub-command on the small set; return its JSON and what it printed."""
    file = folder / "report.json"
    common = ["--data", data, "--rank", 3, "--epochs", 2, "--threads", 2, "--json", file]
    result = click.testing.CliRunner().invoke(main, [str(part) for part in [*arguments, *common]])
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text()), result


@pytest.fixture
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the measurement of the machine's peak."""
    monkeypatch.setattr("daskals.bench.machine.measured_peak_gflops", lambda _: 100.0)
    monkeypatch.setattr("daskals.bench.scaling.measured_peak_gflops", lambda _: 100.0)


def by_name(report: dict) -> dict[str, dict]:
    return {one["name"]: one for one in report["results"]}


def test_epoch(small_file: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure6.svg"
    # through Dask: test_an_interrupted_benchmark_leaves_nothing
    names = "paper-dual-csr,paper-jit-parallel,daskals-kernel,daskals-hierarchical"
    report, result = run("epoch", "--only", names, "--figure", figure, data=small_file, folder=tmp_path)

    assert set(report) == {"command", "rank", "epochs", "config", "machine", "data", "results"}
    assert set(report["machine"]) == MACHINE
    assert set(report["data"]) == DATA
    assert report["machine"]["peak_gflops"] > 0.1
    results = by_name(report)
    assert list(results) == names.split(",")
    for name, one in results.items():
        assert set(one) == NAMED | set(FIGURES) | {"times_as_fast"}
        assert name in result.stdout
        if one["status"] == "measured":
            assert len(one["all_seconds"]) == 2
            assert min(one["all_seconds"]) <= one["seconds"] <= max(one["all_seconds"])
            assert one["ratings_per_second"] == pytest.approx(report["data"]["n_train"] / one["seconds"])
            assert 0 < one["share_of_peak"] < 1
            assert one["bytes_moved"] > 0
            assert one["peak_memory_bytes"] > 1e7

    # equal work: tiers of the same updates end at the same error
    assert results["paper-dual-csr"]["test_rmse"] == pytest.approx(
        results["paper-jit-parallel"]["test_rmse"], abs=1e-4
    )
    assert results["daskals-kernel"]["test_rmse"] == pytest.approx(
        results["paper-dual-csr"]["test_rmse"], abs=0.05
    )
    reference = results["paper-jit-parallel"]["seconds"]
    kernel = results["daskals-kernel"]
    assert kernel["times_as_fast"] == pytest.approx(reference / kernel["seconds"])
    assert results["daskals-hierarchical"]["status"] == "absent"
    assert results["daskals-hierarchical"]["note"] == "the ratings come without genres"
    assert results["daskals-hierarchical"]["seconds"] is None

    drawn = figure.read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert "peak" in result.stdout.splitlines()[0]


@pytest.mark.usefixtures("known_peak")
@pytest.mark.slow
def test_another_build_runs_in_a_process_of_its_own(small_file: Path, tmp_path: Path) -> None:
    build = tmp_path / "before"
    shutil.copytree(ROOT / "daskals", build / "daskals")
    systems = build / "daskals" / "bench" / "own.py"
    text = systems.read_text(encoding="utf-8")
    systems.write_text(text.replace('threads} threads")', 'threads} threads of before")'), encoding="utf-8")
    arguments = ("epoch", "--only", "daskals-kernel", "--against", build)
    report, result = run(*arguments, data=small_file, folder=tmp_path)
    new, old = report["results"]
    assert old["threads"] == f"{new['threads']} of before"
    assert new["times_before"] == pytest.approx(old["seconds"] / new["seconds"])
    assert "× before" in result.stdout


def test_peers_measure_or_are_listed_as_absent(small_file: Path, tmp_path: Path) -> None:
    peers = ["implicit-cg", "cmfrec-cg"]  # their Cholesky forms differ by a flag, and Spark starts a JVM
    report, _ = run("epoch", "--only", ",".join(peers), data=small_file, folder=tmp_path)
    assert [one["name"] for one in report["results"]] == peers
    for one in report["results"]:
        if SYSTEMS[one["name"]].missing() is None:
            assert one["status"] == "measured"
            assert one["seconds"] > 0
            assert "BLAS 1" in one["threads"]
            assert one["note"]
            # cmfrec's model is ours, implicit's is another
            assert (one["test_rmse"] is None) == one["name"].startswith("implicit")
        else:
            assert one["status"] == "absent"
            assert "is not installed" in one["note"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_peak")
def test_scaling(small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = [("daskals-kernel", "threads"), ("daskals-dask", "processes")]
    assert set(series) < set(scaling.SERIES)
    monkeypatch.setattr(scaling, "SERIES", series)
    report, result = run("scaling", data=small_file, folder=tmp_path)
    results = by_name(report)
    for system, unit in series:
        one, two = results[f"{system} {unit}=1"], results[f"{system} {unit}=2"]
        assert one["efficiency"] == 1
        assert two["efficiency"] == pytest.approx(one["seconds"] / (2 * two["seconds"]))
        # the same numbers from any number of threads or processes
        assert one["test_rmse"] == two["test_rmse"]
    assert "efficiency" in result.stdout


@pytest.mark.usefixtures("known_peak")
def test_ingest(small_file: Path, tmp_path: Path) -> None:
    report, _ = run("ingest", data=small_file, folder=tmp_path)
    (one,) = report["results"]
    assert one["name"] == "daskals-ingest"
    assert one["ratings_per_second"] == pytest.approx(report["data"]["n_ratings"] / one["seconds"])
    assert one["extra"]["csv_bytes"] == pytest.approx(small_file.stat().st_size, rel=0.2)
    assert one["bytes_moved"] == one["extra"]["csv_bytes"] + one["extra"]["store_bytes"]


@pytest.mark.usefixtures("known_peak")
def test_evaluate(small_file: Path, tmp_path: Path) -> None:
    report, _ = run("evaluate", data=small_file, folder=tmp_path)
    results = by_name(report)
    ours, papers = results["daskals-evaluate"], results["paper-evaluate"]
    assert math.isclose(ours["test_rmse"], papers["test_rmse"], rel_tol=1e-4)
    assert ours["times_as_fast"] == pytest.approx(papers["seconds"] / ours["seconds"])
    assert ours["ratings_per_second"] == pytest.approx(report["data"]["n_test"] / ours["seconds"])


@pytest.mark.usefixtures("known_peak")
def test_topk(small_file: Path, tmp_path: Path) -> None:
    report, result = run("topk", "--peers", data=small_file, folder=tmp_path)
    results = by_name(report)
    assert list(results) == ["daskals", "blas", "implicit"]
    for one in results.values():
        if one["status"] == "absent":
            assert one["pairs_per_second"] is None
            continue
        pairs = report["data"]["n_users"] * report["data"]["n_items"]
        assert one["extra"]["n_pairs"] == pairs
        assert pairs / max(one["all_seconds"]) <= one["pairs_per_second"] <= pairs / min(one["all_seconds"])
        assert one["extra"]["bytes_above_model"] < 2**30
    assert results["daskals"]["status"] == results["blas"]["status"] == "measured"
    assert "pairs/s" in result.stdout


def test_an_interrupted_benchmark_leaves_nothing(small_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.bench", "epoch", "--data", small_file, "--only", "daskals-dask"]
    command += ["--epochs", "100000", "--json", tmp_path / "report.json"]
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert process.stderr is not None
    assert any(line.startswith("daskals-dask") for line in process.stderr)
    children = wait_for(lambda: psutil.Process(process.pid).children(recursive=True))
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message == "interrupted: nothing was left half-written\n"
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone
    assert not alive
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "report.json").exists()


def wait_for(condition):
    """Return what the condition gives once that is true."""
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def test_a_chosen_cpu_holds_for_the_measurements(small_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    arguments = ["epoch", "--data", str(small_file), "--only", "paper-dual-csr", "--cpu", "generic"]
    arguments += ["--rank", "3", "--epochs", "1", "--json", str(file)]
    # the peak's loop would be compiled for that CPU too
    code = (
        "from daskals.bench import machine; from jobs.bench import main; "
        f"machine.measured_peak_gflops = lambda _: 100.0; main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert report["machine"]["target"] == "generic"
    assert report["results"][0]["status"] == "measured"
