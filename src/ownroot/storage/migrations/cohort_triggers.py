# ruff: noqa: S608  (triggers take no parameters; nothing in here comes from outside)
"""Triggers of migration 0015: the database itself counts devices, so a server of an earlier schema does too.

A device *joins* the cohort of all that are like it, and the stretch of names that its name lies in; it *leaves* both.
One device in 512 looks whether its stretch has grown long, and then begins a new one with its own name. What is here
belongs to that migration: like it, it does not change any more.
"""

from typing import Final

LONG_STRETCH: Final = 16_384
"""A stretch with more devices than this is divided at the next look."""

_LOOK_EVERY: Final = 512
_FACETS: Final = "factory_id, owner, group_id, production, issuer_serial, target_name, tags, seen, rotating, suspected"
_COLUMNS: Final = ("name", "owner", "group_id", "production", "issuer_serial", "target_name", "tags")
_FLAGS: Final = ("last_seen > 0", "next_spki_sha256 IS NOT NULL", "suspected_at IS NOT NULL")
_TOUCHED: Final = ", ".join((*_COLUMNS, *(flag.split()[0] for flag in _FLAGS)))
_BEYOND: Final = "'\U0010ffff'"  # comes after every name


def _facets(row: str) -> str:
    return (
        f"{row}.factory_id, {row}.owner, coalesce({row}.group_id, 0), {row}.production, {row}.issuer_serial, "
        f"coalesce({row}.target_name, ''), coalesce({row}.tags, ''), " + ", ".join(f"{row}.{flag}" for flag in _FLAGS)
    )


def _cohort(row: str) -> str:
    return f"(SELECT id FROM device_cohorts WHERE ({_FACETS}) = ({_facets(row)}))"


def _stretch(row: str, comparison: str = "<=") -> str:
    return (
        f"coalesce((SELECT first_name FROM device_stretches WHERE factory_id = {row}.factory_id AND cohort = 0 "
        f"AND first_name {comparison} {row}.name ORDER BY first_name DESC LIMIT 1), '')"
    )


def _next_stretch(row: str) -> str:
    return (
        f"coalesce((SELECT first_name FROM device_stretches WHERE factory_id = {row}.factory_id AND cohort = 0 "
        f"AND first_name > {row}.name ORDER BY first_name LIMIT 1), {_BEYOND})"
    )


def _counted(first_name: str, condition: str) -> str:
    """Count devices of one stretch, of each cohort and of all together (cohort 0)."""
    return f"""
        SELECT factory_id, CASE whole WHEN 1 THEN 0 ELSE cohort END, {first_name}, count(*)
        FROM devices CROSS JOIN (SELECT 0 AS whole UNION ALL SELECT 1) AS both_ways
        WHERE {condition} GROUP BY 1, 2"""


_INTO_STRETCHES: Final = "INSERT INTO device_stretches (factory_id, cohort, first_name, devices)"
_LONG: Final = (
    f"(SELECT devices FROM device_stretches WHERE factory_id = NEW.factory_id AND cohort = 0 "
    f"AND first_name = {_stretch('NEW')}) > {LONG_STRETCH}"
)
_FROM_NEW: Final = f"factory_id = NEW.factory_id AND name >= NEW.name AND name < {_next_stretch('NEW')}"

FILL: Final = (
    f"INSERT INTO device_cohorts ({_FACETS}, devices) SELECT {_facets('d')}, count(*) FROM devices d "
    "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
    f"UPDATE devices SET cohort = {_cohort('devices')}",
    f"""
    {_INTO_STRETCHES}
    WITH numbered AS (
        SELECT factory_id, cohort, name,
            (row_number() OVER (PARTITION BY factory_id ORDER BY name) - 1) / {LONG_STRETCH // 2} AS stretch
        FROM devices),
    firsts AS (
        SELECT factory_id, stretch, CASE WHEN stretch = 0 THEN '' ELSE min(name) END AS first_name
        FROM numbered GROUP BY factory_id, stretch)
    SELECT numbered.factory_id, CASE whole WHEN 1 THEN 0 ELSE cohort END, first_name, count(*)
    FROM numbered JOIN firsts ON firsts.factory_id = numbered.factory_id AND firsts.stretch = numbered.stretch
        CROSS JOIN (SELECT 0 AS whole UNION ALL SELECT 1) AS both_ways
    GROUP BY 1, 2, 3""",
)
"""Statements that count the devices there are, to be run before the triggers are made."""

# --- SQLite: its triggers have no variables, so what a statement finds out the next one finds out again ---------------

_SQLITE_LOOK: Final = f"NEW.id % {_LOOK_EVERY} = 0"
_NEW_IS_INSIDE: Final = f"{_stretch('NEW')} <> NEW.name"
_SQLITE_DIVIDED: Final = f"{_SQLITE_LOOK} AND {_stretch('NEW')} = NEW.name"
_SQLITE_BEFORE_NEW: Final = f"factory_id = NEW.factory_id AND first_name = {_stretch('NEW', '<')}"
_SQLITE_RECOUNT: Final = _counted(
    _stretch("NEW", "<"),
    f"{_SQLITE_DIVIDED} AND factory_id = NEW.factory_id AND name >= {_stretch('NEW', '<')} AND name < NEW.name",
)
_SQLITE_JOIN: Final = f"""
    INSERT INTO device_cohorts ({_FACETS}, devices) SELECT {_facets("NEW")}, 0 WHERE {_cohort("NEW")} IS NULL;
    UPDATE device_cohorts SET devices = devices + 1 WHERE id = {_cohort("NEW")};
    UPDATE devices SET cohort = {_cohort("NEW")} WHERE id = NEW.id;
    {_INTO_STRETCHES}
        SELECT NEW.factory_id, cohort, {_stretch("NEW")}, 1
        FROM (SELECT 0 AS cohort UNION ALL SELECT {_cohort("NEW")}) WHERE true
        ON CONFLICT (factory_id, cohort, first_name) DO UPDATE SET devices = devices + 1;
"""
# Comes last: it counts rows of `devices`, where what a change leaves behind is no longer.
_SQLITE_DIVIDE: Final = f"""
    {_INTO_STRETCHES} {_counted("NEW.name", f"{_SQLITE_LOOK} AND {_NEW_IS_INSIDE} AND {_LONG} AND {_FROM_NEW}")};
    UPDATE device_stretches SET devices = 0 WHERE {_SQLITE_DIVIDED} AND {_SQLITE_BEFORE_NEW};
    {_INTO_STRETCHES} {_SQLITE_RECOUNT}
        ON CONFLICT (factory_id, cohort, first_name) DO UPDATE SET devices = excluded.devices;
    DELETE FROM device_stretches WHERE {_SQLITE_DIVIDED} AND {_SQLITE_BEFORE_NEW} AND devices = 0;
"""


def _turned() -> list[str]:
    return [f"(OLD.{flag}) <> (NEW.{flag})" for flag in _FLAGS]


_OLD_STRETCH: Final = f"factory_id = OLD.factory_id AND cohort IN (0, OLD.cohort) AND first_name = {_stretch('OLD')}"
_LEAVE: Final = f"""
    UPDATE device_stretches SET devices = devices - 1 WHERE {_OLD_STRETCH};
    DELETE FROM device_stretches WHERE {_OLD_STRETCH} AND devices = 0;
    UPDATE device_cohorts SET devices = devices - 1 WHERE id = OLD.cohort;
    DELETE FROM device_cohorts WHERE id = OLD.cohort AND devices = 0;
"""
_SQLITE_CHANGED: Final = " OR ".join([*(f"OLD.{column} IS NOT NEW.{column}" for column in _COLUMNS), *_turned()])

SQLITE: Final = (
    f"CREATE TRIGGER devices_joined AFTER INSERT ON devices BEGIN {_SQLITE_JOIN} {_SQLITE_DIVIDE} END",
    f"CREATE TRIGGER devices_moved AFTER UPDATE OF {_TOUCHED} ON devices WHEN {_SQLITE_CHANGED} "
    f"BEGIN {_SQLITE_JOIN} {_LEAVE} {_SQLITE_DIVIDE} END",
    f"CREATE TRIGGER devices_left AFTER DELETE ON devices BEGIN {_LEAVE} END",
)

# --- PostgreSQL: the cohort is chosen before the row is written, and counted once it is -------------------------------


def _differs(*columns: str) -> str:
    return " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)


POSTGRES: Final = (
    f"""
    CREATE FUNCTION devices_choose_cohort() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.cohort := {_cohort("NEW")};
        IF NEW.cohort IS NULL THEN
            INSERT INTO device_cohorts ({_FACETS}, devices) VALUES ({_facets("NEW")}, 0) RETURNING id INTO NEW.cohort;
        END IF;
        RETURN NEW;
    END $$""",
    f"""
    CREATE FUNCTION devices_count() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        stretch text COLLATE "C";
    BEGIN
        IF TG_OP <> 'DELETE' THEN
            stretch := {_stretch("NEW")};
            UPDATE device_cohorts SET devices = devices + 1 WHERE id = NEW.cohort;
            INSERT INTO device_stretches AS s (factory_id, cohort, first_name, devices)
                VALUES (NEW.factory_id, 0, stretch, 1), (NEW.factory_id, NEW.cohort, stretch, 1)
                ON CONFLICT (factory_id, cohort, first_name) DO UPDATE SET devices = s.devices + 1;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            {_LEAVE}
        END IF;
        IF TG_OP <> 'DELETE' AND NEW.id % {_LOOK_EVERY} = 0 AND stretch <> NEW.name AND {_LONG} THEN
            {_INTO_STRETCHES} {_counted("NEW.name", _FROM_NEW)};
            UPDATE device_stretches SET devices = device_stretches.devices - moved.devices
                FROM device_stretches AS moved
                WHERE device_stretches.factory_id = NEW.factory_id AND device_stretches.first_name = stretch
                AND moved.factory_id = NEW.factory_id AND moved.first_name = NEW.name
                AND moved.cohort = device_stretches.cohort;
            DELETE FROM device_stretches WHERE factory_id = NEW.factory_id AND first_name = stretch AND devices = 0;
        END IF;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER devices_cohort_of_new BEFORE INSERT ON devices "
    "FOR EACH ROW EXECUTE FUNCTION devices_choose_cohort()",
    f"CREATE TRIGGER devices_cohort_of_moved BEFORE UPDATE OF {_TOUCHED} ON devices FOR EACH ROW "
    f"WHEN ({_differs(*_COLUMNS)} OR {' OR '.join(_turned())}) "
    "EXECUTE FUNCTION devices_choose_cohort()",
    "CREATE TRIGGER devices_joined AFTER INSERT ON devices FOR EACH ROW EXECUTE FUNCTION devices_count()",
    f"CREATE TRIGGER devices_moved AFTER UPDATE OF {_TOUCHED} ON devices FOR EACH ROW "
    f"WHEN ({_differs('name', 'cohort')}) EXECUTE FUNCTION devices_count()",
    "CREATE TRIGGER devices_left AFTER DELETE ON devices FOR EACH ROW EXECUTE FUNCTION devices_count()",
)
