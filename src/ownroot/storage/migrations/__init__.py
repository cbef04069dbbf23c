"""The schema's history, and the way from any earlier one to this one.

Migrations run when a database is opened and is behind, inside one transaction under the lock the caller has arranged:
of several processes that start at once, one migrates and the others find it done. A database that is up to date is
recognised by one SELECT, without loading alembic.
"""

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from ownroot.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0016"
_SCRIPTS: Final = "ownroot.storage:migrations"
_REVISION: Final = "SELECT version_num FROM alembic_version"


def migrate(engine: sa.Engine) -> None:
    """Bring the schema up to date; existing rows stay.

    Args:
        engine: begins its transactions with a lock that only one process at a time can have.
    Raises:
        ConflictError: `schema-unknown`: a later version of this program has migrated it.
        UnavailableError: `database-migration-failed`; nothing was changed.
    """
    if current_revision(engine) == HEAD:
        return
    from alembic import command  # noqa: PLC0415  (a quarter of a second that most starts need not spend)
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = _config()
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as exc:
        raise ConflictError(
            "schema-unknown",
            "This database was migrated by a later version of Ownroot. Start that version, or restore a backup made "
            "before the upgrade.",
            context={"cause": repr(exc)},
        ) from exc
    except sa.exc.SQLAlchemyError as exc:
        raise UnavailableError(
            "database-migration-failed",
            "The database could not be brought up to date, and was left as it was. The server's log has the cause.",
            retry_after=60,
            context={"cause": repr(exc)},
        ) from exc


def current_revision(engine: sa.Engine) -> str | None:
    """Return the revision a database is at; None for an empty one."""
    pooled = engine.raw_connection()
    try:
        cursor = pooled.cursor()
        cursor.execute(_REVISION)
        row = cursor.fetchone()
        return None if row is None else str(row[0])
    except (engine.dialect.loaded_dbapi.OperationalError, engine.dialect.loaded_dbapi.ProgrammingError):
        return None  # no such table; what else is wrong will show when the migration begins
    finally:
        pooled.close()


def is_known_revision(revision: object) -> bool:
    """Can this program bring a database of that revision up to date?"""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  (as above)

    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415  (as above)

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    return config
