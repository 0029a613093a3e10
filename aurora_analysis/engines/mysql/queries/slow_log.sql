-- Which statements did the slow log record lately, if it is written to a table?
-- needs: GRANT SELECT ON mysql.slow_log TO {user}
SELECT UNIX_TIMESTAMP(start_time) AS started_at, slow_log.*
FROM mysql.slow_log
WHERE UNIX_TIMESTAMP(start_time) + TIME_TO_SEC(query_time) >= UNIX_TIMESTAMP() - :seconds
