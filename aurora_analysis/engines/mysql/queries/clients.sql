-- Which program opened each connection?
-- needs: GRANT SELECT ON performance_schema.session_connect_attrs TO {user}
SELECT processlist_id, attr_value FROM performance_schema.session_connect_attrs WHERE attr_name = 'program_name'
