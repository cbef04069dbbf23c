"""Nothing that opens anything gets into the log."""

import json
import subprocess
import sys

from ownroot.bootstrap.logs import redact_secrets
from ownroot.keystore.file import sec1_pem
from ownroot.pki.signer import generate_key
from ownroot.services.tokens import new_token

PROGRAM = """
import logging, structlog
from ownroot.bootstrap.logs import set_up_logs
set_up_logs("info", part="test")
def fail(key, token):
    raise ValueError(f"{key} {token}")
log = structlog.get_logger("ownroot")
log.debug("quiet")
try:
    fail(open("key.pem").read(), open("token").read())
except ValueError:
    log.exception("it failed", token=open("token").read(), raw=open("key.pem", "rb").read())
    logging.getLogger("library").exception("it failed too")
"""


def test_keys_and_tokens_are_blotted_out_of_any_field():
    event = {
        "event": f"x {sec1_pem(generate_key()).decode()} y",
        "n": 1,
        "t": new_token(),
        "b": b"-----BEGIN PRIVATE KEY-----",
    }
    redacted = redact_secrets(None, "", event)
    assert redacted == {"event": "x [redacted]\n y", "n": 1, "t": "[redacted]", "b": "[redacted]"}


def test_ordinary_text_stays_as_it_is():
    event = {"event": "-----BEGIN CERTIFICATE----- owner own_acme"}
    assert redact_secrets(None, "", event) == event


def test_a_traceback_is_logged_as_one_json_line_without_secrets(tmp_path):
    (tmp_path / "key.pem").write_bytes(sec1_pem(generate_key()))
    (tmp_path / "token").write_text(new_token())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["it failed", "it failed too"]
    assert all("ValueError" in line["exception"] and line["part"] == "test" for line in lines)
    assert "PRIVATE KEY" not in done.stderr
    assert "own_" not in done.stderr.replace("ownroot", "")
