"""PostgreSQL: Aurora PostgreSQL, RDS for PostgreSQL and the community's server. So far only its SQL and its logs are read."""
