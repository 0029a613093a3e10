-- Which transactions are open on this instance, since when, and which sessions own them?
-- needs: GRANT PROCESS ON *.* TO {user}
SELECT t.trx_mysql_thread_id, p.user, p.host, p.command, UNIX_TIMESTAMP(t.trx_started), t.trx_isolation_level,
       t.trx_rows_modified, t.trx_query, UNIX_TIMESTAMP() - p.time, t.trx_lock_structs, t.trx_id
FROM information_schema.innodb_trx t  -- first: without PROCESS it raises an error, processlist would only hide rows
LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID()
