"""The MySQL family: Aurora MySQL, MySQL, Percona Server and MariaDB."""
