"""Service and app listen at the address that was asked for, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.sockets import LOOPBACK, free_port, listening, listening_command


@pytest.mark.parametrize("command", [["jobs.serve"], ["jobs._app_command", "--headless"]])
def test_it_listens_at_its_address_alone(folder: Path, tmp_path: Path, command: list[str]) -> None:
    port = free_port()
    with listening_command([*command, str(folder), "--port", str(port)], port, tmp_path) as process:
        assert set(listening(process)) == {(LOOPBACK, port)}
