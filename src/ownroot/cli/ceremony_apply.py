"""The connected machine's second half of a ceremony: carry out what the root approved, if it still fits."""

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from ownroot.cli.change_run import Say, upload_change
from ownroot.cli.pki_changes import is_in_effect
from ownroot.client.api import Api
from ownroot.errors import ConflictError, InvalidInputError
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_certificates
from ownroot.pki.serials import serial_text
from ownroot.wire.ceremony import CEREMONY, ApprovalFile, state_sha256, verify_signature
from ownroot.wire.certs import FactoryCerts


def verify_approval(file: ApprovalFile, factory: str, state: FactoryCerts) -> x509.Certificate:
    """Check that a factory's root has approved this; before a take-over, that the root it brings has.

    Args:
        state: what the factory trusts now.
    Returns: the root.
    Raises:
        ConflictError: `ceremony-other-factory`, `other-root`, `ceremony-stale` (there is no root any more).
        InvalidInputError: `ceremony-file-altered`.
        RefusedError: `ceremony-signature`.
    """
    body = file.body
    if body.request.factory != factory:
        raise ConflictError(
            "ceremony-other-factory", f"The approval is for factory {body.request.factory}, not for {factory}."
        )
    pem = state.root_crt or body.upload.root_crt
    if pem is None:
        raise ConflictError("ceremony-stale", "The factory has no root of its own, and the approval brings none.")
    root = parse_certificate(pem)
    if certificate_sha256(root).hex() != body.root_sha256:
        raise ConflictError(
            "other-root", f"The factory's root (serial {serial_text(root.serial_number)}) is not the one that approved."
        )
    verify_signature(file, root)
    if CEREMONY.digest(body.request) != body.request_sha256:
        raise InvalidInputError("ceremony-file-altered", "The request in the approval is not the one it names.")
    return root


def carry_out(api: Api, file: ApprovalFile, state: FactoryCerts, *, now: datetime, say: Say) -> bool:
    """Upload a verified approval and look whether it took effect.

    Returns: False if it was in effect before, so that nothing was sent.
    Raises:
        ConflictError: `ceremony-expired`, `ceremony-stale`, `change-not-in-effect`.
        OwnrootError: whatever the server says.
    """
    body = file.body
    if is_in_effect(body.upload, state):
        return False
    if body.usable_until is not None and now >= body.usable_until:
        raise ConflictError(
            "ceremony-expired", f"The approval could be used until {body.usable_until:%Y-%m-%d %H:%M:%S} UTC."
        )
    if state_sha256(state) != body.request.state_sha256:
        changes = "; ".join(differences(body.request.state, state))
        raise ConflictError("ceremony-stale", f"The factory's PKI has changed since the request was made: {changes}.")
    upload_change(api, body.upload, say)
    if not is_in_effect(body.upload, api.certs().certs):
        raise ConflictError("change-not-in-effect", "The server took the upload, and its state does not show it.")
    return True


def differences(before: FactoryCerts, now: FactoryCerts) -> Iterator[str]:
    """Yield in words how what a factory trusts differs from before; at least one line."""
    found = False
    for line in _differences(before, now):
        found = True
        yield line
    if not found:
        yield f"it was changed and changed back, last at {now.change_meta.updated_at or 'an unknown time'}"


def _differences(before: FactoryCerts, now: FactoryCerts) -> Iterator[str]:
    parts = (
        ("the root", before.root_crt, now.root_crt),
        ("the gateway's TLS certificate", before.tls_crt, now.tls_crt),
        ("the EST server's TLS certificate", before.est_tls_crt, now.est_tls_crt),
    )
    for name, old, new in parts:
        if _certificates(old) != _certificates(new):
            yield f"{name} is another"
    old_cas, new_cas = _certificates(before.ca_crt), _certificates(now.ca_crt)
    yield from (f"device CA {serial_text(ca.serial_number)} is new" for ca in new_cas - old_cas)
    yield from (f"device CA {serial_text(ca.serial_number)} is gone" for ca in old_cas - new_cas)
    was, is_now = set(before.disabled_ca_serials), set(now.disabled_ca_serials)
    yield from (f"device CA {serial} is disabled" for serial in sorted(is_now - was))
    yield from (f"device CA {serial} is no longer disabled" for serial in sorted(was - is_now))


def _certificates(pem: str | None) -> set[x509.Certificate]:
    return set(parse_certificates(pem)) if pem else set()
