"""What is kept: one set of SQL for SQLite and PostgreSQL, and the spool of files on their way."""
