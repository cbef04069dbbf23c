"""TLS settings of the gateway: ask for a client certificate, accept any, resume nothing.

TLS proves possession of the client's key and no more; whether the certificate is trusted is decided above
(`ownroot.gateway.standing`). An accepting callback silences every certificate check of OpenSSL, so nothing here may be
taken for one.

A connection that changes its context by SNI keeps the verify mode and callback of the *first* context, therefore all
contexts are made by one function, and the first one is kept as long as the process lives.
"""

from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

# Forward secret and authenticated; what Go, libcurl and OpenSSL clients of the last ten years offer.
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"


def _accept_any(
    _connection: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, _is_fine: int
) -> bool:
    return True


def _new_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS12_CIPHERS)
    # Without FAIL_IF_NO_PEER_CERT: a device without a certificate gets an answer it can read (gateway.md §2.2 T3).
    context.set_verify(SSL.VERIFY_PEER, _accept_any)
    # Depth 0 keeps OpenSSL from checking signatures along a chain that the peer chose to be expensive.
    context.set_verify_depth(0)
    # Both are needed: with one of them left on, a second connection without any certificate shows the old identity.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # An idle connection gives its record buffers back.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def make_base_context(choose: Callable[[SSL.Connection], None]) -> SSL.Context:
    """Return the context every connection starts with; it has no certificate and relies on `choose`.

    Args:
        choose: called with or without SNI while the ClientHello is read; switches the connection's context. If it
            leaves the base context in place the handshake fails for want of a certificate.
    """
    context = _new_context()
    context.set_tlsext_servername_callback(choose)
    return context


def make_site_context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Context:
    """Return the context that presents one gateway certificate, leaf only: the root signs it directly (T2).

    No CA names are set, so clients always send their certificate (T5).

    Raises:
        OpenSSL.SSL.Error: key and certificate do not belong together.
    """
    context = _new_context()
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.check_privatekey()
    return context
