-- Which transactions are open on this instance, since when, and whose are they?
-- needs: GRANT PROCESS ON *.* TO {user}
SELECT p.id, p.user, p.host, p.command, UNIX_TIMESTAMP(t.trx_started), t.trx_isolation_level,
       t.trx_rows_modified, t.trx_query, UNIX_TIMESTAMP() - p.time
FROM information_schema.innodb_trx t  -- read first, so that a server that would show no processes refuses
STRAIGHT_JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.id <> CONNECTION_ID()
