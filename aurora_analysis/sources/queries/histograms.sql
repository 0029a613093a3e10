-- How are the latencies of each statement distributed? (MySQL 8.0 and later)
-- needs: GRANT SELECT ON performance_schema.events_statements_histogram_by_digest TO {user}
SELECT schema_name, digest, bucket_timer_low, bucket_timer_high, count_bucket
FROM performance_schema.events_statements_histogram_by_digest
WHERE digest IS NOT NULL AND count_bucket > 0
