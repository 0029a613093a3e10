-- Which prepared transactions wait for a commit?
-- needs: nothing
SELECT gid, transaction::text::bigint AS xid, extract(epoch FROM prepared) AS since, owner, database
FROM pg_prepared_xacts
