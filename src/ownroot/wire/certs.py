"""Shapes of the factory PKI resource, `/ota/factories/{F}/certs/` (protocol: api.md §3).

PEM stays text here: reading it is `pki.encoding`'s, judging it is `trust`'s. In requests unknown members are ignored
and `""` and `null` count as absent, because clients of this protocol send members the server does not use.
"""

import msgspec

from ownroot.wire.documents import convert_object, read_document, read_object


class ChangeMeta(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Who changed a resource and when; plain text that clients print as it is."""

    created_by: str = ""
    created_at: str = ""
    updated_by: str = ""
    updated_at: str = ""


class FactoryCerts(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Reply to GET and PATCH: what a factory trusts. All None with status 206: no PKI of its own yet.

    `ca_crt` holds every trusted device CA, disabled ones included. Serials are decimal text, never numbers.
    `online_ca_serials` is ours: the device CAs whose key this server holds or held; None from other servers.
    """

    root_crt: str | None = None
    tls_crt: str | None = None
    ca_crt: str | None = None
    est_tls_crt: str | None = None
    disabled_ca_serials: tuple[str, ...] = ()
    online_ca_serials: tuple[str, ...] | None = None
    change_meta: ChangeMeta = ChangeMeta()


class CsrRequest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """POST: make backend keys and return their CSRs.

    `first_time_init` None (absent): the sender does not say; right in either state.
    """

    first_time_init: bool | None = None
    ca_csr: bool = False
    est_tls_csr: bool = False
    tls_csr: bool = False

    @property
    def asks_for_nothing(self) -> bool:
        """Whether no CSR at all is asked for, which is refused."""
        return not (self.ca_csr or self.est_tls_csr or self.tls_csr)


class CsrReply(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """Reply to POST: one CSR, PEM with exactly one newline at its end, for each key asked for; the rest is absent."""

    ca_csr: str | None = None
    est_tls_csr: str | None = None
    tls_csr: str | None = None


class CertsUpload(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """PATCH: certificates and CRL to take into use, in one transaction. Members stand in the order of the wire."""

    root_crt: str | None = None
    ca_crt: str | None = None
    est_tls_crt: str | None = None
    tls_crt: str | None = None
    ca_revoke_crl: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is uploaded, which is refused."""
        return all(getattr(self, name) is None for name in self.__struct_fields__)


def parse_csr_request(body: bytes) -> CsrRequest:
    """Read a POST body; an empty one is what the curl guide sends and asks for TLS and online CA.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `bad-field`.
    Source: api.md §3.2 (server rules), registration.md §11.
    """
    if not body.strip():
        return CsrRequest(tls_csr=True, ca_csr=True)
    return read_document(body, CsrRequest)


def parse_certs_upload(body: bytes) -> CertsUpload:
    """Read a PATCH body; everything but the five members we act on is ignored, whatever its type.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `bad-field`.
    Source: api.md §3.3.
    """
    return convert_object(read_object(body, drop_empty=True), CertsUpload)
