"""The examples of how to run the nightly job, each read by the program it is for."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import kubernetes_validate
import pytest
import yaml
from croniter import croniter

from jobs import models, retrain
from tests.conftest import ROOT

EXAMPLES = ROOT / "docker"
AIRFLOW = EXAMPLES / "airflow" / "daskals_nightly.py"
START = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
KUBERNETES = "1.31"


def check_command(words: list[str]) -> None:
    """Let the job itself parse what an example passes to it."""
    start = words.index("-m")
    command = {"jobs.retrain": retrain.main, "jobs.models": models.main}[words[start + 1]]
    command.make_context("example", [word for word in words[start + 2 :] if word != "exec"])


def words_of(script: str) -> list[str]:
    return shlex.split(script.replace("$(date -u -d yesterday +%F)", "2024-04-30"))


def next_times(schedule: str, n: int) -> list[str]:
    times = croniter(schedule, START)
    return [times.get_next(dt.datetime).strftime("%a %d %H:%M") for _ in range(n)]


# --- cron --------------------------------------------------------------------------------------------------


def test_cron_reads_its_table(debian_tool, tmp_path: Path) -> None:
    crontab = debian_tool("crontab", "cron")
    table = EXAMPLES / "cron" / "daskals.cron"
    subprocess.run([crontab, "-n", table], check=True, capture_output=True)
    bad = tmp_path / "bad"
    bad.write_text(table.read_text().replace("30 2 ", "75 2 "))
    assert b"bad minute" in subprocess.run([crontab, "-n", bad], capture_output=True).stderr


def test_cron_runs_what_it_should_when_it_should() -> None:
    lines = (EXAMPLES / "cron" / "daskals.cron").read_text().splitlines()
    entries = [line for line in lines if re.match(r"[0-9*]", line)]
    schedules = [" ".join(entry.split()[:5]) for entry in entries]
    assert [next_times(schedule, 2) for schedule in schedules] == [
        ["Wed 01 02:30", "Thu 02 02:30"],
        ["Wed 01 05:30", "Thu 02 05:30"],
        ["Sun 05 06:00", "Sun 12 06:00"],
    ]
    for entry in entries:
        command = entry.split(maxsplit=5)[5]
        assert not re.search(r"(?<!\\)%", command)  # cron would cut the command there
        check_command(words_of(command.replace("\\%", "%").split(">>")[0]))


# --- systemd -----------------------------------------------------------------------------------------------


def test_systemd_reads_its_units(debian_tool, tmp_path: Path) -> None:
    analyze = debian_tool("systemd-analyze", "systemd")
    units = sorted((EXAMPLES / "systemd").iterdir())
    assert {unit.suffix for unit in units} == {".service", ".timer"}

    def verify(*paths: Path) -> tuple[int, str]:
        found = subprocess.run([analyze, "verify", *paths], capture_output=True, text=True)
        return found.returncode, "\n".join(line for line in found.stderr.splitlines() if "daskals" in line)

    assert verify(*units) == (0, "")
    for unit in units:
        text = (
            unit.read_text().replace("Type=oneshot", "Type=nothing").replace("OnCalendar=*", "OnCalendar=x")
        )
        (tmp_path / unit.name).write_text(text)
        assert verify(tmp_path / unit.name)[1]


def test_systemd_leaves_the_service_no_right_it_does_not_need(debian_tool, tmp_path: Path) -> None:
    analyze = debian_tool("systemd-analyze", "systemd")
    service = EXAMPLES / "systemd" / "daskals-retrain.service"

    def is_locked_up(unit: Path) -> bool:
        found = subprocess.run(
            [analyze, "security", "--offline=true", "--threshold=30", unit], capture_output=True
        )
        return found.returncode == 0

    assert is_locked_up(service)
    open_to_all = tmp_path / service.name
    lines = service.read_text().splitlines()
    open_to_all.write_text("\n".join(line for line in lines if not line.startswith("SystemCallFilter")))
    assert not is_locked_up(open_to_all)


def test_systemd_runs_what_it_should_when_it_should(debian_tool) -> None:
    analyze = debian_tool("systemd-analyze", "systemd")
    timer = (EXAMPLES / "systemd" / "daskals-retrain.timer").read_text()
    calendar = re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE).group(1)
    found = subprocess.run(
        [analyze, "calendar", "--base-time", "2024-05-01 00:00:00 UTC", calendar],
        capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "Wed 2024-05-01 02:30:00 UTC" in found.stdout
    service = (EXAMPLES / "systemd" / "daskals-retrain.service").read_text()
    started = re.search(r"^ExecStart=(.*)$", service, re.MULTILINE).group(1)
    shell, flag, script = shlex.split(started.replace("$$", "$").replace("%%", "%"))
    assert (shell, flag) == ("/bin/sh", "-c")
    assert "+%F" in script
    check_command(words_of(script))
    assert "RestartPreventExitStatus=10 20" in service


# --- Kubernetes --------------------------------------------------------------------------------------------


def validate(document: object) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def check_locked_up(pod: dict) -> None:
    """Nothing of a pod is writable but its volumes, and it has no rights that it does not need."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_kubernetes_reads_the_nightly_job() -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / "kubernetes" / "nightly.yaml").read_text()))
    assert [document["kind"] for document in documents] == [
        "CronJob",
        "NetworkPolicy",
        "PersistentVolumeClaim",
    ]
    for document in documents:
        validate(document)
    job = documents[0]["spec"]
    assert next_times(job["schedule"], 1) == ["Wed 01 02:30"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    check_locked_up(pod)
    (container,) = pod["containers"]
    (rule,) = job["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [10, 20]}
    check_command(words_of(container["args"][0]))
    labels = job["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    closed = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}
    assert documents[1]["spec"] == closed  # and no rule that lets anybody in
    job["concurrency"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(documents[0])


def test_kubernetes_reads_the_pods_of_the_dask_cluster() -> None:
    """The operator's own schema is not in the validator: its pods and service are what it passes on."""
    text = (EXAMPLES / "kubernetes" / "daskcluster.yaml").read_text()
    document, policy = yaml.safe_load_all(text)
    validate(policy)
    assert (policy["kind"], policy["spec"]["policyTypes"]) == ("NetworkPolicy", ["Ingress"])
    assert (document["apiVersion"], document["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    spec = document["spec"]
    assert spec.keys() == {"worker", "scheduler"}
    metadata = {"name": "daskals"}
    for role in ("worker", "scheduler"):
        validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec[role]["spec"]})
        assert spec[role]["spec"]["containers"][0]["args"][:2] == ["dask", role]
        check_locked_up(spec[role]["spec"])
    service = spec["scheduler"]["service"]
    validate({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    nightly = (EXAMPLES / "kubernetes" / "nightly.yaml").read_text()
    assert f"tcp://{document['metadata']['name']}-scheduler:{service['ports'][0]['port']}" in nightly


# --- Airflow -----------------------------------------------------------------------------------------------


class Failed(Exception):
    """Airflow's exception of a task that is tried again."""


class FailedForGood(Failed):
    """Airflow's exception of a task that is not."""


class Recorder:
    """Stands for Airflow's DAG and operator: Airflow itself is 150 packages, too many for a test."""

    made: ClassVar[list[Recorder]] = []

    def __init__(self, **options: object) -> None:
        self.options = options
        self.made.append(self)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        return


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(Recorder, "made", [])
    stand_ins = {
        "airflow": {},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.python": {"PythonOperator": Recorder},
        "airflow.sdk": {"DAG": Recorder},
        "airflow.sdk.exceptions": {"AirflowException": Failed, "AirflowFailException": FailedForGood},
    }
    for name, content in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("daskals_nightly", AIRFLOW)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_airflow_dag_is_one_task_a_night(airflow: ModuleType) -> None:
    dag, task = Recorder.made
    assert next_times(dag.options["schedule"], 2) == ["Wed 01 02:30", "Thu 02 02:30"]
    assert dag.options["max_active_runs"] == 1
    assert dag.options["catchup"] is False
    assert dag.options["default_args"]["retries"] == 3
    assert task.options == {"task_id": "retrain", "python_callable": airflow.retrain}


@pytest.mark.parametrize(
    ("code", "raised"), [(0, None), (10, FailedForGood), (20, FailedForGood), (30, Failed), (1, Failed)]
)
def test_the_airflow_task_fails_as_the_job_ended(
    airflow: ModuleType, monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Failed] | None
) -> None:
    calls = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        calls.append(command)
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(airflow.subprocess, "run", run)
    if raised is None:
        airflow.retrain("2024-05-01")
    else:
        with pytest.raises(raised) as caught:
            airflow.retrain("2024-05-01")
        assert type(caught.value) is raised
    (command,) = calls
    assert command[command.index("--as-of") + 1] == "2024-05-01"
    check_command(command)
