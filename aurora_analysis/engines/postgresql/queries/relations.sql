-- Which tables of this database have the most dead row versions, and how fast do their rows change?
-- needs: nothing
SELECT schemaname || '.' || relname AS name, n_dead_tup AS dead_rows, n_tup_upd + n_tup_del AS rows_changed,
       n_tup_upd AS rows_updated, n_tup_hot_upd AS rows_updated_hot, autovacuum_count + vacuum_count AS vacuums,
       pg_table_size(relid) AS bytes,
       current_setting('autovacuum_vacuum_threshold')::int
         + (current_setting('autovacuum_vacuum_scale_factor')::float * n_live_tup)::bigint AS vacuum_at,
       extract(epoch FROM now() - coalesce(greatest(last_vacuum, last_autovacuum), pg_postmaster_start_time())) AS vacuumed_s_ago
FROM pg_stat_user_tables
ORDER BY n_dead_tup DESC, n_tup_upd + n_tup_del DESC
LIMIT 20
