-- Which replication slots keep old row versions, and is anybody connected to them?
-- needs: nothing
SELECT slot_name, slot_type, active, xmin::text::bigint AS xmin, catalog_xmin::text::bigint AS catalog_xmin
FROM pg_replication_slots
WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
