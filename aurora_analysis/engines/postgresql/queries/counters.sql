-- How many rows were written, and how many queries were cancelled by a recovery conflict, in all databases?
-- needs: nothing
SELECT sum(d.xact_commit)::bigint AS commits, sum(d.tup_inserted)::bigint AS rows_inserted,
       sum(d.tup_updated)::bigint AS rows_updated, sum(d.tup_deleted)::bigint AS rows_deleted,
       sum(d.conflicts)::bigint AS recovery_conflicts
FROM pg_stat_database d
