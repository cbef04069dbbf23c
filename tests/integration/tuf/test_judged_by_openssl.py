"""What a real server serves after a take-over, judged by the openssl program and a canonical form written here anew.

Nothing of ours is asked: who is in which role is read from the JSON, the key id is a hash of openssl's DER, what is
signed is one line of the page (tuf.md §2.3), and openssl says whether the signature is right.
"""

import base64
import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ownroot.tuf.metadata import Role
from tests.support.openssl_checks import run_openssl
from tests.support.tools import require_tool
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, rsa_signer, with_role

RELEASE = ed25519_signer(13)
_ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PSS = ("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha256")


class Judge:
    """Verifies documents with files in a directory of its own."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def signers(self, document: bytes, keys: dict[str, Any]) -> set[str]:
        """Key ids, among these keys, whose signature openssl finds right."""
        parsed = json.loads(document)
        payload = json.dumps(parsed["signed"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert document == json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        (self._place / "payload").write_bytes(payload)
        return {one["keyid"] for one in parsed["signatures"] if self._verifies(one, keys[one["keyid"]])}

    def _verifies(self, signature: dict[str, str], key: dict[str, Any]) -> bool:
        public, made = self._place / "key.pem", self._place / "signature"
        public.write_bytes(_pem(key))
        made.write_bytes(base64.b64decode(signature["sig"], validate=True))
        der = subprocess.run(
            [require_tool("openssl"), "pkey", "-pubin", "-in", public, "-outform", "DER"],
            capture_output=True,
            check=True,
        ).stdout
        assert sha256(der).hexdigest() == signature["keyid"]
        is_rsa = key["keytype"] == "RSA"
        assert signature["method"] == ("rsassa-pss-sha256" if is_rsa else "ed25519")
        options = ["-digest", "sha256", *(word for option in _PSS for word in ("-pkeyopt", option))] if is_rsa else []
        ask = ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", self._place / "payload"]
        return run_openssl(*ask, "-sigfile", made, *options).returncode == 0


def _pem(key: dict[str, Any]) -> bytes:
    public: str = key["keyval"]["public"]
    if key["keytype"] == "RSA":
        return public.encode()
    text = base64.b64encode(_ED25519_PREFIX + bytes.fromhex(public))
    return b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----\n"


@pytest.fixture(scope="module")
def owner(server: Any) -> TufAdmin:
    """Took root over with an RSA key, then added a release key."""
    taken = TufAdmin(server.for_factory("judged"))
    assert taken.rotate_root(rsa_signer()).status_code == 200
    taken.begin()
    root = taken.staged()
    online = root.keys[taken.state()["current"]["online-keys"]["targets"]]
    staged = with_role(root, Role.TARGETS, online, RELEASE.key, owner=taken.polis_id)
    assert taken.stage(staged, rsa_signer()).status_code == 200
    assert taken.apply().status_code == 200
    return taken


@pytest.mark.parametrize("production", [False, True])
def test_openssl_follows_the_roots_from_the_first_to_the_owners(
    owner: TufAdmin, tmp_path: Path, production: bool
) -> None:
    judge, before = Judge(tmp_path), None
    for version in (1, 2, 3, 4):
        data = owner.document(f"{version}.root.json", production=production)
        signed = json.loads(data)["signed"]
        assert signed["version"] == version
        keys = signed["keys"] | (before or signed)["keys"]
        right = judge.signers(data, keys)
        for root in (signed, before or signed):
            role = root["roles"]["root"]
            assert len(right & set(role["keyids"])) >= role["threshold"]
        before = signed


def test_openssl_verifies_what_lies_below_and_not_a_byte_else(owner: TufAdmin, tmp_path: Path) -> None:
    judge = Judge(tmp_path)
    root = json.loads(owner.document("root.json"))["signed"]
    announced = None
    for name in ("timestamp", "snapshot", "targets"):
        data = owner.document(f"{name}.json", tag="main")
        assert judge.signers(data, root["keys"]) == set(root["roles"][name]["keyids"][:1])
        other = data.replace(b'"version":', b'"version":1', 1)
        assert judge.signers(other, root["keys"]) == set()
        if announced is not None:
            assert (announced["length"], announced["hashes"]["sha256"]) == (len(data), sha256(data).hexdigest())
        announced = next(iter(json.loads(data)["signed"].get("meta", {}).values()), None)
