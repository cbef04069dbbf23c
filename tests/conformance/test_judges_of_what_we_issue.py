"""Every certificate we issue passes a linter and `openssl verify -x509_strict` for its purpose, and no other."""

from datetime import timedelta

import pytest

from tests.conformance.issued import KINDS, Issued, issue_everything
from tests.conformance.judges import lint, openssl_verify
from tests.support.certificates import FACTORY, GATEWAY_NAME, NOW, entity, factory_root


@pytest.fixture(scope="module", params=["secp256r1", "secp384r1", "secp521r1"])
def issued(request: pytest.FixtureRequest) -> Issued:
    """One of everything, under CA keys of each curve."""
    return issue_everything(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_linter_finds_no_error(issued: Issued, kind: str) -> None:
    assert lint(issued.get(kind)) == []


def test_linter_would_have_found_one() -> None:
    odd = factory_root(is_ca=True, subject=entity("Factory-CA", FACTORY), key_usage=None, extended_key_usages=())

    assert lint(odd.certificate) != []


@pytest.mark.parametrize("kind", ["device", "production_device"])
def test_openssl_accepts_a_device_as_tls_client(issued: Issued, kind: str) -> None:
    chain = [issued.get(kind), issued.local_ca]

    assert openssl_verify(chain, issued.root, purpose="sslclient", at=NOW) == "OK"


def test_openssl_refuses_a_device_as_tls_server(issued: Issued) -> None:
    chain = [issued.device, issued.local_ca]

    assert "unsuitable certificate purpose" in openssl_verify(chain, issued.root, purpose="sslserver", at=NOW)


def test_openssl_refuses_a_device_without_its_ca(issued: Issued) -> None:
    assert "unable to get local issuer" in openssl_verify([issued.device], issued.root, purpose="sslclient", at=NOW)


@pytest.mark.parametrize("kind", ["tls", "est"])
def test_openssl_accepts_a_gateway_as_tls_server_for_its_name(issued: Issued, kind: str) -> None:
    judged = openssl_verify([issued.get(kind)], issued.root, purpose="sslserver", at=NOW, host=GATEWAY_NAME)

    assert judged == "OK"


def test_openssl_refuses_a_gateway_for_another_name(issued: Issued) -> None:
    judged = openssl_verify([issued.tls], issued.root, purpose="sslserver", at=NOW, host="gw.other.example")

    assert "hostname mismatch" in judged


def test_openssl_refuses_a_gateway_as_tls_client(issued: Issued) -> None:
    assert "unsuitable certificate purpose" in openssl_verify([issued.tls], issued.root, purpose="sslclient", at=NOW)


@pytest.mark.parametrize("kind", ["local_ca", "online_ca"])
def test_openssl_accepts_device_cas_under_the_root(issued: Issued, kind: str) -> None:
    assert openssl_verify([issued.get(kind)], issued.root, purpose="any", at=NOW) == "OK"


def test_openssl_refuses_everything_under_another_root(issued: Issued) -> None:
    # Same subject, another key: no authority key identifier must be needed to notice.
    other = factory_root(FACTORY).certificate

    assert openssl_verify([issued.local_ca], other, purpose="any", at=NOW) != "OK"


def test_openssl_accepts_a_device_until_its_ca_ends(issued: Issued) -> None:
    # RFC 5280 counts the last second in, openssl counts it out: the test stays clear of it on both sides.
    chain, end, moment = [issued.device, issued.local_ca], issued.local_ca.not_valid_after_utc, timedelta(seconds=1)

    assert openssl_verify(chain, issued.root, purpose="sslclient", at=end - moment) == "OK"
    assert "has expired" in openssl_verify(chain, issued.root, purpose="sslclient", at=end + moment)
