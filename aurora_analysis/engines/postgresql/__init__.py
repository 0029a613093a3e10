"""PostgreSQL: Aurora PostgreSQL, Amazon RDS for PostgreSQL, and PostgreSQL 13 or later."""
