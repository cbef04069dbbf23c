"""`./run` explains itself, from any directory, and refuses what it does not know."""

import subprocess
from pathlib import Path

import pytest

from tests.support.repository import ROOT


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "run", *arguments], check=False, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["setup", "demo", "test", "check", "bench", "lock", "help"])
def test_help_lists_every_command_from_any_directory(command: str, tmp_path: Path) -> None:
    result = run("help", cwd=tmp_path)

    assert result.returncode == 0
    assert f"\n  {command} " in result.stdout


def test_unknown_command_is_refused(tmp_path: Path) -> None:
    result = run("tset", cwd=tmp_path)

    assert result.returncode == 2
    assert "no command 'tset'" in result.stderr


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_script_parses(script: str) -> None:
    shell = "bash" if script.startswith(".ci") else "sh"

    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0
