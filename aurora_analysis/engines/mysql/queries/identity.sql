-- Which server is this, is it writable, what is its clock, and is its slow log a table?
-- needs: nothing
SHOW SESSION VARIABLES WHERE variable_name IN ('aurora_server_id', 'aurora_version', 'basedir', 'hostname',
  'innodb_read_only', 'log_output', 'port', 'slow_query_log', 'timestamp', 'version')
