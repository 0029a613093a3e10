-- How many executions fall into each latency bucket [ms] of a statement?
-- needs: GRANT SELECT ON performance_schema.events_statements_histogram_by_digest TO {user}
SELECT schema_name, digest, bucket_timer_low / 1e9, bucket_timer_high / 1e9, count_bucket
FROM performance_schema.events_statements_histogram_by_digest
WHERE schema_name <=> :schema AND digest IN :digests AND count_bucket > 0
