"""Statements compiled once: parameters end up where the driver expects them."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import Dialect

from ownroot.storage.inserts import insert, insert_if_absent, insert_returning_id, upsert
from ownroot.storage.schema import facts, issuances
from ownroot.storage.statements import Statement, StatementCache, param

SQLITE, POSTGRES = sqlite.dialect(), psycopg.dialect()


def test_sqlite_gets_parameters_in_the_order_of_the_statement() -> None:
    statement = Statement(sa.select(facts.c.value).where(facts.c.value == param("b"), facts.c.name == param("a")))
    sql, bind = StatementCache(SQLITE).get(statement)
    assert sql.count("?") == 2
    assert bind({"a": 1, "b": 2}) == [2, 1]


def test_postgres_gets_parameters_by_name() -> None:
    statement = Statement(sa.select(facts.c.value).where(facts.c.name == param("a")))
    sql, bind = StatementCache(POSTGRES).get(statement)
    assert "%(a)s" in sql
    assert bind({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_values_written_into_a_statement_are_kept(dialect: Dialect) -> None:
    clause = sa.select(facts.c.value).where(facts.c.name == "fixed", facts.c.value == param("given"))
    _, bind = StatementCache(dialect).get(Statement(clause))
    bound = bind({"given": "x"})
    assert sorted(bound.values() if isinstance(bound, dict) else bound) == ["fixed", "x"]


def test_forgotten_parameter_is_not_taken_for_null() -> None:
    statement = Statement(sa.select(facts.c.value).where(facts.c.name == param("a")))
    _, bind = StatementCache(SQLITE).get(statement)
    with pytest.raises(KeyError):
        bind({})


def test_statement_is_compiled_once() -> None:
    cache, statement = StatementCache(SQLITE), Statement(sa.select(facts.c.value))
    assert cache.get(statement) is cache.get(statement)


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_inserts_hold_the_named_columns_and_nothing_else(dialect: Dialect) -> None:
    cache = StatementCache(dialect)
    statements = [insert(issuances, "serial"), insert_if_absent(issuances, "serial")]
    texts = [" ".join(cache.get(statement)[0].split()) for statement in statements]
    assert all(text.startswith("INSERT INTO issuances (serial) VALUES (") for text in texts)
    assert texts[1].endswith("ON CONFLICT DO NOTHING")
    assert "RETURNING" not in " ".join(texts)
    assert "RETURNING" in cache.get(insert_returning_id(issuances, "serial"))[0]


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_upsert_updates_what_it_is_told(dialect: Dialect) -> None:
    statement = upsert(facts, "name", "value", conflict=("name",), update=lambda new: {"value": new["value"]})
    assert "ON CONFLICT (name) DO UPDATE SET value = excluded.value" in StatementCache(dialect).get(statement)[0]
