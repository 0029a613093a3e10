-- How often did each statement run since the server began to count, and for how long?
-- needs: GRANT SELECT ON performance_schema.events_statements_summary_by_digest TO {user}
SELECT schema_name, digest, digest_text, count_star, sum_timer_wait, sum_rows_examined, sum_rows_sent
FROM performance_schema.events_statements_summary_by_digest
WHERE digest IS NOT NULL
