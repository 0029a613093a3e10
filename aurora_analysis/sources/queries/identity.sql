-- Which server is this, may it write, and does its slow log go to a table?
-- needs: nothing
SHOW GLOBAL VARIABLES WHERE variable_name IN ('aurora_server_id', 'aurora_version', 'basedir', 'hostname',
  'innodb_read_only', 'log_output', 'port', 'slow_query_log', 'version')
