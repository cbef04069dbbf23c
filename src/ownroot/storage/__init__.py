"""Tables, repositories, group commit and migrations, on SQLite and PostgreSQL: implements `services.ports`."""

from ownroot.storage.database import SqlDatabase, migrate_database, open_database
from ownroot.storage.options import StorageOptions

__all__ = ["SqlDatabase", "StorageOptions", "migrate_database", "open_database"]
