"""What is wrong with a factory's PKI, or soon will be: pure, from what the server shows to findings.

Everything is judged against the factory root that the server names. Whether that is the owner's root only a local PKI
directory can tell; with one at hand, its root is compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from ownroot.cli.findings import Finding, Severity
from ownroot.cli.forecast_findings import ending_soon
from ownroot.cli.pki_view import TITLES, Entry, Kind, PkiView, Standing
from ownroot.cli.server_health import findings_of
from ownroot.console.text import counted
from ownroot.errors import InvalidInputError
from ownroot.pki.conformance import CLOCK_SKEW, check_device_ca, check_factory_root, check_tls
from ownroot.pki.traits import Traits
from ownroot.wire.forecast import ForecastObject
from ownroot.wire.pki_health import PkiHealth
from ownroot.wire.refusals import RefusalObject

# The Date header has whole seconds, and an answer takes a moment.
_CLOCK_UNEASY: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was seen.

    Args:
        server_time: what the server's clock said, whole seconds; None if it did not say.
        now: our clock at that moment, aware UTC.
        devices: live devices by serial of their device CA; None if the token may not list devices.
        own_root: the root of the owner's PKI directory; None if none was named.
        exposed_keys: key files of that directory that others than their owner may read.
        health: what the server found out about itself; None if it cannot be asked that.
        forecast: what ends when besides; None if the server cannot be asked that, or the token may not.
        held: devices held for review after a restore; None if the token may not list devices.
        suspected: devices whose key may be copied; None as for `held`.
        left: the record of devices that trust another root; None if there is none, and as for `held`.
    """

    factory: str
    view: PkiView
    now: datetime
    server_time: datetime | None
    devices: Mapping[str, int] | None
    own_root: x509.Certificate | None = None
    exposed_keys: tuple[str, ...] = ()
    health: PkiHealth | None = None
    held: int | None = None
    suspected: int | None = None
    forecast: ForecastObject | None = None
    left: RefusalObject | None = None


_REPLACE: Final[Mapping[Kind, str]] = {
    Kind.ROOT: "Plan how every device gets another root.crt; nothing signed by this root outlives it.",
    Kind.GATEWAY_TLS: "Run: ownroot keys ca rotate-tls DIR",
    Kind.EST_TLS: "Run: ownroot keys est authorize DIR",
    Kind.ONLINE_CA: "Run: ownroot keys ca add-device-ca DIR --online-ca; then let its devices renew.",
    Kind.LOCAL_CA: "Run: ownroot keys ca add-device-ca DIR --local-ca --local-ca-filename NEW.pem",
    Kind.FOREIGN_CA: "Register or renew its devices under a CA of this server or of yours; then revoke it.",
}


_STOP: Final = "Do not sign anything yet. Find out whose directory, factory or server is the wrong one."


def diagnose(facts: Facts, *, within: timedelta) -> tuple[Finding, ...]:
    """Return what is to be looked after, faults first.

    Args:
        within: warn of a last safe day that comes this soon.
    """
    found = [*_clock(facts), *_ownership(facts), *_exposed(facts), *_held(facts), *_suspected(facts), *_left(facts)]
    root = facts.view.root
    if root is not None:
        found += [*_conformance(facts, root), *_ends(facts, within), *_issuing(facts)]
    if facts.health is not None:
        found += findings_of(facts.health)
    if facts.forecast is not None:
        found += ending_soon(facts.forecast, today=facts.now.date(), within=within)
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.FAULT))


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.server_time is None:
        return
    off = facts.server_time - facts.now
    if abs(off) <= _CLOCK_UNEASY:
        return
    seconds = int(off.total_seconds())
    ahead = "ahead of" if seconds > 0 else "behind"
    is_fault = abs(off) > CLOCK_SKEW
    yield Finding(
        Severity.FAULT if is_fault else Severity.WARNING,
        "clock-skew",
        f"The server's clock is {abs(seconds)} s {ahead} this machine's. "
        + ("What is signed here is refused there." if is_fault else "Beyond 300 s what is signed here is refused."),
        "Set both clocks by NTP; find out which one is wrong first.",
    )


def _ownership(facts: Facts) -> Iterator[Finding]:
    root = facts.view.root
    if root is None:
        yield Finding(
            Severity.WARNING,
            "shared-pki",
            f"Factory {facts.factory} runs on the shared PKI, whose keys the operator of the server holds.",
            "Run: ownroot keys ca create DIR",
        )
    elif facts.own_root is not None and facts.own_root != root.certificate:
        yield Finding(
            Severity.FAULT,
            "root-not-yours",
            f"The server names another factory root (serial {root.serial}) than your PKI directory has.",
            _STOP,
        )


def _exposed(facts: Facts) -> Iterator[Finding]:
    if facts.exposed_keys:
        yield Finding(
            Severity.FAULT,
            "keys-exposed",
            f"Others than you may read keys of your PKI directory: {', '.join(facts.exposed_keys)}.",
            "Run `chmod 0400` on them. If somebody else uses this machine, think of these keys as copied.",
        )


def _held(facts: Facts) -> Iterator[Finding]:
    if facts.held:
        yield Finding(
            Severity.WARNING,
            "devices-held",
            f"The server was restored from a backup and refuses devices it does not remember: {facts.held} held.",
            "Look at them with: ownroot devices held; then: ownroot devices accept --all, or refuse.",
        )


def _suspected(facts: Facts) -> Iterator[Finding]:
    if facts.suspected:
        yield Finding(
            Severity.WARNING,
            "devices-suspected",
            f"{counted(facts.suspected, 'device')} whose key may be copied, or in quarantine.",
            "See which with: ownroot devices list --only-suspected; and why with: ownroot devices why NAME",
        )


def _left(facts: Facts) -> Iterator[Finding]:
    if facts.left is not None:
        yield Finding(
            Severity.WARNING,
            "devices-trust-another-root",
            f"Devices left {counted(facts.left.count, 'handshake')} since {facts.left.first_at}, last at "
            f"{facts.left.last_at}, because they do not trust this factory's root. Which they are they do not say.",
            "Look for devices that are not seen any more (`ownroot devices list --sort-by last-seen`); give them the "
            "root of `ownroot keys ca show --just-root`, or register them again.",
        )


def _conformance(facts: Facts, root: Entry) -> Iterator[Finding]:
    # Under a root that is not the owner's everything is somebody else's: `_ownership` says so, once.
    anchor = root.certificate
    for entry in facts.view.entries:
        try:
            _check(entry, anchor, facts)
        except InvalidInputError as error:
            # An end is told by `_ends`, with what to do about it.
            if not error.code.endswith("-expired"):
                detail = f"The {_called(entry)} is not as it should be: {error.detail}"
                yield Finding(Severity.FAULT, error.code, detail, _remedy(error.code, entry))
    yield from _revoking(Traits.of(root.certificate))


def _revoking(root: Traits) -> Iterator[Finding]:
    """Can the owner revoke with this root, and not with this program alone?"""
    if root.key_usage is not None and not root.key_usage.crl_sign:
        yield Finding(
            Severity.WARNING,
            "root-without-crl-sign",
            "The key usage of the factory root does not say cRLSign. This server takes its revocation lists all the "
            "same; other verifiers refuse them.",
            "Nothing, as long as revocation lists go to this server alone.",
        )
    if root.subject_key_identifier is None:
        yield Finding(
            Severity.WARNING,
            "root-without-key-identifier",
            "The factory root has no subject key identifier; other command lines of this protocol make no revocation "
            "list with such a root.",
            "Nothing, as long as you revoke with this program.",
        )


def _remedy(code: str, entry: Entry) -> str:
    if code.endswith("-not-signed-by-root"):
        return _STOP
    if code.endswith("-not-yet-valid"):
        return "Compare the clocks of this machine, of the server and of where it was signed; else wait."
    return _REPLACE[entry.kind]


def _check(entry: Entry, anchor: x509.Certificate, facts: Facts) -> None:
    match entry.kind:
        case Kind.ROOT:
            check_factory_root(entry.certificate, facts.factory, facts.now)
        case Kind.GATEWAY_TLS | Kind.EST_TLS:
            check_tls(entry.certificate, anchor, entry.dns_names, facts.now)
        case Kind.ONLINE_CA | Kind.LOCAL_CA | Kind.FOREIGN_CA:
            check_device_ca(entry.certificate, anchor, facts.factory, facts.now)


def _ends(facts: Facts, within: timedelta) -> Iterator[Finding]:
    today = facts.now.date()
    for entry in facts.view.entries:
        end, day = entry.certificate.not_valid_after_utc, entry.last_safe_day
        if entry.standing is Standing.EXPIRED:
            code, detail = "expired", f"The {_called(entry)} has expired on {end:%Y-%m-%d}."
        elif day < today:
            code = "last-safe-day-passed"
            detail = f"The {_called(entry)} ends on {end:%Y-%m-%d}, and its last safe day to act was {day}."
        elif day - today <= within:
            code = "last-safe-day-near"
            detail = f"The last safe day to replace the {_called(entry)} is {day}; it ends on {end:%Y-%m-%d}."
        else:
            continue
        if _is_succeeded(entry, facts.view):
            # The owner has acted; what is left to do is to move the devices and to clear away.
            revoke = f"ownroot keys ca revoke-device-ca DIR --ca-serial {entry.serial}"
            yield Finding(Severity.WARNING, code, detail, f"Let its devices renew; when it has none: {revoke}")
        else:
            severity = Severity.WARNING if code == "last-safe-day-near" else Severity.FAULT
            yield Finding(severity, code, detail, _REPLACE[entry.kind])


def _is_succeeded(entry: Entry, view: PkiView) -> bool:
    """Is there another device CA of its kind, in force and for longer?"""
    return any(
        other.kind is entry.kind and other.standing is Standing.VALID and other.last_safe_day > entry.last_safe_day
        for other in view.device_cas
    )


def _issuing(facts: Facts) -> Iterator[Finding]:
    """Can devices be registered and connect, and is anything trusted that nobody uses?"""
    view = facts.view
    if view.tls is None:
        detail = "There is no gateway TLS certificate, so no device can connect."
        yield Finding(Severity.FAULT, "no-gateway-certificate", detail, _REPLACE[Kind.GATEWAY_TLS])
    for server in (view.tls, view.est_tls):
        if server is not None and not server.dns_names:
            detail = f"The {_called(server)} names no DNS host, so no device can verify it."
            yield Finding(Severity.FAULT, "no-dns-names", detail, _REPLACE[server.kind])
    if not any(ca.kind is Kind.ONLINE_CA and ca.standing is Standing.VALID for ca in view.device_cas):
        yield Finding(
            Severity.WARNING,
            "no-online-ca",
            "No online device CA is in force, so no device can be registered through the API.",
            "If devices register at a local CA only, this is as it should be. " + _REPLACE[Kind.ONLINE_CA],
        )
    devices = facts.devices or {}
    for ca in view.device_cas:
        if ca.standing is not Standing.VALID or devices.get(ca.serial) != 0:
            continue
        if ca.kind is Kind.ONLINE_CA and not _is_succeeded(ca, view):
            continue  # the server holds its key, and signs with it whatever is registered next
        yield Finding(
            Severity.WARNING,
            "device-ca-without-devices",
            f"No device that the server knows came with a certificate of the {_called(ca)}; whoever has its key "
            "may add some.",
            "Devices registered at a local CA are known from their first check-in on. If there are none, and it is "
            f"not about to be used: ownroot keys ca revoke-device-ca DIR --ca-serial {ca.serial}",
        )


def _called(entry: Entry) -> str:
    return f"{TITLES[entry.kind]} (serial {entry.serial})"
