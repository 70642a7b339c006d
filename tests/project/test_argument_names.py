"""Errors name what was typed: arguments where Python called, flags where a command did."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from click.testing import CliRunner
from pydantic import BaseModel

import daskals
from daskals.config import ClusterConfig, JobConfig, ReadConfig, TrainConfig
from daskals.config.section import Section
from daskals.errors import FLAGS, SWITCHES, ConfigError, DaskalsError
from daskals.model.fitted import Model
from daskals.model.profile import RatedRows
from tests.cases.sources import ROOT, trees

TINY = TrainConfig(model="als", rank=2, epochs=2, split="none", order="rating")
OPTION = re.compile(r"(?<![^\s(])--([a-z][a-z0-9-]*)(?:( |=)([\w-]+))?")
QUOTED = re.compile(r"`[^`]*`")


@pytest.mark.parametrize(
    ("text", "argument", "flag"),
    [
        ("raise --keep-ratings", "raise keep_ratings", "raise --keep-ratings"),
        ("--lambda", "lambda_", "--lambda"),
        ("with --split=time.", 'with split="time".', "with --split time."),
        ("(--rank=0)", "(rank=0)", "(--rank 0)"),
        ("add --no-header", "add no_header=True", "add --no-header"),
        (
            "name --columns=user=u,item=…, or",
            'name columns={"user": "u", "item": "…"}, or',
            "name --columns user=u,item=…, or",
        ),
        ("run `daskals train --resume`", "run `daskals train --resume`", "run `daskals train --resume`"),
        ("found '--tau=1'", "found '--tau=1'", "found '--tau=1'"),
        ("people's --tau and its' end", "people's tau and its' end", "people's --tau and its' end"),
        ("a/--b a--b -- b", "a/--b a--b -- b", "a/--b a--b -- b"),
    ],
)
def test_option_in_a_message(text: str, argument: str, flag: str) -> None:
    error = ConfigError(text, where=text, expected=text, remedy=text)
    for found in (error, pickle.loads(pickle.dumps(error))):
        assert str(found) == f"{argument}: {argument}; expected {argument}. {argument}."
        assert found.for_command() == f"{flag}: {flag}; expected {flag}. {flag}."


# --- the messages in the source ---------------------------------------------------------------------------


def messages() -> list[tuple[str, str]]:
    """Return the texts of the library's errors, each with its place; what f-strings fill in is x."""
    found = []
    for module, tree in trees("daskals").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (_name(node).endswith("Error") or _name(node) == "history"):
                texts = [*node.args, *(keyword.value for keyword in node.keywords)]
                place = f"{module}, line {node.lineno}"
                found += [(place, text) for part in texts for text in _texts(part)]
    return found


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [text for child in ast.iter_child_nodes(node) for text in _texts(child)]


def flags() -> dict[str, set[str]]:
    """Return the options of all commands, by name without dashes, with the words that they may be."""
    known: dict[str, set[str]] = {"help": set()}
    for path in (ROOT / "jobs").glob("[a-z]*.py"):
        if path.stem != "app":
            _collect(importlib.import_module(f"jobs.{path.stem}").main, known)
    return known


def _collect(command: click.Command, known: dict[str, set[str]]) -> None:
    for part in getattr(command, "commands", {}).values():
        _collect(part, known)
    for option in command.params:
        words = set((option.metavar or "").split("|")) if isinstance(option, click.Option) else set()
        for flag in option.opts:
            known.setdefault(flag.removeprefix("--"), set()).update(words)


def test_messages_write_options_so_that_both_readings_follow() -> None:
    known, n = flags(), 0
    for place, text in messages():
        for name, sign, word in OPTION.findall(QUOTED.sub("", text)):
            n += 1
            name = FLAGS.get(name, name)
            assert name in known, f"{place}: no command has --{name}"
            assert sign != " " or word not in known[name], f"{place}: write --{name}={word}"
    assert n > 60


def test_switches_are_those_of_the_options() -> None:
    def of(config: type[BaseModel]) -> set[str]:
        fields = config.model_fields.items()
        return {name.replace("_", "-") for name, field in fields if field.annotation in (bool, bool | None)}

    assert {*of(JobConfig), "include-seen"} == SWITCHES


def test_what_python_says_with_a_value__commands_say_with_a_switch() -> None:
    for name in ("existing", "overwrite"):
        error = ConfigError("already exists", remedy=f"Replace it with --{name}=replace")
        assert str(error) == f'already exists. Replace it with {name}="replace".'
        assert error.for_command() == "already exists. Replace it with --overwrite."


# --- calls of Python --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(client) -> Model:
    rng = np.random.default_rng(1)
    users, items = np.nonzero(rng.random((12, 9)) < 0.6)
    frame = pd.DataFrame({"user": users, "item": items, "rating": rng.integers(1, 6, len(users)) * 1.0})
    return daskals.fit(frame, TINY, client)


FRAME = pd.DataFrame({"who": [1, 2, 3], "what": [1, 2, 2], "stars": [1.0, 2.0, 3.0]})
NAMED = {"user": "who", "item": "what", "rating": "stars"}

CALLS: dict[str, list[Callable[[Model, Path], object]]] = {
    "fit": [
        lambda model, tmp: daskals.fit(FRAME),
        lambda model, tmp: daskals.fit(FRAME, columns={"user": "who"}),
        lambda model, tmp: daskals.fit(FRAME, columns={**NAMED, "item": "gone"}),
        lambda model, tmp: daskals.fit(FRAME, TrainConfig(split="kfold"), columns=NAMED),
        lambda model, tmp: daskals.fit(FRAME, TrainConfig(split="time"), columns=NAMED),
        lambda model, tmp: daskals.fit(FRAME, TrainConfig(half_life=30, model="als"), columns=NAMED),
        lambda model, tmp: daskals.fit("netflicks"),
        lambda model, tmp: daskals.fit(str(tmp / "gone.csv")),
        lambda model, tmp: daskals.fit(FRAME, TINY, columns=NAMED, catalogue=pd.DataFrame({"x": [1]})),
        lambda model, tmp: daskals.fit(scipy.sparse.coo_array(([1j, 2.0], ([0, 1], [0, 1])))),
        lambda model, tmp: daskals.fit(scipy.sparse.coo_array(([1.0], ([0], [0], [0])), shape=(2, 2, 2))),
    ],
    "cross_validate": [
        lambda model, tmp: daskals.cross_validate(FRAME, TrainConfig(folds=2)),
    ],
    "ingest": [
        lambda model, tmp: daskals.ingest(tmp / "gone.csv", tmp / "store"),
        lambda model, tmp: daskals.ingest("synthetic-100k", tmp / "store", as_of="2020-01-01"),
        lambda model, tmp: daskals.ingest("ratings", tmp / "store", as_of="yesterday"),
    ],
    "load_model": [lambda model, tmp: daskals.load_model(tmp / "gone")],
    "open_store": [lambda model, tmp: daskals.open_store(tmp / "gone")],
    "TrainConfig": [
        lambda model, tmp: TrainConfig(tau=-1),
        lambda model, tmp: TrainConfig(fold=12),
        lambda model, tmp: TrainConfig(no_such_thing=1),
        lambda model, tmp: TrainConfig(model="bias", item_features=("genres",)),
        lambda model, tmp: TrainConfig.parse({"columns": "user"}),
        lambda model, tmp: ClusterConfig(numba_threads=2, threads_per_worker=2),
    ],
    "Filters": [
        lambda model, tmp: daskals.Filters(min_ratings=-1),
        lambda model, tmp: daskals.Filters(years=(2000, 1990)),
    ],
    "Model.recommend": [
        lambda model, tmp: model.recommend(99),
        lambda model, tmp: model.recommend(1, n=0),
        lambda model, tmp: model.recommend(1, order="affinity"),
        lambda model, tmp: model.recommend(1, diversity=2),
        lambda model, tmp: model.recommend(1, alpha=1, bias_weight=1),
        lambda model, tmp: model.recommend(1, users=[2]),
        lambda model, tmp: model.recommend(users=[]),
        lambda model, tmp: model.recommend(1, filters=daskals.Filters(genres=("Drama",))),
        lambda model, tmp: model.recommend(1, filters=daskals.Filters(allow=("x",))),
    ],
    "Model.allowed": [lambda model, tmp: model.allowed(daskals.Filters(deny=(99,)))],
    "Model.scores": [
        lambda model, tmp: model.scores(99),
        lambda model, tmp: model.scores(1, ["no"]),
        lambda model, tmp: model.scores(1, order="affinity"),
    ],
    "Model.explain": [lambda model, tmp: model.explain(1, "no")],
    "Model.explain_order": [lambda model, tmp: model.explain_order(1, 1)],
    "Model.similar_items": [
        lambda model, tmp: model.similar_items(99),
        lambda model, tmp: model.similar_items(1, n=-1),
    ],
    "Model.similar_users": [lambda model, tmp: model.similar_users(99)],
    "Model.popular": [lambda model, tmp: model.popular(filters=daskals.Filters(genres=("Drama",)))],
    "Model.fold_in": [
        lambda model, tmp: model.fold_in({1: 17}),
        lambda model, tmp: model.fold_in({99: 1}),
        lambda model, tmp: model.fold_in(pd.DataFrame({"film": [1]})),
        lambda model, tmp: model.fold_in(str(tmp / "gone.csv")),
    ],
    "Model.place": [
        lambda model, tmp: model.place([RatedRows(np.array([99]), np.array([1], np.float32))]),
    ],
    "Model.fold_in_item": [
        lambda model, tmp: model.fold_in_item(genres=["Drama"]),
        lambda model, tmp: model.fold_in_item(ratings={99: 1}),
    ],
    "Model.person": [lambda model, tmp: model.person(99)],
    "Model.as_of": [lambda model, tmp: model.as_of("2020-01-01")],
    "Model.predict": [lambda model, tmp: model.predict([1, 2], [1])],
    "Model.update": [
        lambda model, tmp: model.update(FRAME),
        lambda model, tmp: model.update(FRAME, columns={"user": "who"}),
        lambda model, tmp: model.update(FRAME, config=ReadConfig(duplicates="sum")),
    ],
    "Model.save": [lambda model, tmp: (model.save(tmp / "m"), model.save(tmp / "m"))],
    "Model.load": [lambda model, tmp: Model.load(tmp / "gone")],
}
"""What Python may call, each with calls that cannot be answered."""

UNFAILING = {
    "factors_sha256", "list_version", "genre_vectors", "catalogue_column", "is_dust", "has_neighbours",
    "item_name", "user_name", "rows_of", "row_of", "predict_rows", "affinities", "expected", "stars",
    "genre_matrix",
}  # fmt: skip
"""Methods that answer whatever they are asked, or that are asked by rows."""

INNER = {
    "history", "fold", "find_item", "find_item_by_id", "find_item_by_title", "find_user", "list_order",
    "scores_of_new", "predict_profile", "as_rating",
}  # fmt: skip
"""Methods that the calls above go through."""


def callable_member(one: object) -> bool:
    return inspect.isfunction(one) or inspect.ismethod(one)


def test_every_public_call_is_walked() -> None:
    methods = {
        name for name, method in inspect.getmembers(Model, callable_member) if not name.startswith("_")
    }
    named = {name.removeprefix("Model.") for name in CALLS if name.startswith("Model.")}
    assert named <= methods
    assert methods - named - UNFAILING - INNER == set()
    assert {name for name in CALLS if "." not in name} == {*daskals.__all__} - {"Model"}


@pytest.mark.parametrize("name", CALLS)
def test_error_of_a_call_names_arguments(name: str, model: Model, tmp_path: Path) -> None:
    for call in CALLS[name]:
        with pytest.raises(DaskalsError) as caught:
            call(model, tmp_path)
        text = str(caught.value)
        assert not OPTION.search(QUOTED.sub("", text)), text
        assert "\n" not in text


def test_columns_that_are_missing__as_python_writes_them() -> None:
    with pytest.raises(DaskalsError, match=r'Name the columns with columns=\{"user": "…", "item": "…", "ra'):
        daskals.fit(FRAME)


def test_options_are_refused_in_one_line_when_they_are_made() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(tau=-1, model="alss")
    assert str(caught.value).startswith("model: found 'alss'; expected 'auto', ")
    assert "tau: found -1; expected greater than or equal to 0" in str(caught.value)
    assert str(caught.value).endswith("See help(daskals.TrainConfig) for all options.")
    assert "--tau: found -1" in caught.value.for_command()
    assert issubclass(TrainConfig, Section)


def test_a_command_names_flags(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    FRAME.to_csv(file, index=False)
    command = importlib.import_module("jobs.ingest").main
    ended = CliRunner().invoke(command, [str(file), str(tmp_path / "store")])
    assert ended.exit_code == 1
    assert "Name the columns with --columns user=…,item=…,rating=…, and timestamp=…" in ended.output
