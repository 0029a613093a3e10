-- Which server is this, may it write, what time is it there, and does its slow log go to a table?
-- needs: nothing
SHOW SESSION VARIABLES WHERE variable_name IN ('aurora_server_id', 'aurora_version', 'basedir', 'hostname',
  'innodb_read_only', 'log_output', 'port', 'slow_query_log', 'timestamp', 'version')
