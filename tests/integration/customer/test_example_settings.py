"""The example of a customer's own API says what it needs before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.customer_api import APP

SETTINGS = {"OWNROOT_URL": "https://api.example.test", "OWNROOT_FACTORY": "acme", "OWNROOT_TOKEN": "own_token"}


def start(folder: Path, environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, str(APP), "--root", str(folder / "none.pem"), "--gateway-name", "gw.example.test"]
    return subprocess.run(
        [*words, "--front", "127.0.0.1", *options],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("missing", SETTINGS)
def test_setting_that_is_missing_is_named_without_a_traceback(tmp_path: Path, missing: str) -> None:
    done = start(tmp_path, {name: text for name, text in SETTINGS.items() if name != missing})
    assert done.returncode == 2
    assert f"set {missing} in the environment" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_all_settings_the_next_thing_it_needs_is_the_root(tmp_path: Path) -> None:
    done = start(tmp_path, SETTINGS, "--cacert", str(tmp_path / "ca.pem"))
    assert "in the environment" not in done.stderr
    assert "none.pem" in done.stderr
