"""Every command that a text of ours tells somebody to run exists, with the options it names."""

from pathlib import Path

import pytest

from tests.support.command_lines import fault_of, named_in, without_example
from tests.support.repository import ROOT, committed_paths


def test_every_command_named_in_sources_and_pages_exists() -> None:
    texts = [
        path
        for path in committed_paths()
        if path.suffix in {".py", ".md"} and path.relative_to(ROOT).parts[0] != "tests"
    ]
    named = [(str(path.relative_to(ROOT)), line) for path in texts for line in named_in(path)]
    faults = {f"{path}: {line}": fault for path, line in named if (fault := fault_of(line))}
    assert faults == {}


def test_help_of_every_command_has_an_example() -> None:
    assert without_example() == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("ownroot keys ca rotate-tls DIR", None),
        ("ownroot keys ca", None),
        ("ownroot devices list --json | head", None),
        ("ownroot keys ca rotate-ssl DIR", "rotate-ssl is no command of ca"),
        ("ownroot keys ca show --beautiful", "--beautiful is no option of show"),
        ("ownroot serve --api-tls a.pem a.key api", None),
        ("ownroot serve --workers 2 everything", "everything is no command of serve"),
        ("ownroot-device enrol", "enrol is no command of ownroot-device"),
    ],
)
def test_command_that_does_not_exist_is_found(line: str, fault: str | None) -> None:
    assert fault_of(line) == fault


def test_commands_are_found_in_modules_and_pages(tmp_path: Path) -> None:
    module, page = tmp_path / "module.py", tmp_path / "page.md"
    module.write_text(
        'A = "no `ownroot keys ca"\nB = f"see `ownroot devices show {name}`"\nC = ("`ownroot "\n"login`")\n'
    )
    page.write_text("`ownroot serve` and\n```sh\nownroot keys \\\n  est\n```\nownroot prose\n")
    assert list(named_in(module)) == ["ownroot devices show VALUE", "ownroot login"]
    assert list(named_in(page)) == ["ownroot serve", "ownroot keys    est"]
