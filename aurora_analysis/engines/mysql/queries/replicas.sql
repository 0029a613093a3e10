-- What is the oldest read view of each instance of an Aurora cluster, as its writer reports it?
-- needs: GRANT SELECT ON mysql.ro_replica_status TO {user}
SELECT * FROM mysql.ro_replica_status
