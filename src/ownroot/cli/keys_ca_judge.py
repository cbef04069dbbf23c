"""The terminal side of `keys ca revoke-device-ca`, `disable-device-ca` and `enable-device-ca`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.judging import Affected, Cost, Judgement, read_named
from ownroot.cli.options import Target
from ownroot.cli.pki_changes import SignedChange
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.cli.pki_view import TITLES
from ownroot.cli.root_key import open_root
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.pki.encoding import parse_crl
from ownroot.pki.names import read_subject
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import serial_text


class _Words(NamedTuple):
    """How we speak of one verdict."""

    ask: str
    done: str
    effect: str
    reason: str


_WORDS: Mapping[Verdict, _Words] = {
    Verdict.REVOKE: _Words(
        "Revoke", "revoked", "will be cut off at once and refused from then on", "9, privilegeWithdrawn"
    ),
    Verdict.DISABLE: _Words("Disable", "disabled", "will go on; no new one is admitted under it", "6, certificateHold"),
    Verdict.RENEW: _Words("Enable", "enabled", "known; new ones will be admitted again", "8, removeFromCRL"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """What the command line says beside the server and the directory."""

    files: tuple[str, ...]
    serials: tuple[str, ...]
    dry_run: bool
    pretty: bool
    assume_yes: bool
    hsm: HsmKeys | None
    as_json: bool


def judge_device_cas(target: Target, directory: Path, verdict: Verdict, options: JudgeOptions) -> None:
    """Say what it costs, ask, sign, send; with `--dry-run` sign and show instead."""
    pki = PkiDirectory(directory, options.hsm)
    output = Output(as_json=options.as_json)
    named = read_named(pki, files=options.files, serials=options.serials)
    access = target.access()
    with Api(access) as api:
        run = Judgement(api, pki, verdict, named, open_root=lambda: open_root(pki), say=output.note)
        cost = run.cost(now=utc_now())
        if options.dry_run:
            _show(verdict, cost, run.sign(now=utc_now()), output, pretty=options.pretty)
            return
        _confirm(verdict, cost, output, assume_yes=options.assume_yes)
        run.carry_out(run.sign(now=utc_now()))
    if options.as_json:
        output.document(_document(verdict, cost) | {"factory": access.factory})
    for affected in cost.affected:
        output.line(f"{_title(affected)} is {_WORDS[verdict].done}.")
    if cost.stops_registration:
        output.line("Devices cannot register over the API now. Make a new online CA:")
        output.line(f"  ownroot keys ca add-device-ca {directory} --online-ca")


def _confirm(verdict: Verdict, cost: Cost, output: Output, *, assume_yes: bool) -> None:
    _tell_cost(verdict, cost, output)
    count, words = len(cost.affected), _WORDS[verdict]
    what = "this device CA" if count == 1 else f"these {count} device CAs"
    devices = "" if cost.devices is None else f" ({_devices(cost.devices)})"
    output.confirm(f"{words.ask} {what}{devices} now?", assume_yes=assume_yes)


def _tell_cost(verdict: Verdict, cost: Cost, output: Output) -> None:
    for affected in cost.affected:
        output.note(f"{_title(affected)}: {_effect(verdict, affected)}.")
        if affected.names:
            output.note(f"  {_name_list(affected)}")
    if cost.stops_registration:
        output.note("It is the online CA in use: devices cannot register over the API until there is a new one.")


def _show(verdict: Verdict, cost: Cost, signed: SignedChange, output: Output, *, pretty: bool) -> None:
    crl = signed.upload.ca_revoke_crl or ""
    if output.as_json:
        output.document(_document(verdict, cost) | {"dry-run": True, "crl": crl})
        return
    if pretty:
        for line in _crl_lines(verdict, cost, crl):
            output.line(line)
    else:
        _tell_cost(verdict, cost, output)
        output.line(crl.rstrip("\n"))
    output.note("Nothing was sent. Until it expires, whoever has this CRL and a token can carry it out.")


def _crl_lines(verdict: Verdict, cost: Cost, text: str) -> list[str]:
    crl = parse_crl(text)
    lines = [
        "Certificate revocation list (a signed command; it names only what changes now)",
        f"  issuer       {crl.issuer.rfc4514_string()}",
        f"  this update  {crl.last_update_utc:%Y-%m-%d %H:%M:%S} UTC",
        f"  next update  {crl.next_update_utc:%Y-%m-%d %H:%M:%S} UTC",
        "  CRL number   1",
    ]
    for affected in cost.affected:
        lines += [
            f"  entry        {_title(affected)}",
            f"    reason     {_WORDS[verdict].reason}: {_WORDS[verdict].ask.lower()}",
            f"    devices    {_effect(verdict, affected)}",
        ]
        lines += [f"    names      {_name_list(affected)}"] if affected.names else []
    return lines


def _title(affected: Affected) -> str:
    serial, entry = serial_text(affected.named.serial), affected.entry
    kind = TITLES[entry.kind] if entry is not None else "revoked or unknown device CA"
    file = f", file {affected.named.file}" if affected.named.file else ""
    certificate = entry.certificate if entry is not None else affected.named.certificate
    names = read_subject(certificate.subject).common_names if certificate is not None else ()
    return f"{kind[0].upper()}{kind[1:]} {', '.join(names)} (serial {serial}{file})"


def _effect(verdict: Verdict, affected: Affected) -> str:
    if affected.devices is None:
        return "how many devices it has is not known, since this token may not list devices"
    if affected.devices == 0:
        return "no known device has a certificate from it"
    return f"{_devices(affected.devices)} {_WORDS[verdict].effect}"


def _devices(count: int) -> str:
    return f"{count} {'device' if count == 1 else 'devices'}"


def _name_list(affected: Affected) -> str:
    more = (affected.devices or 0) - len(affected.names)
    rest = f" and {more} more: ownroot devices list --by-ca-serial {serial_text(affected.named.serial)}"
    return ", ".join(affected.names) + (rest if more > 0 else "")


def _document(verdict: Verdict, cost: Cost) -> dict[str, object]:
    return {
        "verdict": verdict.value if verdict is not Verdict.RENEW else "enable",
        "device-cas": [
            {
                "serial": serial_text(affected.named.serial),
                "file": affected.named.file,
                "kind": affected.entry.kind if affected.entry is not None else None,
                "devices": affected.devices,
                "names": affected.names,
            }
            for affected in cost.affected
        ],
        "devices": cost.devices,
        "stops-online-registration": cost.stops_registration,
    }
