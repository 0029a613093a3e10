"""Fetch and report every Monday, for Airflow 3. Copy this file into the folder of your DAGs and edit the names below.

The week comes from the run's data interval, so that a run that is repeated makes the report of its own week. Airflow 3
gives cron schedules no interval by default (`start` equals `end`): `CronDataIntervalTimetable` does.
`python3 dev.py bench airflow` runs this file by `airflow dags test`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

CLUSTERS = ("shop",)
FOLDER = "/etc/aurora-analysis"
"""The folder of aurora-analysis.toml, which names the store and the clusters."""
ARCHIVE = "s3://bucket/reports"

WEEK = "--start {{ data_interval_start | ds }} --end {{ data_interval_end | ds }}"

with DAG(
    "aurora_weekly",
    schedule=CronDataIntervalTimetable("0 6 * * 1", timezone="UTC"),
    start_date=datetime(2026, 1, 5),
    catchup=False,
    default_args={"cwd": FOLDER, "append_env": True, "retries": 2, "retry_delay": timedelta(minutes=10)},
) as dag:
    fetches = [
        BashOperator(task_id=f"fetch_{name}", bash_command=f"aurora-analysis fetch --cluster {name} {WEEK}")
        for name in CLUSTERS
    ]
    # The report lists missing data, so it runs after a failed fetch, too. Exit code 3 is a finding, not a failure: a
    # retry would find it again. The last line of the output is what the next task reads.
    report = BashOperator(
        task_id="report",
        bash_command=f"aurora-analysis report --all {WEEK} --record --archive {ARCHIVE} --fail-on act"
        "; code=$?; echo $code; [ $code -eq 0 ] || [ $code -eq 3 ] || exit $code",
        trigger_rule="all_done",
    )
    # This task makes the run red once the report is published: for a finding, and for a fetch that failed.
    verdict = BashOperator(
        task_id="verdict",
        bash_command="exit {{ ti.xcom_pull(task_ids='report') }}",
        retries=0,
    )
    fetches >> report >> verdict
    fetches >> verdict
