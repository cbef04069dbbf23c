"""Exit statuses of curl as errors of ours: whose turn it is follows from the kind."""

import pytest

from ownroot.client.curl_faults import curl_fault
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (7, UnavailableError, "no-connection"),
        (28, UnavailableError, "no-answer"),
        (35, UnavailableError, "tls-failed"),
        (56, UnavailableError, "connection-lost"),
        (99, UnavailableError, "connection-lost"),
        (60, RefusedError, "server-not-trusted"),
        (53, KeyStoreError, "curl-engine"),
        (58, KeyStoreError, "device-key-unusable"),
        (77, InvalidInputError, "bad-cacert"),
        (1, InvalidInputError, "not-http"),
    ],
)
def test_status_has_its_error(status: int, kind: type[OwnrootError], code: str) -> None:
    error = curl_fault(status, "", "GET", "https://gw.example:8443/device")
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    "said",
    [
        "curl: (58) ssl engine cannot load client cert 'pkcs11:token=t;id=%03;type=cert;pin-value=4%2621' [x]\n",
        "The private key was not found at: pkcs11:token=t;pin-value=4%2621;type=private\n",
        "curl: (58) unable to set private key pkcs11:token=t?pin-value=4%2621\n",
    ],
)
def test_error_holds_no_pin_though_curl_names_the_object_with_it(said: str) -> None:
    error = curl_fault(58, said, "GET", "https://gw.example:8443/device")
    assert "4%2621" not in error.detail
    assert "pin-value=*" in error.detail
    assert "token=t" in error.detail


def test_reason_is_the_line_of_curl_and_not_what_the_engine_said_before() -> None:
    said = "engine: looking\ncurl: (60) SSL certificate problem: unable to get local issuer certificate\nMore: ...\n"
    error = curl_fault(60, said, "GET", "https://gw.example:8443/device")
    assert error.detail.endswith("does not verify: SSL certificate problem: unable to get local issuer certificate.")
