-- Which transactions are open on this instance, since when, and which sessions own them?
-- needs: GRANT PROCESS ON *.* TO {user}
SELECT p.id, p.user, p.host, p.command, UNIX_TIMESTAMP(t.trx_started), t.trx_isolation_level,
       t.trx_rows_modified, t.trx_query, UNIX_TIMESTAMP() - p.time
FROM information_schema.innodb_trx t  -- first: without PROCESS it raises an error, processlist would only hide rows
STRAIGHT_JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.id <> CONNECTION_ID()
