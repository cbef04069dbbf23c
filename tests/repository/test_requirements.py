"""What gets installed is pinned by hash, comes from one resolution, and satisfies pyproject.toml."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def entries(name: str) -> list[str]:
    """One entry per requirement: its line with the indented lines below it."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return re.findall(r"^[^#\s].*(?:\n .*)*", text, flags=re.MULTILINE)


def declared(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("name", ["dev", "server", "lock"])
def test_every_requirement_has_a_version_and_hashes(name: str) -> None:
    assert entries(name)
    for entry in entries(name):
        assert re.match(r"[a-z0-9.-]+==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_server_environment_is_part_of_the_developers_one() -> None:
    assert pins("server").items() <= pins("dev").items()


@pytest.mark.parametrize(
    ("name", "extras"), [("server", ["server"]), ("dev", ["server", "postgres", "hsm", "dev"])], ids=["server", "dev"]
)
def test_pins_satisfy_what_the_project_declares(name: str, extras: list[str]) -> None:
    pinned = pins(name)
    for requirement in declared(*extras):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}: ./run lock"
