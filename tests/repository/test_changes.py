"""Every note in changes/ has a kind and reads like a sentence (changes/README.md)."""

import re

import pytest

from tests.support.repository import ROOT

KINDS = ("added", "changed", "fixed", "removed", "security")
NAME = re.compile(rf"[a-z0-9][a-z0-9-]*\.(?:{'|'.join(KINDS)})\.md")


def faults_of(name: str, text: str) -> list[str]:
    faults = []
    if not NAME.fullmatch(name):
        faults.append("name")
    if not re.match(r"[A-Z`]", text) or not text.rstrip().endswith((".", "`", "```")):
        faults.append("sentence")
    return faults


def test_fragments_are_well_formed() -> None:
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    faults = {path.name: faults_of(path.name, path.read_text(encoding="utf-8")) for path in fragments}

    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("take-over.added.md", "The owner can take over a factory.", []),
        ("take-over.feature.md", "The owner can take over a factory.", ["name"]),
        ("Take Over.added.md", "The owner can take over a factory.", ["name"]),
        ("take-over.added.md", "", ["sentence"]),
        ("take-over.added.md", "take over", ["sentence"]),
    ],
)
def test_fragment_rules(name: str, text: str, faults: list[str]) -> None:
    assert faults_of(name, text) == faults
