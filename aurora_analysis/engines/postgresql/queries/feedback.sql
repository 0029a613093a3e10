-- Which snapshot does each hot standby report to the primary, and how far is it behind?
-- needs: GRANT pg_monitor TO {user}
SELECT r.application_name AS instance, r.pid, coalesce(host(r.client_addr), 'local') AS host,
       coalesce(r.backend_xmin, s.xmin)::text::bigint AS xmin,
       1000 * extract(epoch FROM r.replay_lag) AS replica_lag_ms
FROM pg_stat_replication r
LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid AND s.slot_type = 'physical'
WHERE r.state = 'streaming'
