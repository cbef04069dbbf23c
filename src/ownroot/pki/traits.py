"""What a certificate says about its own use, from whatever tool it came.

One walk over the extensions, so that every judgement reads the same facts. Nothing is judged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

_Known = TypeVar("_Known", bound=x509.ExtensionType)

# Whoever relies on a certificate must refuse a critical extension it does not act on (RFC 5280 §4.2). We act on these.
_ACTED_ON: Final = frozenset(
    {
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.SubjectAlternativeName,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    }
)


@dataclass(frozen=True, slots=True)
class Traits:
    """The extensions we act on; None where a certificate has none. `unknown_critical` lists OIDs in dotted form."""

    is_ca: bool
    path_length: int | None
    key_usage: x509.KeyUsage | None
    extended_key_usages: frozenset[ObjectIdentifier] | None
    subject_key_identifier: bytes | None
    authority_key_identifier: bytes | None
    dns_names: tuple[str, ...]
    unknown_critical: tuple[str, ...]

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Traits":
        """Read a certificate that `encoding` has loaded."""
        extensions = certificate.extensions
        values = {type(extension.value): extension.value for extension in extensions}
        constraints = _find(values, x509.BasicConstraints)
        usages = _find(values, x509.ExtendedKeyUsage)
        own_id = _find(values, x509.SubjectKeyIdentifier)
        issuer_id = _find(values, x509.AuthorityKeyIdentifier)
        names = _find(values, x509.SubjectAlternativeName)
        return cls(
            is_ca=constraints is not None and constraints.ca,
            path_length=constraints.path_length if constraints else None,
            key_usage=_find(values, x509.KeyUsage),
            extended_key_usages=None if usages is None else frozenset(usages),
            subject_key_identifier=own_id.digest if own_id else None,
            authority_key_identifier=issuer_id.key_identifier if issuer_id else None,
            dns_names=() if names is None else tuple(names.get_values_for_type(x509.DNSName)),
            unknown_critical=tuple(
                extension.oid.dotted_string
                for extension in extensions
                if extension.critical and type(extension.value) not in _ACTED_ON
            ),
        )

    def allows_usage(self, *wanted: ObjectIdentifier) -> bool:
        """Say whether the extended key usage, if there is one, allows all of these."""
        usages = self.extended_key_usages
        return usages is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages or usages.issuperset(wanted)


def _find(values: Mapping[type[x509.ExtensionType], x509.ExtensionType], kind: type[_Known]) -> _Known | None:
    value = values.get(kind)
    return value if isinstance(value, kind) else None
