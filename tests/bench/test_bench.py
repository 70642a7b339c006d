"""The parts of the benchmarks: arithmetic, choice, isolation, samples, memory, messages."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click.testing
import numpy as np
import pytest

from daskals.bench import epoch as epoch_module
from daskals.bench import figure, interpreted, memory
from daskals.bench.config import BenchConfig, machine_cores
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import open_split, slice_rows
from daskals.bench.epoch import measure, measure_systems, result_of
from daskals.bench.ingestion import write_csv
from daskals.bench.isolation import MeasurementError
from daskals.bench.scaling import Step, measure_scaling, scaling_steps
from daskals.bench.systems import SYSTEMS, System, choose
from daskals.bench.work import epoch_bytes, epoch_flops
from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.ingest import ingest
from jobs.bench import main
from tests.cases.bench_cases import CONFIG, assignment_for, load_small, write_ratings

SHAPE = {"n_ratings": 1_000, "n_rows": 50}
NOWHERE = Assignment("", "nowhere", "none", CONFIG, 2)


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> Path:
    return write_ratings(tmp_path_factory.mktemp("ratings") / "ratings.csv")


def invoke(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(part) for part in arguments])


def assert_one_message(result: click.testing.Result, *parts: str) -> None:
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr.splitlines()[-1]


# --- arithmetic --------------------------------------------------------------------------------------------


def test_flops_count_every_multiply_add_once() -> None:
    order, n_ratings, n_rows = 4, 7, 3
    a_rating = sum(1 for row in range(order) for _ in range(row + 1)) + order
    solves = 2 * sum(1 for row in range(order) for _ in range(row + 1)) - order  # two triangles, halves
    assert epoch_flops(order, n_ratings, 0) == 2 * 2 * n_ratings * a_rating
    assert epoch_flops(order, 0, n_rows) == pytest.approx(2 * n_rows * (order**3 / 6 + solves))


def test_bytes_count_ratings_and_rows() -> None:
    assert epoch_bytes(10, 0, rating_bytes=5, row_bytes=128) == 2 * 10 * (5 + 128)
    assert epoch_bytes(10, 3, rating_bytes=8, row_bytes=84, copies=4) == 2 * 10 * (8 + 4 * 84) + 3 * (8 + 84)


def test_figures_follow_from_the_seconds() -> None:
    outcome = Outcome([0.5, 0.1, 0.2], 0.9, "2 threads", order=21, bytes_moved=1e6, peak_memory_bytes=5)
    result = result_of(SYSTEMS["daskals-kernel"], lambda: outcome, SHAPE, peak_gflops=10.0)
    assert (result["seconds"], result["seconds_min"]) == (0.2, 0.1)
    assert result["ratings_per_second"] == 5_000
    assert result["gflops"] == pytest.approx(epoch_flops(21, 1_000, 50) / 0.2 / 1e9)
    assert result["share_of_peak"] == pytest.approx(result["gflops"] / 10)
    assert result["status"] == "measured"


def test_a_system_that_eliminates_nothing_has_no_flops() -> None:
    result = result_of(SYSTEMS["implicit-cg"], lambda: Outcome([1.0], None, "2 threads"), SHAPE, 10.0)
    assert result["gflops"] is result["share_of_peak"] is result["test_rmse"] is None


# --- choice ------------------------------------------------------------------------------------------------


def test_peers_only_when_asked_for() -> None:
    assert {system.group for system in choose(None, peers=False)} == {"paper", "daskals"}
    assert choose(None, peers=True) == list(SYSTEMS.values())
    assert [system.name for system in choose("spark, daskals-kernel", peers=False)] == [
        "spark",
        "daskals-kernel",
    ]


@pytest.mark.parametrize(("only", "found"), [("paper-naive,fast", "found fast"), (" , ", "found no name")])
def test_unknown_names_are_refused(only: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"only: {found}; expected names from paper-naive, "):
        choose(only, peers=False)


@pytest.mark.parametrize(
    ("system", "note"),
    [
        (System("a", "peer", "", needs=("no_such_module",)), "no_such_module is not installed"),
        (System("b", "peer", "", programs=("no-such-program",)), "no-such-program is not on the path"),
    ],
)
def test_what_is_not_there_is_listed_as_absent(system: System, note: str) -> None:
    result = measure(system, NOWHERE, SHAPE, 1.0)
    assert (result["status"], result["note"]) == ("absent", note)
    assert all(result[name] is None for name in epoch_module.FIGURES)


def test_every_system_has_a_home() -> None:
    for system in SYSTEMS.values():
        if system.missing() is None:
            assert callable(system.load())
        else:
            assert system.needs


# --- what fails ---------------------------------------------------------------------------------------------


def test_a_failed_system_is_listed_and_ends_the_command_with_one_message(
    ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(function: str, arguments: dict, **_: object) -> None:
        raise MeasurementError("its process ended with code -9: it said nothing")

    monkeypatch.setattr(epoch_module, "run_isolated", fail)
    monkeypatch.setattr("daskals.bench.machine.run_isolated", lambda *_, **__: 100.0)
    file = tmp_path / "report.json"
    result = invoke("epoch", "--data", ratings, "--only", "daskals-kernel,paper-naive", "--json", file)
    assert_one_message(result, "2 of 2 measurements failed", "daskals-kernel: its process ended with code -9")
    assert [one["status"] for one in json.loads(file.read_text())["results"]] == ["failed", "failed"]
    assert "failed" in result.stdout


def test_a_machine_whose_peak_cannot_be_measured(ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MeasurementError("its process ended with code -4: it said nothing")

    monkeypatch.setattr("daskals.bench.machine.run_isolated", fail)
    result = invoke("evaluate", "--data", ratings)
    assert_one_message(result, "the machine's peak: its process ended with code -4")


def test_memory_peaks_are_seen_and_forgotten() -> None:
    memory.reset_peak()
    before = memory.peak_memory_bytes()
    ballast = np.ones(40_000_000, np.uint8)
    grown = memory.peak_memory_bytes()
    assert grown >= before + 30_000_000
    del ballast
    memory.reset_peak()
    assert memory.peak_memory_bytes() < grown


# --- samples and data --------------------------------------------------------------------------------------


def test_samples_stand_for_all_ratings() -> None:
    counts = np.random.default_rng(0).zipf(1.6, 5_000) % 4_000
    chosen = interpreted.sample_rows(counts)
    rows = np.concatenate([rows for rows, _ in chosen])
    assert len(rows) == len(set(rows.tolist())) <= interpreted.SAMPLE_GROUPS * interpreted.ROWS_A_GROUP
    assert np.all(counts[rows] > 0)
    assert sum(factor * counts[rows].sum() for rows, factor in chosen) == pytest.approx(counts.sum())


@pytest.mark.parametrize("run", [interpreted.run_naive, interpreted.run_dual_csr])
def test_large_data_are_sampled_and_said_to_be(run, ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreted, "FULL_RATINGS", 0)
    data = load_small(ratings)
    outcome = run(data, assignment_for(data, "paper-naive"))
    assert len(outcome.seconds) == interpreted.SAMPLE_PASSES
    assert outcome.test_rmse is None
    assert f"extrapolated from {outcome.extra['rows_timed']} of {data.n_rows} rows" in outcome.note
    result = result_of(SYSTEMS["paper-naive"], lambda: outcome, SHAPE, 1.0)
    assert result["status"] == "extrapolated"


def test_slices_are_the_rows_of_the_whole(ratings: Path) -> None:
    users = load_small(ratings).users
    part = slice_rows(users, 5, 9)
    assert (part.start, part.n_rows) == (5, 4)
    for row in range(4):
        here = slice(part.indptr[row], part.indptr[row + 1])
        whole = slice(users.indptr[5 + row], users.indptr[6 + row])
        np.testing.assert_array_equal(part.indices[here], users.indices[whole])
        np.testing.assert_array_equal(part.values[here], users.values[whole])


def test_csv_of_a_store_makes_the_same_store(ratings: Path, tmp_path: Path) -> None:
    store, _ = open_split(str(ratings), CONFIG)
    write_csv(store, tmp_path / "again.csv")
    again = ingest(tmp_path / "again.csv", tmp_path / "store")
    assert again.content_hash == store.content_hash


def test_a_split_without_test_ratings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "few.csv"
    file.write_text("userId,movieId,rating\n1,1,3\n1,2,4\n2,1,5\n", encoding="utf-8")
    config = TrainConfig.parse({"model": "als", "test_fraction": 0.0001})
    with pytest.raises(
        DataError, match="the test part of 3 ratings is empty; expected at least one rating in each part"
    ):
        open_split(str(file), config)


def test_assignments_survive_their_way_to_the_child() -> None:
    sent = Assignment("daskals-kernel", "/a/store", "key", CONFIG, 2, processes=2)
    assert Assignment.from_json(json.loads(json.dumps(sent.to_json()))) == sent


# --- scaling -----------------------------------------------------------------------------------------------


def test_steps_double_up_to_the_threads() -> None:
    assert [step.n for step in scaling_steps(6)][:4] == [1, 2, 4, 6]
    assert {step.n for step in scaling_steps(1)} == {1}
    assert Step("daskals-dask", "processes", 2).name == "daskals-dask processes=2"


def test_efficiency_is_relative_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(system: System, assignment: Assignment, shape: dict, peak: float) -> dict:
        absent = system.name == "daskals-numba-parallel"
        return {
            "name": system.name,
            "seconds": None if absent else 1.0 / assignment.threads**0.5,
            "peak": peak,
        }

    monkeypatch.setattr("daskals.bench.scaling.measure", pretend)
    monkeypatch.setattr("daskals.bench.scaling.measured_peak_gflops", lambda n: 100.0 * n)
    results = {one["name"]: one for one in measure_scaling(NOWHERE, SHAPE)}
    assert results["daskals-kernel threads=1"]["efficiency"] == 1
    assert results["daskals-kernel threads=2"]["efficiency"] == pytest.approx(2**0.5 / 2)
    assert results["daskals-kernel threads=2"]["peak"] == 200
    assert results["daskals-numba-parallel threads=2"]["efficiency"] is None


def test_gains_are_over_the_papers_parallel_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"paper-jit-parallel": 3.0, "daskals-kernel": 0.5, "spark": None}
    told: list[str] = []
    monkeypatch.setattr(
        epoch_module, "measure", lambda system, *_: {"name": system.name, "seconds": seconds[system.name]}
    )
    systems = [SYSTEMS[name] for name in seconds]
    results = measure_systems(systems, NOWHERE, SHAPE, 1.0, told.append)
    assert [one["times_as_fast"] for one in results] == [1.0, 6.0, None]
    assert told == [f"{name} …" for name in seconds]


def test_another_build_is_asked_the_same_beside_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path | None, dict]] = []

    def isolated(function: str, arguments: dict, *, threads: int, build: Path | None = None) -> dict:
        asked.append((function, build, arguments["assignment"]))
        return Outcome([4.0 if build else 2.0], 0.9, "", order=22).to_json()

    monkeypatch.setattr(epoch_module, "run_isolated", isolated)
    one = dataclasses.replace(NOWHERE, config=TrainConfig.parse({"model": "als", "rank": 7}))
    systems = [SYSTEMS["paper-jit-parallel"], SYSTEMS["daskals-kernel"]]
    results = measure_systems(systems, one, SHAPE, 1.0, against=Path("old"))
    assert [found["name"] for found in results] == [
        "paper-jit-parallel",
        "daskals-kernel",
        "daskals-kernel, before",
    ]
    assert results[1]["times_before"] == 2.0
    assert [build for _, build, _ in asked] == [None, None, Path("old")]
    assert asked[2][2]["system"] == "daskals-kernel"
    assert asked[2][2]["config"] == {"model": "als", "rank": 7, "units": "ratings"}  # it need not know others


# --- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--rank", 0], ["--rank: found '0'; expected greater than or equal to 1"]),
        (["--epochs", "many"], ["--epochs: found 'many'; expected"]),
        (["--threads", 100_000], ["--threads: found 100000; expected at most this machine's", "cores"]),
        (["--data", "x", "--dataset", "y"], ["--data: found together with dataset; expected one of the two"]),
        (["--cpu", "z80"], ["CPU target 'z80' is not known; expected one of avx512, avx2, x86-64, generic"]),
        (["--dataset", "synthetic-2m"], ["'synthetic-2m'", "The nearest is synthetic-32m"]),
        (["--data", "/no/such/ratings"], ["/no/such/ratings"]),
        (["--only", "fast"], ["--only: found fast; expected names from"]),
        (["--against", "/no/such/build"], ["--against: no daskals in /no/such/build; expected a folder"]),
        (["--json", "/no/such/folder/a.json"], ["a.json: the folder /no/such/folder does not exist"]),
        (["--json", "/tmp"], ["--json /tmp: is a folder; expected the name of a file"]),
        (["--figure", "figure.bmp2"], ["--figure figure.bmp2: found the suffix '.bmp2'; expected one of"]),
    ],
)  # fmt: skip
def test_bad_options_give_one_message(
    arguments: list[object], parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing is measured, nor any rating made, before all options are looked at
    monkeypatch.delattr("daskals.bench.run.describe_machine")
    assert_one_message(invoke("epoch", *arguments), *parts)


def test_a_figure_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'a\.svg": matplotlib is not installed.*daskals\[plots\]'):
        figure.check_figure(Path("a.svg"))


def test_json_that_cannot_be_written(tmp_path: Path, ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskals.bench.machine.run_isolated", lambda *_, **__: 100.0)
    monkeypatch.setattr(epoch_module, "run_isolated", lambda *_, **__: Outcome([1.0], 0.9, "x").to_json())

    def refuse(*_: object, **__: object) -> None:
        raise OSError("disk full")

    open_split(str(ratings), BenchConfig.parse({}).training())  # else it would be its split that cannot be
    monkeypatch.setattr(Path, "replace", refuse)
    file = tmp_path / "a.json"
    result = invoke("epoch", "--data", ratings, "--only", "daskals-kernel", "--json", file)
    assert_one_message(result, f"--json {file}: cannot be written (disk full)")
    assert not file.exists()


def test_defaults() -> None:
    config = BenchConfig.parse({})
    assert (config.source, config.epochs, config.n_threads) == ("synthetic-1m", 5, machine_cores())
    assert BenchConfig.parse({"data": "a.csv", "threads": "1"}).source == "a.csv"
    assert BenchConfig.parse({"rank": "512"}).training().rank == 512
    training = BenchConfig.parse({"rank": "7", "tau": "0.5"}).training()
    assert (training.rank, training.tau, training.epochs, training.model) == (7, 0.5, 5, "als")
