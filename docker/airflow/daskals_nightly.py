"""DAG for Airflow 3 of the nightly retrain: one task, whose date is the interval's and never the clock's.

Exit code 30 fails the task, which is tried again. 10 (model refused) and 20 (data refused) would be the same
the next time: they fail it for good, so that somebody looks at HOME/nights/DATE/report.html.
"""

from __future__ import annotations

import datetime as dt
import subprocess

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

COMMAND = (
    "/opt/daskals/.venv/bin/python", "-m", "jobs.retrain",
    "--data", "/var/lib/daskals/incoming",
    "--home", "/var/lib/daskals/nightly",
    "--dashboard-address", "none",
)  # fmt: skip


def retrain(ds: str) -> None:
    """Run the night of a date."""
    ended = subprocess.run([*COMMAND, "--as-of", ds], cwd="/opt/daskals", check=False)  # noqa: S603  a date and constants
    if ended.returncode in (10, 20):
        raise AirflowFailException(f"refused with code {ended.returncode}: see nights/{ds}/report.html")
    if ended.returncode:
        raise AirflowException(f"ended with code {ended.returncode}")


with DAG(
    dag_id="daskals_nightly",
    description="Take in new ratings, train from the champion, publish what is no worse",
    schedule="30 2 * * *",
    start_date=dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
    catchup=False,
    # nights build on one another
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": dt.timedelta(minutes=20),
        "execution_timeout": dt.timedelta(hours=4),
    },
) as dag:
    PythonOperator(task_id="retrain", python_callable=retrain)
