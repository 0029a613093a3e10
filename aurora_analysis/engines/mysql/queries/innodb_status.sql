-- How long is the history list, how far has purge come, and which connections hold a read view?
-- needs: GRANT PROCESS ON *.* TO {user}
SHOW ENGINE INNODB STATUS
