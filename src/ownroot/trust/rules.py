"""The rules by which a factory's PKI changes: state + change + evidence + now -> accepted or refused.

`decide` is the only way to a new state. It follows the evaluation table of protocol api.md §3.4 step by step, each step
numbered as there, and judges the state that would result: an upload holds in every part or changes nothing.

What the rules keep, whatever is sent in whatever order:

* Every certificate in the state was signed by the factory root in the state; the root, once set, never changes.
* The first root needs proof that its key is at hand *now*: a TLS certificate over a key we made minutes ago. Its own
  self-signature proves nothing of the kind, since a certificate can be copied.
* Every later change carries a root signature of its own, so that access to the API alone changes no trust.
* Device CAs are added, never left out. To disable or revoke one takes the owner's signed command, and so does bringing
  it back.

Who may ask at all (token, scope, role) is decided before. Nothing here reads a clock, a file or a database.
"""

from datetime import datetime

from ownroot.trust.changes import UploadPki
from ownroot.trust.commands import apply_orders, read_orders, without_revoked
from ownroot.trust.device_ca_rules import admit_device_cas, require_whole_list
from ownroot.trust.possession import Evidence, KeyKind
from ownroot.trust.root_rules import require_proof_of_possession, settle_root
from ownroot.trust.server_certificate_rules import accept_server_certificate
from ownroot.trust.state import FactoryPki
from ownroot.trust.verdicts import Accepted, Refused, RuleBrokenError, Verdict, invalid

__all__ = ["Accepted", "Refused", "Verdict", "decide"]


def decide(pki: FactoryPki, change: UploadPki, evidence: Evidence, now: datetime) -> Verdict:
    """Decide on one upload as one transaction.

    Args:
        pki: the state as it is inside the transaction that will store the outcome.
        change: parsed, not verified.
        evidence: the factory's pending keys, the sender and the members, read in that same transaction.
        now: aware UTC, whole seconds.
    Returns: `Accepted` with the state to store and what must happen to which key, or `Refused`. Nothing a sender can
        put into an upload makes it raise.
    Source: protocol api.md §3.4; the numbers below are that table's.
    """
    try:
        # 1. Parts arrive parsed. None at all must not pass for a success.
        _require_something(change)
        # 2, 3. The root everything else is verified with: the stored one, or a candidate that meets the profile.
        draft = settle_root(Accepted(pki), change.root, now)
        # 4. A first root comes with proof of possession.
        require_proof_of_possession(pki, change)
        # 5. Server certificates: signed by the root, over the key we made for that purpose.
        draft = accept_server_certificate(draft, KeyKind.TLS, change.gateway_tls, evidence, now)
        draft = accept_server_certificate(draft, KeyKind.EST, change.est_tls, evidence, now)
        # 8 begins here, since steps 6 and 7 depend on what the command says: is it the owner's, and current?
        orders = read_orders(draft.new_pki, change.crl, now)
        # 6. Each new device CA by itself. 7. The list as a set.
        listed = without_revoked(pki, change.device_cas or (), orders)
        draft = admit_device_cas(draft, listed, orders, evidence, now)
        require_whole_list(pki, change.device_cas, orders)
        # 8. The command. 9. The outcome, for one transaction.
        return apply_orders(pki, draft, orders, now)
    except RuleBrokenError as broken:
        return broken.refused


def _require_something(change: UploadPki) -> None:
    if change.is_empty:
        raise invalid(
            "upload-empty",
            "The upload holds nothing to act on. Send at least one of root-crt, ca-crt, est-tls-crt, tls-crt and "
            "ca-revoke-crl.",
        )
