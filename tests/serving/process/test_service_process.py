"""The service as a process: no error while another version is published, and an end when told."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from daskals.model.fitted import Model
from daskals.registry.registry import CHAMPION, Registry
from daskals.registry.run_versions import publish_run
from tests.cases.service import serving

USERS = (1, 2, 3, 4)


def test_no_request_fails_while_a_version_is_published(folder: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    first = publish_run(registry, folder, name="first", aliases=[CHAMPION])
    model = Model.load(folder)
    replace(model, mean=model.mean + 0.1).save(tmp_path / "other")
    with serving(tmp_path / "registry") as service:
        assert (service.version, service.address.startswith("http://127.0.0.1:")) == (first.id, True)
        versions = asyncio.run(ask_until_another(service.address, tmp_path, registry))
        service.process.send_signal(signal.SIGTERM)
        code, out, errors = service.ended(60)
    assert (code, out) == (0, "stopped\n")
    second = registry.resolve(CHAMPION)
    assert second != first.id
    for user in USERS:
        own = [version for asked, version in versions if asked == user]
        assert own == sorted(own, key=[first.id, second].index), "a version came back"
    assert {version for _, version in versions} == {first.id, second}
    lines = [json.loads(line) for line in errors.splitlines()]
    assert len([line for line in lines if line["event"] == "request"]) == len(versions)
    assert [line["model"] for line in lines if line["event"] == "model"] == [second]


async def ask_until_another(address: str, folder: Path, registry: Registry) -> list[tuple[int, str]]:
    """Ask for four users at once until the version published meanwhile answers; return who answered whom."""
    versions: list[tuple[int, str]] = []
    until = time.monotonic() + 60

    async def ask(client: httpx.AsyncClient, user: int) -> None:
        while len({version for _, version in versions}) < 2 and time.monotonic() < until:
            answer = await client.get(f"{address}/v1/recommend", params={"user": user, "order": "rating"})
            assert answer.status_code == 200, answer.text
            versions.append((user, answer.json()["model"]))
            await asyncio.sleep(0.02)

    async with httpx.AsyncClient(timeout=60) as client:  # kernels may compile meanwhile
        publish = asyncio.to_thread(
            publish_run, registry, folder / "other", name="second", aliases=[CHAMPION]
        )
        await asyncio.gather(publish, *(ask(client, user) for user in USERS))
    return versions


def test_a_second_signal_ends_the_service_at_once(folder: Path) -> None:
    """The first one waits for a request that is under way: here one whose body never comes."""
    with serving(folder) as service:
        process, address = service.process, service.address
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as asking:
            asking.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\n")
            httpx.get(f"{address}/health").raise_for_status()  # what was sent before it has been read
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
            process.send_signal(signal.SIGINT)
            code, out, errors = service.ended(30)
    assert (code, out) == (130, "")
    assert errors.splitlines()[-1] == "interrupted again: ended at once"
