-- How many rows were written and queries cancelled by a recovery conflict, and how old is the oldest unfrozen row?
-- needs: nothing
SELECT sum(d.xact_commit)::bigint AS commits, sum(d.tup_inserted)::bigint AS rows_inserted,
       sum(d.tup_updated)::bigint AS rows_updated, sum(d.tup_deleted)::bigint AS rows_deleted,
       sum(d.conflicts)::bigint AS recovery_conflicts,
       (SELECT max(age(datfrozenxid)) FROM pg_database) AS oldest_database_age
FROM pg_stat_database d
