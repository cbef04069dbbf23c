"""What a ceremony will change, in words and as a tree, before anything is signed.

Names shown come from certificates that the root has signed or from verified CSRs; only device counts and the person
asking are the word of the connected machine, and the text says so.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from cryptography import x509

from ownroot.cli.judging import newest_online_ca
from ownroot.cli.pki_changes import AddDeviceCas, AuthorizeEst, Change, CreatePki, JudgeDeviceCas, Offered, RotateTls
from ownroot.cli.pki_view import Entry, Kind, PkiView, Standing, called, view_pki
from ownroot.client.api import CertsAnswer
from ownroot.pki.names import read_subject
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import serial_text
from ownroot.wire.ceremony import Devices, RequestFile

_VERDICTS: Final[Mapping[Verdict, tuple[str, str]]] = {
    Verdict.REVOKE: ("REVOKE", "its devices are cut off at once and refused from then on"),
    Verdict.DISABLE: ("DISABLE", "its known devices go on, no new device is admitted"),
    Verdict.RENEW: ("ENABLE", "its devices are welcome, and new ones are admitted again"),
}


def plan_lines(
    file: RequestFile, change: Change, offered: Offered, *, root: x509.Certificate | None, now: datetime
) -> Iterator[str]:
    """Yield what the person with the root should read before saying yes.

    Raises:
        InvalidInputError: a certificate of the stored state cannot be read.
    """
    body = file.body
    yield f"Factory {_flat(body.factory)}: {title(change)}."
    yield f"  asked    {body.requested_at:%Y-%m-%d %H:%M:%S} UTC by {_flat(body.requested_by)}, on {_flat(body.tool)}"
    yield f"  server   {_flat(body.server_url)}"
    yield f"  request  {digest_groups(file.sha256)}"
    yield "           Compare this with what `keys ca request` showed; only that rules out another request."
    yield "Afterwards, + is new and ! is changed:"
    answer = CertsAnswer(body.state, is_taken_over=body.state.root_crt is not None)
    yield from _tree(change, offered, view_pki(answer, now), root)
    if _stops_registration(change, answer, now):
        yield "It is the online CA in use: devices cannot register over the API until there is a new one."
    for concerned in body.devices:
        yield from _device_lines(concerned)


def title(change: Change) -> str:
    """Say in a few words what a change does."""
    match change:
        case CreatePki():
            return "take it over with a root of its own; this cannot be undone"
        case AddDeviceCas(online_ca=online, local_ca=local):
            kinds = [kind for kind, wanted in (("online", online), ("local", local is not None)) if wanted]
            return f"trust a new {' and a new '.join(kinds)} device CA"
        case RotateTls():
            return "give the gateway a new TLS key and certificate"
        case AuthorizeEst():
            return "give the EST server a TLS certificate"
        case JudgeDeviceCas(verdict=verdict, serials=serials):
            what = "a device CA" if len(serials) == 1 else f"{len(serials)} device CAs"
            return f"{_VERDICTS[verdict][0].lower()} {what}"


def digest_groups(digest: str) -> str:
    """Write a digest so that two people can compare it aloud."""
    return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))


def _stops_registration(change: Change, answer: CertsAnswer, now: datetime) -> bool:
    if not isinstance(change, JudgeDeviceCas) or change.verdict is Verdict.RENEW:
        return False
    return newest_online_ca(answer, now) in change.serials


def _tree(change: Change, offered: Offered, view: PkiView, root: x509.Certificate | None) -> Iterator[str]:
    if root is None:
        yield "+ Factory root, made now"
    elif view.root is None:
        yield f"+ Factory root, serial {serial_text(root.serial_number)} (made in an earlier ceremony)"
    else:
        yield f"  Factory root, serial {view.root.serial}"
    branches = [*_present(change, view), *_new(change, offered, view)]
    for mark, text in branches:
        yield f"{mark} {'└─' if (mark, text) == branches[-1] else '├─'} {text}"


def _present(change: Change, view: PkiView) -> Iterator[tuple[str, str]]:
    replaced = {RotateTls: view.tls, AuthorizeEst: view.est_tls}.get(type(change))
    for entry in (view.tls, view.est_tls, *view.device_cas):
        if entry is None or entry is replaced:
            continue
        if isinstance(change, JudgeDeviceCas) and entry.certificate.serial_number in change.serials:
            word, effect = _VERDICTS[change.verdict]
            yield "!", f"{_entry(entry)}: {word}, {effect}"
        else:
            yield " ", _entry(entry)


def _new(change: Change, offered: Offered, view: PkiView) -> Iterator[tuple[str, str]]:
    for kind, csr in ((Kind.GATEWAY_TLS, offered.tls), (Kind.EST_TLS, offered.est_tls)):
        if csr is not None:
            yield "+", f"{called(kind)} for {_flat(', '.join(csr.dns_names))}, key with the server"
    if offered.online_ca is not None:
        name = ", ".join(read_subject(offered.online_ca.subject).common_names)
        yield "+", f"{called(Kind.ONLINE_CA)} {_flat(name)}, key with the server"
    if isinstance(change, CreatePki | AddDeviceCas) and change.local_ca is not None:
        local = change.local_ca
        yield "+", f"{called(Kind.LOCAL_CA)} fio-{_flat(local.polis_id)}, key made here, in {local.file}"
    if isinstance(change, JudgeDeviceCas):
        present = {entry.certificate for entry in view.device_cas}
        for ca in change.returning:
            if ca in present:
                continue
            name = ", ".join(read_subject(ca.subject).common_names)
            yield "!", f"Device CA {_flat(name)}, serial {serial_text(ca.serial_number)}: was revoked and comes BACK"


def _entry(entry: Entry) -> str:
    standing = "" if entry.standing is Standing.VALID else f", {entry.standing}"
    return f"{called(entry.kind)} {_flat(entry.common_name)}, serial {entry.serial}{standing}"


def _device_lines(devices: Devices) -> Iterator[str]:
    where = "in the factory" if devices.ca_serial is None else f"under the device CA {_flat(devices.ca_serial)}"
    if devices.count is None:
        yield f"How many devices there are {where} is not known: the token used may not list devices."
        return
    again = ", and each has to register again" if devices.ca_serial is None and devices.count else ""
    yield f"The server counts {devices.count or 'no'} {'device' if devices.count == 1 else 'devices'} {where}{again}."
    if devices.names:
        more = devices.count - len(devices.names)
        yield f"  {', '.join(_flat(name) for name in devices.names)}{f' and {more} more' if more > 0 else ''}"


def _flat(text: str) -> str:
    """Keep foreign text on one line: a name with a line break in it could pretend to be one of our sentences."""
    return " ".join(text.split())
