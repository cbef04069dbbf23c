"""Tables, repositories, unit of work and migrations, on SQLite and PostgreSQL."""
