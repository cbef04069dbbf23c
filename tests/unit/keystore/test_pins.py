"""A PIN that nobody types: where it is found, and which file is not trusted with it."""

from pathlib import Path

import pytest

from ownroot.errors import KeyStoreError
from ownroot.keystore.pins import find_pin

VARIABLE = "OWNROOT_SOME_PIN"


def refusal(pin_file: Path | None, environment: dict[str, str]) -> KeyStoreError:
    with pytest.raises(KeyStoreError) as caught:
        find_pin("server", pin_file, environment, variable=VARIABLE)
    return caught.value


@pytest.fixture
def pin_file(tmp_path: Path) -> Path:
    file = tmp_path / "pin"
    file.write_text("1234\n")
    file.chmod(0o600)
    return file


def test_it_comes_from_the_environment_if_no_file_is_named():
    assert find_pin("server", None, {VARIABLE: "1234"}, variable=VARIABLE) == "1234"


def test_a_missing_one_names_the_variable_and_the_token():
    error = refusal(None, {"OWNROOT_OTHER_PIN": "1234"})
    assert error.code == "pin-missing"
    assert VARIABLE in error.detail
    assert "'server'" in error.detail


def test_a_file_beats_the_environment(pin_file: Path):
    assert find_pin("server", pin_file, {VARIABLE: "other"}, variable=VARIABLE) == "1234"


def test_a_file_that_others_can_read_is_refused(pin_file: Path):
    pin_file.chmod(0o640)
    assert refusal(pin_file, {}).code == "pin-file"


def test_a_missing_or_empty_file_is_refused_and_the_environment_is_not_taken_instead(pin_file: Path):
    pin_file.write_text("\n")
    assert refusal(pin_file, {VARIABLE: "1234"}).code == "pin-missing"
    pin_file.unlink()
    assert refusal(pin_file, {VARIABLE: "1234"}).code == "pin-file"
