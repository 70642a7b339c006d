"""The cluster of the compose file, its variables and commands run on loopback: no Docker engine is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.cases.certificates import make_certificates
from tests.cases.external import ExternalCluster
from tests.conftest import ROOT

DOCKER = ROOT / "docker"


def test_the_compose_files_cluster_answers_to_its_certificates_alone(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    subprocess.run([DOCKER / "certificates.sh", folder], check=True, capture_output=True)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in before} == {"ca.pem", "node.pem", "node.key"}
    assert {path.stat().st_mode & 0o777 for path in before} == {0o600}
    subprocess.run([DOCKER / "certificates.sh", folder], check=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before  # made once

    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    env = {
        name: value.replace("/certificates", str(folder))
        for name, value in services["worker"]["environment"].items()
        if name.startswith("DASK_")
    }
    assert (
        env.items()
        <= {
            name: value.replace("/certificates", str(folder))
            for name, value in services["scheduler"]["environment"].items()
        }.items()
    )
    protocol = "--protocol=tls"
    assert protocol in services["worker"]["command"]
    assert "--protocol tls" in " ".join(services["scheduler"]["command"])
    with ExternalCluster(tmp_path / "dask", workers=1, options=[protocol], env=env) as external:
        options = [
            word.replace("/certificates", str(folder)).replace("tls://scheduler:8786", external.address)
            for word in services["train"]["command"]
            if word.startswith(("--tls-", "--scheduler="))
        ]
        assert len(options) == 4
        train = ["--model", "als", "--epochs", "2", "--dataset", "synthetic-100k", "--quiet"]
        command = [sys.executable, "-m", "jobs.train", *train, "--out", str(tmp_path / "run")]
        assert subprocess.run([*command, *options], cwd=ROOT).returncode == 0
        stranger = make_certificates(tmp_path, "stranger")
        foreign = [
            f"--tls-ca={stranger.ca}", f"--tls-cert={stranger.cert}", f"--tls-key={stranger.key}",
            f"--scheduler={external.address}", "--overwrite",
        ]  # fmt: skip
        refused = subprocess.run([*command, *foreign], cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode != 0
        assert "no scheduler answered" in refused.stderr
