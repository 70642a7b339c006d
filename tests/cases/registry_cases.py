"""A registry on both kinds of storage, and small versions to put there."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from daskals.registry.manifest import Manifest
from daskals.registry.registry import Registry

BUCKET = "bucket"
ALLOWED = (
    "there is no version",
    "no former version",
    "moved to",
    "there is no challenger",
    "there is no champion",
    "there is no registry",
)
"""What a process of the stress test may be told: things that moved on between two of its steps."""
FILES = {"model/zarr.json": 200, "model/users/factors/c/0/0": 5000, "model/ids/users/c/0": 40}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Run S3 on loopback, one request at a time: moto's own put-if-absent looks first and puts then."""
    from moto.server import create_backend_app
    from werkzeug.serving import make_server

    # the service is named: moto lists its folders at every request to guess which one is meant
    server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3_environment(endpoint: str) -> dict[str, str]:
    """Return the variables that lead every S3 client to a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def fresh_bucket_url() -> str:
    """Return the address of an empty registry on the server that the environment names."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    if not files.exists(BUCKET):
        files.mkdir(BUCKET)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def make_artifact(folder: Path, content: int) -> Path:
    """Write files that all say which version they belong to."""
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content:06d}" * (size // 6), encoding="utf-8")
    return folder


def content_of(folder: Path) -> int:
    """Return which version a folder holds; assert that all of it is there."""
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found.keys() == FILES.keys()
    contents = {text[:6] for text in found.values()}
    assert len(contents) == 1
    assert all(len(found[name]) == size // 6 * 6 for name, size in FILES.items())
    return int(contents.pop())


def publish(registry: Registry, folder: Path, content: int, **options: object) -> Manifest:
    """Publish a small version."""
    artifact = make_artifact(folder / f"artifact-{content}-{uuid.uuid4().hex[:6]}", content)
    figures = {"rmse": 0.9 + content / 1e6}
    return registry.publish(
        artifact,
        name="v",
        identity={"content": content},
        figures=figures,
        data={"content": content},
        **options,
    )  # type: ignore[arg-type]


def worker_main() -> None:
    """Publish, promote, roll back, read and collect, in turn, as a process of the stress test."""
    import datetime as dt
    import random
    import sys

    from daskals.errors import RegistryError
    from daskals.registry.collect import collect

    url, folder, seed, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    registry, rng = Registry(url), random.Random(seed)
    counts = dict.fromkeys(("publish", "promote", "rollback", "read", "collect", "refused"), 0)
    for _ in range(rounds):
        action = rng.choice(["publish", "promote", "rollback", "read", "read", "read", "collect"])
        counts[action] += 1
        try:
            if action == "publish":
                publish(registry, folder, rng.randrange(40), aliases=("challenger",))
            elif action == "promote":
                registry.promote("challenger")
            elif action == "rollback":
                registry.rollback()
            elif action == "collect":
                collect(registry, keep=2, min_age=dt.timedelta(0))
            else:
                with registry.reading(rng.choice(["champion", "challenger"])) as reading:
                    for _ in range(3):
                        assert content_of(reading.folder) == reading.manifest.data["content"]
        except RegistryError as error:
            if not any(text in str(error) for text in ALLOWED):
                raise
            counts["refused"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "error")
    worker_main()
