-- For each statement: how many executions, total time [ms], rows, and pages found in the buffer cache?
-- needs: CREATE EXTENSION pg_stat_statements; GRANT pg_monitor TO {user}
SELECT d.datname, s.queryid::text, s.query, s.calls, s.total_exec_time, s.rows, s.shared_blks_hit,
       extract(epoch FROM i.stats_reset)
FROM pg_stat_statements s
JOIN pg_database d ON d.oid = s.dbid
CROSS JOIN pg_stat_statements_info i
WHERE s.queryid IS NOT NULL AND s.calls > 0
