"""The program as a whole: help, completion, exit codes, pipes."""

import subprocess
import sys

import pytest

from tests.support.owner import PROGRAM, Owner
from tests.support.tools import require_tool

COMMANDS = [
    (),
    ("login",),
    ("logout",),
    ("keys",),
    ("keys", "ca"),
    ("keys", "ca", "create"),
    ("keys", "ca", "show"),
    ("keys", "ca", "update"),
    ("keys", "ca", "sign"),
    ("devices",),
    ("devices", "list"),
    ("devices", "show"),
    ("devices", "delete"),
    ("completion",),
]
LEAVES = [words for words in COMMANDS if words not in ((), ("keys",), ("keys", "ca"), ("devices",), ("completion",))]
HEAVY = ("cryptography", "rich", "httpx2", "msgspec", "sqlalchemy", "starlette", "OpenSSL", "platformdirs")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_answers_without_a_heavy_import(words: tuple[str, ...]) -> None:
    code = f"import sys; sys.argv = ['ownroot', *{words!r}, '--help']; from ownroot.cli.main import ownroot\n"
    code += "try: ownroot()\nexcept SystemExit: pass\n"
    code += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_of_every_command_has_an_example(stranger: Owner, words: tuple[str, ...]) -> None:
    shown = stranger.run(*words, "--help").out
    assert f"  ownroot {' '.join(words)}" in shown.partition("Example")[2]


def test_help_names_the_exit_codes(stranger: Owner) -> None:
    assert "130 interrupted" in stranger.run("--help").out


def test_version_is_printed(stranger: Owner) -> None:
    assert stranger.run("--version").out.startswith("ownroot 0.")


@pytest.mark.parametrize("words", [("nonsense",), ("keys", "ca", "create"), ("devices", "list", "--limit", "7")])
def test_wrong_command_line_is_exit_code_2_with_json_too(stranger: Owner, words: tuple[str, ...]) -> None:
    assert stranger.run(*words).code == 2
    done = stranger.run(*words, "--json")
    assert (done.code, done.error["code"]) == (2, "usage")


def test_traceback_comes_only_with_debug(stranger: Owner) -> None:
    assert "Traceback" not in stranger.run("devices", "list").err
    assert "Traceback" in stranger.run("devices", "list", "--debug").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_for_this_program(stranger: Owner, shell: str) -> None:
    done = stranger.run("completion", shell)
    assert done.code == 0
    assert "_OWNROOT_COMPLETE" in done.out


def test_bash_accepts_the_completion_script(stranger: Owner) -> None:
    script = stranger.run("completion", "bash").out
    subprocess.run([require_tool("bash"), "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("line", "offered"),
    [("ownroot ke", {"keys"}), ("ownroot keys ca cre", {"create"}), ("ownroot keys ca create --loc", {"--local-ca"})],
)
def test_shell_gets_completions(stranger: Owner, line: str, offered: set[str]) -> None:
    asking = stranger.having(_OWNROOT_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    assert offered <= {answer.partition(",")[2] for answer in asking.run().out.splitlines()}


def test_reader_that_goes_away_is_no_error(stranger: Owner) -> None:
    command = f"{PROGRAM} --help | true"
    done = subprocess.run([require_tool("bash"), "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
