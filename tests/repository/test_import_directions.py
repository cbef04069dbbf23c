"""The linter that keeps the import table notices what it should; the table itself forms no ring."""

import os
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from grimp import ImportGraph

from tests.support.import_directions import find_packages_without_row, find_trespasses, parse_rows
from tests.support.repository import ROOT

CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
TABLE = parse_rows(CONTRACT["rows"])
LEAVES = [name for name in TABLE if name != "bootstrap"]


def graph_with(importer: str, imported: str) -> ImportGraph:
    graph = ImportGraph()
    graph.add_import(
        importer=f"ownroot.{importer}", imported=f"ownroot.{imported}", line_number=1, line_contents="import it"
    )
    return graph


def trespasses(importer: str, imported: str, exceptions: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
    return [str(found) for found in find_trespasses(graph_with(importer, imported), "ownroot", TABLE, exceptions)]


@pytest.mark.parametrize("package", LEAVES)
def test_every_row_forbids_what_it_does_not_name(package: str) -> None:
    foreign = [other for other in TABLE if other != package and other not in TABLE[package]]

    assert foreign
    for other in foreign:
        assert trespasses(f"{package}.module", f"{other}.module") == [
            f"{package}.module -> {other}.module (line 1)",
        ]


@pytest.mark.parametrize("package", LEAVES)
def test_every_row_allows_what_it_names(package: str) -> None:
    for allowed in TABLE[package]:
        assert trespasses(f"{package}.module", allowed) == []


def test_storage_may_see_the_ports_of_the_services_but_no_service() -> None:
    assert trespasses("storage.sqlite", "services.ports") == []
    assert trespasses("storage.sqlite", "services.change_pki") != []


def test_exception_opens_one_import_and_not_its_neighbour() -> None:
    exceptions = frozenset({("cli.operator", "bootstrap")})

    assert trespasses("cli.operator", "bootstrap", exceptions) == []
    assert trespasses("cli.devices", "bootstrap", exceptions) != []


def test_package_without_a_row_is_reported() -> None:
    assert find_packages_without_row(graph_with("helpers.text", "errors"), "ownroot", TABLE) == ["helpers"]


def test_table_forms_no_ring() -> None:
    ring_free = TopologicalSorter({package: {name.split(".")[0] for name in TABLE[package]} for package in LEAVES})

    assert len(list(ring_free.static_order())) >= len(LEAVES)


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree / "src"), str(ROOT)])}
    return subprocess.run(
        [linter, "--no-cache"], check=False, cwd=tree, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """The table over a tree of our own making: every package empty, nothing imported."""
    for package in ["", *TABLE]:
        folder = tmp_path / "src" / "ownroot" / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    (tmp_path / "src" / "ownroot" / "cli" / "operator.py").write_text("import ownroot.bootstrap\n", encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_linter_accepts_the_empty_tree(small_tree: Path) -> None:
    result = lint(small_tree)

    assert result.returncode == 0, result.stdout


def test_linter_notices_a_forbidden_import(small_tree: Path) -> None:
    (small_tree / "src" / "ownroot" / "pki" / "names.py").write_text("from ownroot import storage\n", encoding="utf-8")

    result = lint(small_tree)

    assert result.returncode == 1
    assert "pki.names -> storage (line 1)" in result.stdout


def test_linter_notices_a_server_library_on_the_owners_side(small_tree: Path) -> None:
    (small_tree / "src" / "ownroot" / "client" / "http.py").write_text("import sqlalchemy\n", encoding="utf-8")

    result = lint(small_tree)

    assert result.returncode == 1
    assert "ownroot.client is not allowed to import sqlalchemy" in result.stdout
