"""No committed file carries what belongs to one machine, to a package index or to nobody but its owner."""

import re

import pytest

from tests.support.repository import ROOT, committed_paths

MAX_BYTES = 512 * 1024
# Written so that this file does not match itself.
FORBIDDEN = {
    "path of one machine": re.compile(r"(?<![\w.$}])/(?:root|wor[k]|home/\w+|Users/\w+|tmp/[a-z]+)/\w"),
    "package index address": re.compile(
        r"pythonhosted[.]org|pypi[.]org/simple|(?:deb|security)[.]debian[.]org|proxy[.]golang[.]org|registry[.]npmjs[.]org"
        r"|^--?(?:extra-)?index-url|^--?find-links|^-i ",
        re.MULTILINE,
    ),
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16,}"),
}


def faults_in(text: str) -> list[str]:
    return [fault for fault, pattern in FORBIDDEN.items() if pattern.search(text)]


def test_committed_files_are_small_texts_that_hold_nothing_private() -> None:
    faults = {}
    for path in committed_paths():
        content = path.read_bytes()
        found = faults_in(content.decode("utf-8")) + ["too large"] * (len(content) > MAX_BYTES)
        if found:
            faults[str(path.relative_to(ROOT))] = found

    assert faults == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("see /" + "home/alice/notes", "path of one machine"),
        ("cd /" + "work/main", "path of one machine"),
        ("--index-" + "url https://mirror.example/simple", "package index address"),
        ("https://files.python" + "hosted.org/packages/x.whl", "package index address"),
        ("-----BEGIN EC PRIVATE" + " KEY-----\nMHcCAQEEIAbcdefghijklmnop\n", "private key"),
    ],
)
def test_planted_fault_is_found(text: str, fault: str) -> None:
    assert faults_in(text) == [fault]


def test_header_of_a_private_key_alone_is_no_private_key() -> None:
    assert faults_in('startswith("-----BEGIN ' + 'PRIVATE KEY-----")') == []


@pytest.mark.parametrize("name", ["run", ".ci/run"])
def test_entry_script_can_be_executed(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111 == 0o111
