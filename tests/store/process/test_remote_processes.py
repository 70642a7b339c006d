"""Processes that read a store at an address."""

from __future__ import annotations

import json
from pathlib import Path

from daskals.ingest import resolve_store
from daskals.store.copying import copy_store
from jobs import doctor, evaluate, train
from tests.cases.commands import run
from tests.cases.registry_cases import fresh_bucket_url

FAST = [
    "--rank",
    "3",
    "--epochs",
    "2",
    "--model",
    "als",
    "--order",
    "rating",
    "--seed",
    "1",
    "--dashboard-address",
    "none",
]


def test_processes_read_an_address(s3: str, planted_folder: Path, tmp_path: Path) -> None:
    trained_url = copy_store(resolve_store(str(planted_folder)), fresh_bucket_url()).path
    results = {}
    for name, options in {
        "folder": ["--data", planted_folder],
        "address": ["--store-url", trained_url, "--workers", "2", "--threads-per-worker", "1"],
    }.items():
        result = run(train, *FAST, *options, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        results[name] = json.loads((tmp_path / name / "report.json").read_text())
    assert results["address"]["factors_sha256"] == results["folder"]["factors_sha256"]
    assert results["address"]["data"]["store"] == trained_url
    again = run(evaluate, tmp_path / "address")
    assert again.exit_code == 0, again.output
    assert run(doctor, "--store", trained_url).exit_code == 0
