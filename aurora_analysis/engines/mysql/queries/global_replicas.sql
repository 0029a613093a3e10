-- What is the oldest read view of each instance of an Aurora global database?
-- needs: GRANT PROCESS ON *.* TO {user}
SELECT * FROM information_schema.aurora_global_db_instance_status
