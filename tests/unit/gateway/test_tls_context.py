"""Settings that no handshake shows directly."""

import pytest
from OpenSSL import SSL

from ownroot.gateway.tls_context import make_base_context, make_site_context
from tests.support.certificates import factory_root, gateway_tls, make_key


def contexts() -> list[SSL.Context]:
    tls = gateway_tls(factory_root())
    return [make_base_context(lambda _connection: None), make_site_context(tls.certificate, tls.ec_key)]


def test_every_context_asks_for_a_certificate_and_follows_no_chain() -> None:
    for context in contexts():
        assert context.get_verify_mode() == SSL.VERIFY_PEER
        assert context.get_verify_depth() == 0


def test_every_context_keeps_no_sessions_in_cache_or_tickets() -> None:
    for context in contexts():
        assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF
        assert context.set_options(0) & SSL.OP_NO_TICKET


def test_every_context_renegotiates_and_compresses_nothing() -> None:
    for context in contexts():
        assert context.set_options(0) & SSL.OP_NO_RENEGOTIATION
        assert context.set_options(0) & SSL.OP_NO_COMPRESSION


def test_key_of_another_certificate_is_refused() -> None:
    tls = gateway_tls(factory_root())
    with pytest.raises(SSL.Error):
        make_site_context(tls.certificate, make_key())
