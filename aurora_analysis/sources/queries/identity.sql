-- Which server is this, and may it write?
-- needs: nothing
SHOW GLOBAL VARIABLES WHERE variable_name IN ('aurora_server_id', 'innodb_read_only', 'version', 'hostname', 'port')
