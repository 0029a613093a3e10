-- For each statement that ran lately: how many executions, total time [ms], and rows read?
-- needs: GRANT SELECT ON performance_schema.events_statements_summary_by_digest TO {user}
SELECT schema_name, digest, digest_text, count_star, sum_timer_wait / 1e9, sum_rows_examined, sum_rows_sent,
       UNIX_TIMESTAMP(first_seen)
FROM performance_schema.events_statements_summary_by_digest
WHERE last_seen >= FROM_UNIXTIME(UNIX_TIMESTAMP() - :seconds)
