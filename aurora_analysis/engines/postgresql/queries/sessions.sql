-- Which sessions have an open transaction, since when, and which snapshot do they hold?
-- needs: GRANT pg_monitor TO {user}
SELECT a.pid, a.usename, coalesce(host(a.client_addr), 'local') AS host, nullif(a.application_name, '') AS application,
       a.datname AS database, a.state, extract(epoch FROM a.xact_start) AS started_at,
       extract(epoch FROM a.state_change) AS since, a.backend_xid::text::bigint AS backend_xid,
       a.backend_xmin::text::bigint AS backend_xmin, a.query, a.backend_type
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.backend_type <> 'walsender'
  AND (a.xact_start IS NOT NULL OR a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
