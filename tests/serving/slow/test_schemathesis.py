"""What schemathesis makes of the service's OpenAPI document: questions by the thousand, right and wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from daskals.model.fitted import Model
from tests.cases.service import serving

PROGRAM = shutil.which("schemathesis")
EXAMPLES = 200

SETTINGS = """
hooks = "hooks.py"

[parameters]
"query.user" = {users}
"query.item" = {items}
"""

HOOKS = '''
"""What no schema can tell: years in their order, and nothing rated twice."""

import schemathesis


@schemathesis.hook
def filter_body(context, body):
    if not isinstance(body, dict):
        return True
    filters, ratings = body.get("filters"), body.get("ratings")
    if isinstance(filters, dict):
        years = filters.get("year_from"), filters.get("year_to")
        if all(isinstance(year, int | float) for year in years) and years[0] > years[1]:
            return False
    if not isinstance(ratings, list):
        return True
    rated = [str(one.get("item")) for one in ratings if isinstance(one, dict)]
    return len(set(rated)) == len(rated)
'''


@pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not installed: pip install schemathesis")
def test_schemathesis_finds_nothing(folder: Path, tmp_path: Path) -> None:
    model = Model.load(folder)
    known = {side: getattr(model, f"{side[:-1]}_ids").to_pylist()[:20] for side in ("users", "items")}
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(**known))
    (tmp_path / "hooks.py").write_text(HOOKS)
    with serving(folder, "--max-body", "100MB", "--quiet") as service:
        address = service.address
        command = [
            str(PROGRAM), "run", f"{address}/openapi.json", "--checks", "all", "--continue-on-failure",
            "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color",
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        figures = httpx.get(f"{address}/metrics").text
    assert ended.returncode == 0, ended.stdout
    assert "Tested: 7" in ended.stdout
    for asked in ("GET recommend", "POST recommend", "GET similar", "POST explain", "POST predict"):
        method, route = asked.split()  # not all of them were refused
        assert f'requests_total{{method="{method}",route="/v1/{route}",status="200"}}' in figures
    assert 'status="500"' not in figures
