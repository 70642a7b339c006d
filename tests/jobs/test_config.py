"""Options: validated once, one name everywhere, readable refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskals.config import JobConfig, TrainConfig, read_config_file
from daskals.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": -1}, "--rank: found -1; expected greater than or equal to 0"),
        (
            {"rank": 2048, "model": "als"},
            "--rank: found 2048; expected at most 1024: 2048 factors would take every worker 8.3 GB of "
            "memory a million users and items",
        ),
        (
            {"rank": 257},
            "--rank: found 257; expected at most 256 with --model auto; add --model als or ials, which take "
            "up to 1024",
        ),
        (
            {"rank": 300, "model": "hierarchical"},
            "--rank: found 300; expected at most 256 with --model hierarchical",
        ),
        (
            {"rank": 31, "model": "als", "solver": "blocks"},
            "--solver: blocks takes 32 factors at a time; found rank 31; name a rank of 32 to 1024",
        ),
        (
            {"rank": 40, "model": "bayes", "solver": "blocks"},
            "--solver: blocks serves als and ials without features; found bayes, whose rows",
        ),
        (
            {"rank": 4, "model": "hierarchical", "solver": "gradients"},
            "--solver: gradients serves als and ials without features; found hierarchical",
        ),
        ({"rank": "many"}, "--rank: found 'many'; expected a valid integer"),
        ({"lambda": 0}, "--lambda: found 0; expected greater than 0"),
        ({"lambda": "-0.1"}, "--lambda: found '-0.1'; expected greater than 0"),
        ({"gamma": -1}, "--gamma: found -1; expected greater than or equal to 0"),
        ({"tau": -1}, "--tau: found -1; expected greater than or equal to 0"),
        ({"tau": "nan"}, "--tau: found 'nan'; expected a finite number"),
        ({"epochs": 0}, "--epochs: found 0; expected greater than or equal to 1"),
        ({"test_fraction": 1}, "--test-fraction: found 1; expected less than 1"),
        ({"split": "half"}, "--split: found 'half'; expected 'random', 'per-user'"),
        ({"fold": 12}, "--fold: found 12; expected at most 9 with 10 folds"),
        ({"init_scale": -1}, "--init-scale: found -1.0; expected a positive number or paper2"),
        ({"columns": "a"}, "--columns: found 'a'; expected user=NAME,item=NAME,rating=NAME"),
        ({"columns": "who=a"}, "--columns: found 'who=a'"),
        ({"damping": 0.5}, "--damping: applies to the bias model only; add --model bias"),
        ({"data": "a", "dataset": "b"}, "--data: found together with dataset"),
        ({"ranks": 3}, "--ranks: there is no such option"),
        (
            {"numba_threads": 2, "threads_per_worker": 2},
            "--numba-threads: found 2 with 2 Dask threads a worker",
        ),
        ({"cpu": "sparc"}, "--cpu: found 'sparc'; expected 'avx512', 'avx2', 'x86-64' or 'generic'"),
        ({"workers": 0}, "--workers: found 0; expected greater than or equal to 1"),
    ],
)
def test_refusals_name_option_value_and_what_fits(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobConfig.parse(values)
    assert message in caught.value.for_command()
    assert caught.value.for_command().endswith("See --help for all options.")


def test_defaults_are_paper_ones() -> None:
    config = TrainConfig()
    assert (config.rank, config.lambda_, config.gamma, config.tau, config.epochs) == (
        20,
        0.002,
        0.015,
        0.05,
        50,
    )
    assert config.ridge.factors == pytest.approx(25)
    assert config.ridge.bias == pytest.approx(7.5)
    assert config.initial_deviation == 0.1


@pytest.mark.parametrize(
    ("values", "solver"),
    [
        ({"model": "als", "rank": 48}, "joint"),
        ({"model": "als", "rank": 49}, "gradients"),
        ({"model": "ials", "rank": 512}, "gradients"),
        ({"model": "als", "rank": 512, "solver": "joint"}, "joint"),
        ({"model": "als", "rank": 40, "solver": "blocks"}, "blocks"),
        ({"model": "als", "rank": 4, "solver": "gradients"}, "gradients"),
        ({"model": "hierarchical", "rank": 128}, "joint"),
    ],
)
def test_the_solver_goes_by_the_rank_unless_it_is_named(values: dict, solver: str) -> None:
    assert TrainConfig.parse(values).taken_solver == solver


def test_paper2_scale_and_bias_model() -> None:
    assert TrainConfig.parse({"init_scale": "paper2", "rank": 16}).initial_deviation == 0.25
    assert TrainConfig.parse({"model": "bias"}).effective_rank == 0


@given(
    rank=st.integers(0, 256),
    lambda_=st.floats(1e-6, 10),
    tau=st.floats(0, 10),
    split=st.sampled_from(["random", "per-user", "last", "time", "none"]),
    scale=st.one_of(st.just("paper2"), st.floats(0.01, 2)),
)
def test_report_form_round_trips(rank: int, lambda_: float, tau: float, split: str, scale: object) -> None:
    config = JobConfig.parse(
        {
            "rank": rank,
            "lambda": lambda_,
            "tau": tau,
            "split": split,
            "init_scale": scale,
            "columns": "user=a,item=b,rating=c",
        }
    )
    again = JobConfig.parse(json.loads(json.dumps(config.as_report())))
    assert again == config


def test_config_file_toml_and_json(tmp_path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text('rank = 7\nlambda = 0.5\n"test-fraction" = 0.3\n')
    assert read_config_file(toml) == {"rank": 7, "lambda": 0.5, "test_fraction": 0.3}
    as_json = tmp_path / "run.json"
    as_json.write_text('{"rank": 7}')
    assert read_config_file(as_json) == {"rank": 7}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "rank = ", "is no valid TOML"),
        ("a.json", "{", "is no valid JSON"),
        ("a.json", "[1]", "holds a list; expected option names with their values"),
        ("a.toml", None, "cannot be read"),
    ],
)
def test_config_file_refusals(tmp_path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config_file(path)
