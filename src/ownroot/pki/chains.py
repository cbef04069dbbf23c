"""Who signed whom, decided by signature.

Neither the issuer's name alone nor the authority key identifier decides: in the field several CAs share one subject,
and the identifier may be another hash than the CA's own (api.md §4.2). The name must match byte for byte, then the
signature must verify. Validity, usage and standing are somebody else's question.
"""

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import InvalidInputError
from ownroot.pki import encoding
from ownroot.pki.requests import STRONG_HASHES
from ownroot.pki.traits import Traits


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether `issuer`'s EC key signed this certificate under `issuer`'s name, with a hash that still holds."""
    if not isinstance(certificate.signature_hash_algorithm, STRONG_HASHES):
        return False
    if not isinstance(issuer.public_key(), ec.EllipticCurvePublicKey):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *encoding.FOREIGN_FAULTS):
        return False
    return True


def verify_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Demand `is_signed_by`.

    Raises:
        InvalidInputError: `not-signed-by-issuer`.
    """
    if not is_signed_by(certificate, issuer):
        raise InvalidInputError("not-signed-by-issuer", "The certificate is not signed by the expected CA.")


def find_issuer(certificate: x509.Certificate, candidates: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """Return the candidate whose key signed this certificate, or None.

    Signatures are tried among all candidates with the right subject; the authority key identifier only says which
    one to try first.
    """
    name = encoding.issuer_der(certificate)
    likely = [candidate for candidate in candidates if encoding.subject_der(candidate) == name]
    if len(likely) > 1:
        identifier = Traits.of(certificate).authority_key_identifier
        likely.sort(key=lambda ca: Traits.of(ca).subject_key_identifier != identifier)
    return next((candidate for candidate in likely if is_signed_by(certificate, candidate)), None)


def order_chain(leaf: x509.Certificate, bundle: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return the leaf followed by its issuers as far as the unordered bundle goes, each certificate once."""
    chain, remaining = [leaf], [certificate for certificate in bundle if certificate != leaf]
    while (issuer := find_issuer(chain[-1], remaining)) is not None:
        chain.append(issuer)
        remaining = [certificate for certificate in remaining if certificate != issuer]
    return tuple(chain)
