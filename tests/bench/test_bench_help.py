"""What the help of a benchmark says an option is by default is what it measures with."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from daskals.config import TrainConfig
from jobs.bench import main


class Asked(Exception):
    """Ends a benchmark before it measures."""


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("epoch", "epochs"),
        ("solvers", "epochs"),
        ("sweep", "epochs"),
        ("sweep", "threads"),
        ("sweep", "test-fraction"),
        ("defaults", "test-fraction"),
        ("defaults", "time-budget"),
    ],
)
def test_the_help_of_a_benchmark_tells_its_own_defaults(command, flag, monkeypatch):
    text = CliRunner().invoke(main, [command, "--help"]).output
    said = re.search(rf"^  --{flag} .*?\[default:\s+(\S+)\]", text, re.DOTALL | re.MULTILINE).group(1)
    asked = []

    def parse(cls, values):
        asked.append(cls.model_validate(values))
        raise Asked

    monkeypatch.setattr(TrainConfig, "parse", classmethod(parse))
    assert isinstance(CliRunner().invoke(main, [command]).exception, Asked)
    assert float(said) == getattr(asked[0], flag.replace("-", "_"))
