"""`jobs.bench service` at small size: the service is asked, and answers all of it."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing

from jobs.bench import main


def test_service__counts_what_was_answered(tmp_path: Path) -> None:
    sizes = ["--users", "20", "--items", "100", "--rank", "4", "--connections", "3", "--seconds", "0.4"]
    result = click.testing.CliRunner().invoke(
        main, ["service", *sizes, "--json", str(tmp_path / "found.json")]
    )
    assert result.exit_code == 0, result.output
    known, folded = json.loads((tmp_path / "found.json").read_text())["results"]
    assert (known["kind"], folded["kind"]) == ("known", "folded in")
    for one in (known, folded):
        assert one["errors"] == 0
        assert one["requests"] >= 3
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["cpu_ms"] > 0
        assert f"{one['kind']}: {one['per_second']:,.0f} requests/s" in result.output
