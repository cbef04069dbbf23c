"""The import-linter contract that holds the table "who may import whom".

import-linter's own contracts name what is forbidden, so a package added later would be free by default. Here a
row names all that a package may import, a package without a row is an error, and a row may come before its package.
Only direct imports count: what `wire` may use of `pki` is the business of the row of `wire`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ANYTHING = "*"


@dataclass(frozen=True, slots=True)
class Trespass:
    """One import that no row allows; names without the root package."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported} (line {self.line})"


def parse_rows(rows: list[str]) -> dict[str, frozenset[str]]:
    """Read `package: allowed, allowed` lines; raises ValueError for a line without a colon or a doubled package."""
    table: dict[str, frozenset[str]] = {}
    for row in rows:
        package, colon, allowed = row.partition(":")
        if not colon or package.strip() in table:
            raise ValueError(f"not one row per package: {row!r}")
        table[package.strip()] = frozenset(filter(None, (name.strip() for name in allowed.split(","))))
    return table


def is_allowed(imported: str, allowed: frozenset[str]) -> bool:
    """Say whether a module lies in one of the allowed packages or modules."""
    return ANYTHING in allowed or any(imported == name or imported.startswith(f"{name}.") for name in allowed)


def find_trespasses(
    graph: ImportGraph, root: str, table: Mapping[str, frozenset[str]], exceptions: frozenset[tuple[str, str]]
) -> list[Trespass]:
    """List every direct import between two packages of ours that the table does not allow.

    The root package itself (`ownroot`, its version) is open to all, and within one package anything goes.
    """
    trespasses = []
    for importer in sorted(name for name in graph.modules if name.startswith(f"{root}.")):
        package = importer.split(".")[1]
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            if not imported.startswith(f"{root}.") or imported.split(".")[1] == package:
                continue
            short = (importer.removeprefix(f"{root}."), imported.removeprefix(f"{root}."))
            if short not in exceptions and not is_allowed(short[1], table.get(package, frozenset())):
                line = graph.get_import_details(importer=importer, imported=imported)[0]["line_number"]
                trespasses.append(Trespass(*short, line))
    return trespasses


def find_packages_without_row(graph: ImportGraph, root: str, table: Mapping[str, frozenset[str]]) -> list[str]:
    """List the packages and top-level modules that nobody has written a row for."""
    packages = {name.split(".")[1] for name in graph.modules if name.startswith(f"{root}.")}
    return sorted(packages - set(table))


class DirectionsContract(Contract):
    """Each package imports only what its row allows.

    Options:
        rows: one `package: allowed, allowed` per package; `*` allows everything.
        exceptions: single imports let through, `importer -> imported`, without the root package.
    """

    rows = fields.ListField(subfield=fields.StringField())
    exceptions = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look for imports that no row allows and for packages without a row."""
        root = str(self.session_options["root_packages"][0])
        table = parse_rows(cast("list[str]", self.rows))  # the fields are descriptions until parsed into plain lists
        exceptions = frozenset(
            (importer.strip(), imported.strip())
            for importer, _, imported in (text.partition("->") for text in cast("list[str]", self.exceptions) or ())
        )
        trespasses = find_trespasses(graph, root, table, exceptions)
        homeless = find_packages_without_row(graph, root, table)
        return ContractCheck(
            kept=not trespasses and not homeless, metadata={"trespasses": trespasses, "homeless": homeless}
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each fault on a line of its own."""
        for trespass in check.metadata["trespasses"]:
            output.print_error(str(trespass))
        for package in check.metadata["homeless"]:
            output.print_error(f"{package} has no row: say in pyproject.toml what it may import")
