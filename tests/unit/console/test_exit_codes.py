"""Every error family has its exit code and its advice, each of them once."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import ownroot.cli
import ownroot.client
import ownroot.console
import ownroot.device
import ownroot.keystore
import ownroot.pki
from ownroot.console.advice import ADVICE_BY_CODE, advice_for
from ownroot.console.exit_codes import EXIT_CODE_BY_FAMILY, EXIT_CODES_HELP, ExitCode, exit_code_of
from ownroot.errors import KeyStoreError, OwnrootError, UnavailableError
from tests.support.errors import walk_subclasses

FAMILIES = tuple(EXIT_CODE_BY_FAMILY)


def _make(family: type[OwnrootError], code: str = "some-code") -> OwnrootError:
    return UnavailableError(code, "x", retry_after=1) if family is UnavailableError else family(code, "x")


def test_every_error_family_has_an_exit_code() -> None:
    # An error below a family (one module's own) inherits its code; one beside all of them is a gap.
    for package in (ownroot.cli, ownroot.client, ownroot.console, ownroot.device, ownroot.keystore, ownroot.pki):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    unmapped = [family for family in walk_subclasses(OwnrootError) if not issubclass(family, FAMILIES)]
    assert unmapped == []


def test_no_two_families_share_an_exit_code() -> None:
    codes = list(EXIT_CODE_BY_FAMILY.values())
    assert len(set(codes)) == len(codes)
    assert not {ExitCode.OK, ExitCode.FAULT, ExitCode.USAGE, ExitCode.INTERRUPTED} & set(codes)


def test_subclass_ends_like_its_family() -> None:
    class LockedError(KeyStoreError):
        pass

    assert exit_code_of(LockedError("locked", "x")) is ExitCode.KEY_STORE


def test_error_without_a_family_is_a_fault_of_ours() -> None:
    assert exit_code_of(OwnrootError("x", "x")) is ExitCode.FAULT


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_something_to_say_and_something_to_do(family: type[OwnrootError]) -> None:
    advice = advice_for(_make(family))
    assert advice.meaning.endswith(".")
    assert advice.remedy.endswith((".", ")"))


def test_code_with_advice_of_its_own_wins_over_its_family() -> None:
    assert advice_for(_make(UnavailableError, "no-answer")) != advice_for(_make(UnavailableError))


def test_help_names_every_exit_code() -> None:
    numbers = {int(word) for word in EXIT_CODES_HELP.split() if word.isdigit()}
    assert numbers == {int(code) for code in ExitCode}


def test_advice_is_only_given_for_codes_that_exist() -> None:
    package = Path(ownroot.console.__file__).parent.parent
    sources = (path.read_text() for path in package.rglob("*.py") if path.name != "advice.py")
    raised = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', "\n".join(sources)))
    assert ADVICE_BY_CODE.keys() - raised == set()
