-- What does Aurora call this instance?
-- needs: nothing
SELECT aurora_db_instance_identifier() AS instance
