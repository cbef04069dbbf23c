# ruff: noqa: S608  (a function takes its text as it is; nothing in here comes from outside)
"""A device's cohort is found by its tags too, so that tags of each device's own cost a writer no more than shared ones.

Revision ID: 0016

SQLite has texts of any length in an index and takes it for the look-up of 0015. PostgreSQL has a digest in it, and a
look-up that asks for the digest.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS: Final = ("factory_id", "target_name", "group_id", "issuer_serial", "owner")
_DIGEST: Final = r"sha256(decode(replace({tags}, '\', '\\'), 'escape'))"
_FACETS: Final = "factory_id, owner, group_id, production, issuer_serial, target_name, tags, seen, rotating, suspected"
_TAGS_OF_NEW: Final = "coalesce(NEW.tags, '')"
_OF_NEW: Final = (
    "NEW.factory_id, NEW.owner, coalesce(NEW.group_id, 0), NEW.production, NEW.issuer_serial, "
    f"coalesce(NEW.target_name, ''), {_TAGS_OF_NEW}, "
    "NEW.last_seen > 0, NEW.next_spki_sha256 IS NOT NULL, NEW.suspected_at IS NOT NULL"
)
# The digest is asked for beside what it is of: an index on an expression serves those alone who say the same.
POSTGRES_LOOK_UP: Final = (
    f"(SELECT id FROM device_cohorts WHERE ({_FACETS}) = ({_OF_NEW}) "
    f"AND {_DIGEST.format(tags='tags')} = {_DIGEST.format(tags=_TAGS_OF_NEW)})"
)
_CHOOSE_COHORT: Final = f"""
    CREATE OR REPLACE FUNCTION devices_choose_cohort() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.cohort := {POSTGRES_LOOK_UP};
        IF NEW.cohort IS NULL THEN
            INSERT INTO device_cohorts ({_FACETS}, devices) VALUES ({_OF_NEW}, 0) RETURNING id INTO NEW.cohort;
        END IF;
        RETURN NEW;
    END $$"""


def upgrade() -> None:
    """Replace one index; on PostgreSQL one function too."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    tags = "tags" if is_sqlite else sa.text(_DIGEST.format(tags="tags"))
    op.drop_index("device_cohorts_facets", "device_cohorts")
    op.create_index("device_cohorts_facets", "device_cohorts", [*_COLUMNS, tags])
    if not is_sqlite:
        op.execute(_CHOOSE_COHORT)
