"""Text that some parsers take minutes for: one process serves all factories, so nobody's request may hold it up."""

import time

import pytest

from tests.support.device_csrs import device_csr
from tests.support.world import RunningServer

# What is timed here took 16 s and four minutes of a reader that goes back at every step.
PATIENCE_SECONDS = 8.0
DOTTED_KEY = "a." * 2000 + "a = 1"


def register(server: RunningServer, **members: object):
    document = {"csr": device_csr("slow-parsing", factory=server.factory), "hardware-id": "board"} | members
    started = time.monotonic()
    answer = server.call("POST", "/ota/devices/", document=document)
    assert time.monotonic() - started < PATIENCE_SECONDS
    return answer


def almost_boundaries(number: int) -> str:
    return "-x" + "END " * number


def test_csr_full_of_almost_boundaries_is_refused_at_once(server):
    answer = register(server, csr=almost_boundaries(15_000))
    assert (answer.status_code, answer.json()["code"]) == (400, "pem-missing")


def test_upload_full_of_almost_boundaries_is_refused_at_once(server):
    document = {"ca-crt": almost_boundaries(240_000)}
    started = time.monotonic()
    answer = server.call("PATCH", "/ota/factories/acme/certs/", document=document)
    assert (answer.status_code, answer.json()["code"]) == (400, "pem-missing")
    assert time.monotonic() - started < PATIENCE_SECONDS


@pytest.mark.parametrize(
    "value",
    ['"a"\n' + DOTTED_KEY, '"""a"""\n' + DOTTED_KEY, "1\n[" + DOTTED_KEY, '"' * 4096, '"' + "\\" * 4095],
    ids=["key", "key-behind-lines", "table", "quotes", "backslashes"],
)
def test_overrides_that_are_hard_to_read_are_refused_at_once(server, value):
    overrides = {"pacman": {f"key-{number}": value for number in range(15)}}
    answer = register(server, overrides=overrides)
    assert (answer.status_code, answer.json()["code"]) == (400, "overrides")
    assert "overrides.pacman.key-14" in answer.json()["errors"]


def test_overrides_longer_than_any_settings_are_refused_and_not_kept(server):
    overrides = {"pacman": {f"key-{number}": "1\n" + DOTTED_KEY for number in range(190)}}
    answer = register(server, overrides=overrides)
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"overrides": "longer than 65536 characters in all"}
