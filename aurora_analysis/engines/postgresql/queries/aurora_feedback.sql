-- Which snapshot does each Aurora reader report to the writer, and how far is it behind?
-- needs: nothing
SELECT server_id AS instance, session_id, nullif(feedback_xmin::text, '')::bigint AS xmin, replica_lag_in_msec AS replica_lag_ms
FROM aurora_replica_status()
WHERE session_id <> 'MASTER_SESSION_ID'
