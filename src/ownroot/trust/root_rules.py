"""Steps 2 to 4: which root the rest of an upload is verified with, and what a first root has to prove."""

import dataclasses
from datetime import datetime

from cryptography import x509

from ownroot.pki.conformance import check_factory_root
from ownroot.trust.changes import Field, UploadPki
from ownroot.trust.state import FactoryPki
from ownroot.trust.verdicts import Accepted, TrustEvent, TrustEventKind, checking, conflict, invalid


def settle_root(draft: Accepted, sent: x509.Certificate | None, now: datetime) -> Accepted:
    """Find the effective root (step 2); a candidate must meet the root profile (step 3).

    Returns: a draft whose state has a root. Nothing is proven yet about who sent a candidate, see step 4.
    Raises:
        RuleBrokenError: `pki-not-initialized`, `root-already-set`, or a code of `pki.conformance.check_factory_root`.
    """
    stored = draft.new_pki.root
    if stored is None and sent is None:
        raise conflict(
            "pki-not-initialized",
            "This factory has no root of its own yet. Run `ownroot keys ca create` first.",
        )
    if sent is None or sent == stored:
        return draft
    if stored is not None:
        raise conflict(
            "root-already-set",
            "This factory already has another root, and a root is set once. Leave root-crt out, "
            "or send the very certificate that `ownroot keys ca show --just-root` prints.",
            Field.ROOT,
        )
    with checking("The factory root", Field.ROOT):
        check_factory_root(sent, draft.new_pki.factory, now)
    return draft.then(dataclasses.replace(draft.new_pki, root=sent), TrustEvent(TrustEventKind.ROOT_SET, sent))


def require_proof_of_possession(pki: FactoryPki, change: UploadPki) -> None:
    """Step 4: a first root brings a TLS certificate, which step 5 then finds signed by it over one of our pending keys.

    Raises:
        RuleBrokenError: `proof-of-possession-missing`.
    """
    if pki.is_taken_over or change.gateway_tls is not None:
        return
    raise invalid(
        "proof-of-possession-missing",
        "A first root counts only together with a TLS certificate that its key has just signed over our CSR. "
        "Ask for a CSR, sign it with the root, and send root-crt and tls-crt in one upload.",
        Field.GATEWAY_TLS,
    )


def root_in_force(pki: FactoryPki, now: datetime, field: Field) -> x509.Certificate:
    """Return the settled root for signing something new under it.

    A state whose root has expired stays readable and re-uploadable, but nothing new is accepted under it: every
    verifier outside would refuse the chain anyway, later and with less to say.

    Raises:
        RuleBrokenError: `root-expired`.
    """
    root = pki.root
    if root is None:
        raise AssertionError("step 2 settles a root before anything is verified with it")
    if now > root.not_valid_after_utc:
        raise conflict(
            "root-expired",
            f"The factory root ended on {root.not_valid_after_utc:%Y-%m-%d}; nothing can be added under it. "
            "If that date is still ahead, the server's clock is wrong.",
            field,
        )
    return root
