"""How a program ends: text on stderr in three parts, JSON when asked, one exit code."""

import json
from collections.abc import Callable

import click
import pytest

from ownroot.console.entry import run
from ownroot.errors import ConflictError, InvalidInputError


def _program(body: Callable[[], object]) -> click.Command:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    @click.argument("words", nargs=-1)
    def program(as_json: bool, words: tuple[str, ...]) -> object:
        return body()

    return program


def _raise(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return _program(body)


def test_error_is_said_in_three_parts_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = InvalidInputError("no-such-code", "It is broken.", fields={"tls-crt": "not PEM"})
    assert run(_raise(error), "ownroot", []) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(":")[0] for line in shown.err.splitlines()] == [
        "Error",
        "  - tls-crt",
        "What it means",
        "What to do",
        "               (error code",
    ]


def test_error_is_json_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_raise(ConflictError("taken", "It is taken.")), "ownroot", ["--json"]) == 7
    said = json.loads(capsys.readouterr().err)
    assert said["exit-code"] == 7
    assert said["error"]["code"] == "taken"
    assert {"message", "meaning", "remedy", "fields"} <= said["error"].keys()


def test_json_after_two_dashes_is_a_word_not_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    run(_raise(ConflictError("taken", "It is taken.")), "ownroot", ["--", "--json"])
    assert capsys.readouterr().err.startswith("Error: It is taken.")


def test_unexpected_fault_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_raise(ZeroDivisionError("oops")), "ownroot", []) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in shown
    assert "Traceback" not in shown


def test_debug_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_raise(ZeroDivisionError("oops")), "ownroot", ["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_interruption_has_its_own_code(error: BaseException) -> None:
    assert run(_raise(error), "ownroot", []) == 130


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(_program(lambda: None), "ownroot", ["--nonsense"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_command_may_choose_its_own_exit_code() -> None:
    assert run(_program(lambda: 4), "ownroot", []) == 4
    assert run(_program(lambda: None), "ownroot", []) == 0
