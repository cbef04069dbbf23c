"""What strangers send: a clear 4xx with a message in JSON, nothing signed, nothing stored.

Source: registration.md §5.3, §12, §13 row 7; architecture.md §8, P11.
"""

import json
import socket
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import NameAttribute
from cryptography.x509.oid import NameOID

from tests.support.device_csrs import broken_csr, csr_of, device_csr
from tests.support.registration_site import RegistrationSite

CN = NameAttribute(NameOID.COMMON_NAME, "dev-1")
OU = NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "acme")
EMAIL = NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.example")


def document(**members: object) -> bytes:
    """A good registration with some members changed; None leaves one out."""
    good: dict[str, object] = {"csr": device_csr("dev-1"), "hardware-id": "h"}
    return json.dumps({name: value for name, value in (good | members).items() if value is not None}).encode()


def overrides(section: str, key: str, value: object) -> bytes:
    return document(overrides={section: {key: value}})


BAD: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: b"<xml/>",
    "no object": lambda: b"[1]",
    "empty": lambda: b"",
    "deeply nested": lambda: b"[" * 60_000,
    "a name without end": lambda: document(name="x" * 100_000),
    "no csr": lambda: document(csr=None),
    "csr a number": lambda: document(csr=5),
    "csr no PEM": lambda: document(csr="hello"),
    "csr with a broken signature": lambda: document(csr=broken_csr("dev-1")),
    "csr of RSA-1024": lambda: document(csr=csr_of([CN, OU], key=rsa.generate_private_key(65537, 1024))),  # noqa: S505
    "csr of RSA-2048": lambda: document(csr=csr_of([CN, OU], key=rsa.generate_private_key(65537, 2048))),
    "csr without OU": lambda: document(csr=csr_of([CN])),
    "csr without CN": lambda: document(csr=csr_of([OU])),
    "csr with two CNs": lambda: document(csr=csr_of([CN, CN, OU])),
    "csr with more in its subject": lambda: document(csr=csr_of([CN, OU, EMAIL])),
    "csr for a CA": lambda: document(csr=csr_of([CN, OU], ca=True)),
    "csr of another factory": lambda: document(csr=device_csr("dev-1", factory="other")),
    "uuid that is not the CN": lambda: document(uuid="dev-2"),
    "uuid that climbs": lambda: document(csr=device_csr("../../etc/passwd")),
    "name that climbs": lambda: document(name="../x"),
    "group of nobody's choice": lambda: document(group="edge"),
    "hardware id with quotes": lambda: document(**{"hardware-id": 'a"\nb'}),
    "directory with a line break": lambda: document(**{"sota-config-dir": "/var\n[tls]"}),
    "overrides no object": lambda: document(overrides=[1]),
    "override section no object": lambda: document(overrides={"pacman": "x"}),
    "override a number": lambda: overrides("pacman", "tags", 5),
    "override with braces": lambda: overrides("pacman", "tags", '"{unknown}"'),
    "override that injects a table": lambda: overrides("pacman", "tags", '"x"\n[tls]\nserver="evil"'),
    "override with an open quote": lambda: overrides("pacman", "tags", '"x'),
    "override of the server": lambda: overrides("tls", "server", '"https://evil"'),
    "override of p11": lambda: overrides("p11", "module", '"x"'),
    "override key with dots": lambda: overrides("pacman", "a.b", '"x"'),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_request_is_refused_in_words_and_leaves_nothing(site: RegistrationSite, case: str) -> None:
    before = len(site.entries())
    answer = site.sign(BAD[case]())
    assert answer.status == 400
    assert answer.problem["code"] not in ("", "internal-error")
    assert len(site.entries()) == before
    assert site.metric("ownroot_registration_certificates_total") == 0


def test_body_of_a_megabyte_is_refused_before_it_is_sent(site: RegistrationSite) -> None:
    head = f"POST /sign HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body-too-large"


def test_body_of_another_kind_is_refused(site: RegistrationSite) -> None:
    answer = site.sign(document(), headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.problem["code"]) == (415, "wrong-content-type")


def test_name_the_server_does_not_know_itself_by_is_refused(site: RegistrationSite) -> None:
    answer = site.sign(document(), headers={"Host": "rebound.example"})
    assert (answer.status, answer.problem["code"]) == (421, "wrong-host")
    assert "--name" in answer.problem["message"]


def test_the_good_request_that_all_of_these_differ_from_is_fine(site: RegistrationSite) -> None:
    assert site.sign(document()).status == 201
