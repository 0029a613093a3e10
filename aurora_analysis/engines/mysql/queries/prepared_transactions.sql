-- Which XA transactions are prepared and wait for XA COMMIT or XA ROLLBACK?
-- needs: GRANT XA_RECOVER_ADMIN ON *.* TO {user}
XA RECOVER /*!50705 CONVERT XID */
