"""Other ways to get the rows of a bulk extract or a long report, with their steps, for each bad practice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.window import Window

DAY_S = 86400.0

OFTEN_PER_DAY = 4.0
"""An extract that runs more often than this needs changes, not copies: each copy is old before the next run."""

COLUMNS = ["user", "practice", "alternative", "because", "steps"]
"""Columns of `alternatives`."""


class Alternative(NamedTuple):
    """A way to get rows without reading them from a production instance."""

    name: str
    because: str
    steps: str


CLONE = Alternative(
    "clone",
    "A clone shares the volume's pages until they change and cleans up by itself: its {view}s keep nothing on the writer.",
    "1. aws rds restore-db-cluster-to-point-in-time --source-db-cluster-identifier {cluster} --db-cluster-identifier "
    "{cluster}-clone --restore-type copy-on-write --use-latest-restorable-time; "
    "2. aws rds create-db-instance --db-cluster-identifier {cluster}-clone --db-instance-identifier {cluster}-clone-1 "
    "--engine {engine} --db-instance-class db.r6g.large; "
    "3. read from the clone's endpoint; "
    "4. aws rds delete-db-instance --db-instance-identifier {cluster}-clone-1, then "
    "aws rds delete-db-cluster --db-cluster-identifier {cluster}-clone --skip-final-snapshot.",
)

EXPORT = Alternative(
    "snapshot export to S3",
    "The export reads a snapshot, not an instance, and writes Parquet, which a warehouse loads in parallel.",
    "1. aws rds create-db-cluster-snapshot --db-cluster-identifier {cluster} --db-cluster-snapshot-identifier {cluster}-export; "
    "2. aws rds start-export-task --export-task-identifier {cluster}-export --source-arn SNAPSHOT_ARN --s3-bucket-name BUCKET "
    "--iam-role-arn ROLE_ARN --kms-key-id KEY --export-only DATABASE.TABLE; "
    "3. load the Parquet files (Snowflake: COPY INTO ... FROM @STAGE); "
    "4. aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier {cluster}-export.",
)

ZERO_ETL = Alternative(
    "zero-ETL or change data capture",
    "Only changes leave the cluster, from the {log}, which costs the writer some write throughput; Redshift is zero-ETL's target.{slot}",
    "1. in the cluster's parameter group: {parameters}, then restart the writer; "
    "2. aws rds create-integration --integration-name {cluster} --source-arn CLUSTER_ARN --target-arn NAMESPACE_ARN; "
    "3. create a database from the integration in Redshift; for another target read the {log} with its connector.",
)

BATCHES = Alternative(
    "batches by key",
    "Each batch has a {view} of its own, which ends after minutes: {cleanup} goes on between batches.",
    "1. SELECT ... WHERE id > LAST_ID ORDER BY id LIMIT ROWS, on a reader, with autocommit on; "
    "2. keep the last id and repeat; 3. for changed rows, add an index on the time of change.",
)


OF_CLEANUP: dict[str, dict[str, str]] = {
    "purge": {
        "engine": "aurora-mysql",
        "log": "binlog",
        "slot": "",
        "parameters": "binlog_format=ROW, aurora_enhanced_binlog=1, binlog_backup=0, binlog_row_image=FULL, "
        "binlog_row_metadata=FULL",
    },
    "vacuum": {
        "engine": "aurora-postgresql",
        "log": "write-ahead log",
        "slot": " A replication slot whose consumer stops keeps dead rows of the catalogues and the log itself.",
        "parameters": "rds.logical_replication=1",
    },
}
"""The engine's own words in the alternatives, by its word for cleanup."""


def alternatives(
    practices: pd.DataFrame, window: Window, cluster: str, words: Words | None = None
) -> pd.DataFrame:
    """List the alternatives to each user's bad practices, the most fitting first.

    An extract that runs often needs changes instead of copies; a rare one, or a long report, is better off with a copy.

    Parameters
    ----------
    practices : DataFrame
        The result of `practices`.
    window : Window
        The window that they cover.
    cluster : str
        The DB cluster's identifier, for the commands.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.

    Returns
    -------
    DataFrame
        `user, practice, alternative, because, steps`; commands have placeholders in capitals.
    """
    days = window.duration.total_seconds() / DAY_S
    runs = practices.groupby(["user", "practice"], sort=False, as_index=False)["executions"].sum()
    words = words or engines.words(engines.DEFAULT)
    values = {**words._asdict(), **OF_CLEANUP[words.cleanup], "cluster": cluster}
    rows = [
        [user, practice, one.name, one.because.format(**values), one.steps.format(**values)]
        for user, practice, count in zip(runs["user"], runs["practice"], runs["executions"])
        for one in _fitting(practice, count / days)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _fitting(practice: str, per_day: float) -> Iterator[Alternative]:
    if practice != "bulk extract":
        yield CLONE
        yield EXPORT
    elif per_day > OFTEN_PER_DAY:
        yield from (ZERO_ETL, BATCHES, CLONE)
    else:
        yield from (EXPORT, CLONE, BATCHES)
