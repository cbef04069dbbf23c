"""What stands for a text in an index, where the text may be longer than PostgreSQL has in one (2704 bytes)."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

POSTGRES_DIGEST: Final = r"sha256(decode(replace({text}, '\', '\\'), 'escape'))"
"""SHA-256 of a text: of the ways to its bytes the one that PostgreSQL holds to depend on nothing else."""


class IndexKey(sa.sql.functions.FunctionElement[Any]):
    """A column in an index: as it is on SQLite, its SHA-256 on PostgreSQL.

    Not its first so many characters: what devices send could be alike in all of them.
    """

    inherit_cache = True
    name = "index_key"


@compiles(IndexKey)
def _as_it_is(element: IndexKey, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(IndexKey, "postgresql")
def _digest(element: IndexKey, compiler: SQLCompiler, **options: Any) -> str:
    return POSTGRES_DIGEST.format(text=compiler.process(element.clauses, **options))
