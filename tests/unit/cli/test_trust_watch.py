"""How `trust watch` waits, and how a reload command ends; each in one way that passes and one that does not."""

import shlex
import sys

import pytest

from ownroot.cli.trust_reload import ReloadCommand
from ownroot.cli.trust_watch import Pace
from ownroot.errors import InvalidInputError


def command(code: str) -> ReloadCommand:
    return ReloadCommand.parse(shlex.join([sys.executable, "-c", code]))


@pytest.mark.parametrize(("failures", "seconds"), [(0, 60), (1, 120), (2, 240), (3, 300), (10_000, 300)])
def test_wait_doubles_with_each_failure_up_to_the_longest(failures: int, seconds: float) -> None:
    assert Pace(60, 300).after(failures) == seconds


@pytest.mark.parametrize(("code", "exit_code"), [("", 0), ("raise SystemExit(3)", 3), ("import os; os.abort()", 134)])
def test_exit_code_is_that_of_shells(code: str, exit_code: int) -> None:
    result = command(code).run()
    assert (result.exit_code, result.is_done) == (exit_code, exit_code == 0)


def test_command_that_hangs_is_killed_and_says_so() -> None:
    result = command("import time; time.sleep(60)").run(limit_seconds=0.2)
    assert (result.exit_code, str(result)) == (None, "it did not end within 0.2 s")


def test_program_that_went_away_is_a_failure() -> None:
    result = ReloadCommand(("/no/such/program",)).run()
    assert (result.is_done, str(result)) == (False, "it could not be started: No such file or directory")


def test_words_are_split_as_a_shell_does() -> None:
    assert ReloadCommand.parse("echo 'a b' c").words == ("echo", "a b", "c")
    with pytest.raises(InvalidInputError) as refused:
        ReloadCommand.parse("echo 'a b c")
    assert refused.value.code == "reload-command"
