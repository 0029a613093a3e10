-- Which server is this, which database, is it writable, what is its clock, and which transaction comes next?
-- needs: nothing
SELECT current_setting('server_version') AS version, current_setting('cluster_name') AS cluster_name,
       current_setting('port') AS port, current_database() AS database, pg_is_in_recovery() AS is_in_recovery,
       extract(epoch FROM clock_timestamp()) AS now, extract(epoch FROM pg_postmaster_start_time()) AS started_at,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid,
       coalesce(host(inet_server_addr()), 'local') AS address,
       current_setting('rds.extensions', true) IS NOT NULL AS is_rds,
       pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all_sessions
