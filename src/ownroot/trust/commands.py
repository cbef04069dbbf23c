"""Step 8: a CRL is a command on device CAs that the owner signed (protocol: api.md §3.5).

It says what to do now and nothing about what it does not name. What is kept here:

* One unknown serial refuses the whole command, since the owner meant something we do not know.
* A command counts once. It is remembered by its signed part (an ECDSA signature can be altered and stay valid) until
  it has expired; sent again it succeeds if everything it says is so already, and is refused otherwise.
* Nobody can go back behind a later command with one that was signed earlier.
* What the list of the same upload adds can be disabled at once and nothing else: a CA whose key somebody else holds
  never admits a new device, not for a second (a fleet that moves here brings the CA of its old server).
* A key has one standing. A device's certificate does not say which of two certificates of its CA it was issued under.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.revocation import CrlCommand, CrlEntry, Verdict, read_crl_command
from ownroot.trust.changes import Field
from ownroot.trust.root_rules import root_in_force
from ownroot.trust.state import AppliedCommand, DeviceCa, FactoryPki, RevokedCa, Standing
from ownroot.trust.verdicts import Accepted, RuleBrokenError, TrustEvent, TrustEventKind, checking, conflict


@dataclass(frozen=True, slots=True)
class Orders:
    """What a verified command says of which serial; nothing at all if none was sent."""

    command: CrlCommand | None = None

    def serials(self, verdict: Verdict) -> frozenset[int]:
        entries = () if self.command is None else self.command.entries
        return frozenset(entry.serial for entry in entries if entry.verdict is verdict)


def read_orders(pki: FactoryPki, crl: x509.CertificateRevocationList | None, now: datetime) -> Orders:
    """Verify a command against the settled root: signature, name, dates, entries. An expired root may still revoke.

    Raises:
        RuleBrokenError: with a code of `pki.revocation.read_crl_command`.
    """
    if crl is None:
        return Orders()
    if pki.root is None:
        raise AssertionError("step 2 settles a root before anything is verified with it")
    with checking("The revocation list", Field.CRL):
        return Orders(read_crl_command(crl, pki.root, now))


def without_revoked(pki: FactoryPki, sent: Collection[x509.Certificate], orders: Orders) -> list[x509.Certificate]:
    """The members of a list that the command beside it leaves standing: where both name a CA, the command wins."""
    revoked = orders.serials(Verdict.REVOKE)
    known = [*(ca.certificate for ca in pki.device_cas), *(ca.certificate for ca in pki.revoked_cas)]
    return [c for c in sent if c.serial_number not in revoked or c not in known]


def apply_orders(before: FactoryPki, draft: Accepted, orders: Orders, now: datetime) -> Accepted:
    """Act on a command, all of it or none.

    Args:
        before: the state the upload found; a command speaks of what is trusted in it.
        draft: with what the list of the same upload has added or brought back.
    Raises:
        RuleBrokenError: `crl-replayed`, `crl-serial-unknown`, `crl-outdated`, `crl-key-shared`, `device-ca-revoked`,
            `root-expired`.
    """
    command = orders.command
    if command is None:
        return draft
    if any(known.signed_part_sha256 == command.signed_part_sha256 for known in before.commands):
        _require_in_effect(before, command)
        return draft
    for entry in command.entries:
        if not _joins_disabled(before, draft, entry):
            _require_newest(before, entry, command)
        draft = _apply(before, draft, entry, command, now)
    _require_one_standing_per_key(draft.new_pki)
    return draft.then(_remembering(draft.new_pki, command, now))


def _require_in_effect(pki: FactoryPki, command: CrlCommand) -> None:
    if all(_is_in_effect(pki, entry) for entry in command.entries):
        return
    raise conflict(
        "crl-replayed",
        "This very revocation list was applied before, and what it ordered was changed by a later command. "
        "Sign a new one if you mean it.",
        Field.CRL,
    )


def _is_in_effect(pki: FactoryPki, entry: CrlEntry) -> bool:
    ca = pki.find_ca(entry.serial)
    if entry.verdict is Verdict.REVOKE:
        return ca is None
    wanted = Standing.DISABLED if entry.verdict is Verdict.DISABLE else Standing.ENABLED
    return ca is not None and ca.standing is wanted


def _joins_disabled(before: FactoryPki, draft: Accepted, entry: CrlEntry) -> bool:
    is_new = before.find_ca(entry.serial) is None and before.find_revoked(entry.serial) is None
    return is_new and entry.verdict is Verdict.DISABLE and draft.new_pki.find_ca(entry.serial) is not None


def _require_newest(pki: FactoryPki, entry: CrlEntry, command: CrlCommand) -> None:
    known = pki.find_ca(entry.serial) or pki.find_revoked(entry.serial)
    if known is None:
        raise conflict(
            "crl-serial-unknown",
            f"There is no device CA with serial {entry.serial} in this factory, so nothing of the revocation list was "
            "applied. `ownroot keys ca show` lists the serials.",
            Field.CRL,
        )
    if known.commanded_at is not None and command.this_update < known.commanded_at:
        raise conflict(
            "crl-outdated",
            f"The revocation list was signed at {command.this_update:%Y-%m-%d %H:%M:%S} UTC, before the last command "
            f"on the device CA with serial {entry.serial} ({known.commanded_at:%Y-%m-%d %H:%M:%S} UTC). Sign a new "
            "one; if this one is new, compare the clocks of the machines that sign.",
            Field.CRL,
        )


def _apply(before: FactoryPki, draft: Accepted, entry: CrlEntry, command: CrlCommand, now: datetime) -> Accepted:
    if entry.verdict is Verdict.RENEW:
        root_in_force(before, now, Field.CRL)
        return _renew(draft, entry, command)
    disables = entry.verdict is Verdict.DISABLE
    ca = (draft.new_pki if disables else before).find_ca(entry.serial)
    if ca is None:
        raise _was_revoked(entry, "It stays revoked whatever is disabled or revoked again.")
    if disables:
        disabled = dataclasses.replace(ca, standing=Standing.DISABLED, commanded_at=command.this_update)
        event = TrustEvent(TrustEventKind.DEVICE_CA_DISABLED, ca.certificate)
        return draft.then(_with(draft.new_pki, disabled), event)
    return _revoke(draft, ca, command, now)


def _renew(draft: Accepted, entry: CrlEntry, command: CrlCommand) -> Accepted:
    """Undo a disable, or let stay what the list of the same upload has brought back."""
    pki = draft.new_pki
    ca = pki.find_ca(entry.serial)
    if ca is None:
        raise _was_revoked(entry, "To bring it back, send its certificate in ca-crt of the same upload.")
    enabled = dataclasses.replace(ca, standing=Standing.ENABLED, commanded_at=command.this_update)
    still_revoked = tuple(revoked for revoked in pki.revoked_cas if revoked.serial != entry.serial)
    pki = dataclasses.replace(_with(pki, enabled), revoked_cas=still_revoked)
    return draft.then(pki, TrustEvent(TrustEventKind.DEVICE_CA_ENABLED, ca.certificate))


def _revoke(draft: Accepted, ca: DeviceCa, command: CrlCommand, now: datetime) -> Accepted:
    pki = draft.new_pki
    revoked = RevokedCa(ca.serial, ca.certificate, ca.holder, revoked_at=now, commanded_at=command.this_update)
    # The upload may have put another CA in the signer's place; whether this one still signs is for the draft to say.
    present = pki.find_ca(ca.serial)
    signs = present is not None and present.signs
    return draft.then(
        dataclasses.replace(
            pki,
            device_cas=tuple(other for other in pki.device_cas if other.serial != ca.serial),
            revoked_cas=(*pki.revoked_cas, revoked),
        ),
        TrustEvent(TrustEventKind.DEVICE_CA_REVOKED, ca.certificate),
        dropped_online_keys=(spki_sha256(ca.certificate.public_key()),) if signs else (),
    )


def _with(pki: FactoryPki, changed: DeviceCa) -> FactoryPki:
    """The state with one device CA in the place of the one of the same serial; who signs stays as it is."""

    def chosen(ca: DeviceCa) -> DeviceCa:
        return dataclasses.replace(changed, signs=ca.signs) if ca.serial == changed.serial else ca

    return dataclasses.replace(pki, device_cas=tuple(chosen(ca) for ca in pki.device_cas))


def _require_one_standing_per_key(pki: FactoryPki) -> None:
    standings: dict[bytes, dict[int, str]] = {}
    for ca in pki.device_cas:
        standings.setdefault(spki_sha256(ca.certificate.public_key()), {})[ca.serial] = ca.standing.value
    for revoked in pki.revoked_cas:
        if revoked.certificate is not None:
            key = spki_sha256(revoked.certificate.public_key())
            standings.setdefault(key, {})[revoked.serial] = "revoked"
    for of_key in standings.values():
        if len(set(of_key.values())) > 1:
            serials = ", ".join(f"{serial} ({standing})" for serial, standing in of_key.items())
            raise conflict(
                "crl-key-shared",
                f"Several device CAs have one key, and the revocation list would leave them apart: {serials}. Devices "
                "are told by the key alone, so name all of them in one list, for the same reason.",
                Field.CRL,
            )


def _remembering(pki: FactoryPki, command: CrlCommand, now: datetime) -> FactoryPki:
    kept = tuple(known for known in pki.commands if now <= known.usable_until)
    applied = AppliedCommand(command.signed_part_sha256, command.next_update + CLOCK_SKEW)
    return dataclasses.replace(pki, commands=(*kept, applied))


def _was_revoked(entry: CrlEntry, next_step: str) -> RuleBrokenError:
    return conflict(
        "device-ca-revoked", f"The device CA with serial {entry.serial} was revoked. {next_step}", Field.CRL
    )
