-- How long has the server been up, and how many statements of each kind has it run since?
-- needs: nothing
SHOW GLOBAL STATUS WHERE variable_name IN
  ('Uptime', 'Com_insert', 'Com_insert_select', 'Com_update', 'Com_update_multi', 'Com_delete', 'Com_delete_multi')
