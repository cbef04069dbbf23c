"""Tables, repositories, group commit and migrations, on SQLite and PostgreSQL: implements `services.ports`."""

from ownroot.storage.database import SqlDatabase, migrate_database, open_database
from ownroot.storage.options import StorageOptions
from ownroot.storage.snapshot import CopyFacts, companions, copy_database, inspect_copy
from ownroot.storage.sqlite import sqlite_file

__all__ = [
    "CopyFacts",
    "SqlDatabase",
    "StorageOptions",
    "companions",
    "copy_database",
    "inspect_copy",
    "migrate_database",
    "open_database",
    "sqlite_file",
]
