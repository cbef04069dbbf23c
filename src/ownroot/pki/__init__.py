"""Certificates as values: no files, sockets, database, settings or clock."""
