"""The terminal side of `doctor`: ask the server, diagnose, print."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from ownroot.cli.device_counts import count_devices, count_held
from ownroot.cli.diagnosis import Facts, Finding, Severity, diagnose
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.cli.pki_view import view_pki
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.exit_codes import ExitCode
from ownroot.console.output import Output


def examine(target: Target, *, pki_dir: Path | None, within_days: int, as_json: bool) -> ExitCode:
    """Examine a factory; returns the exit code.

    Raises:
        NotFoundError: `pki-directory-incomplete`: the directory named has no root.
        OwnrootError: the server cannot be asked.
    """
    access = target.access()
    own_root = None if pki_dir is None else PkiDirectory(pki_dir).certificate(ROOT_FILE)
    with Api(access) as api:
        answer = api.certs()
        now = utc_now()
        view = view_pki(answer, now)
        devices = count_devices(api, view.device_cas)
        held = count_held(api)
    facts = Facts(
        factory=access.factory,
        view=view,
        now=now,
        server_time=answer.server_time,
        devices=devices,
        own_root=own_root,
        held=held,
    )
    findings = diagnose(facts, within=timedelta(days=within_days))
    _print(access.factory, findings, Output(as_json=as_json), counted=devices is not None)
    return ExitCode.UNHEALTHY if any(f.severity is Severity.FAULT for f in findings) else ExitCode.OK


def _print(factory: str, findings: Sequence[Finding], output: Output, *, counted: bool) -> None:
    if output.as_json:
        named = [
            {"severity": f.severity, "code": f.code, "detail": f.detail, "next-step": f.next_step} for f in findings
        ]
        output.document({"factory": factory, "findings": named, "devices-counted": counted})
        return
    for finding in findings:
        output.line(f"{finding.severity.upper()}: {finding.detail} [{finding.code}]")
        output.line(f"  {finding.next_step}")
    if not counted:
        output.line("Device CAs without devices were not looked for, since this token may not list devices.")
    faults = sum(finding.severity is Severity.FAULT for finding in findings)
    if findings:
        output.line(f"Factory {factory}: {faults} faults, {len(findings) - faults} warnings.")
    else:
        output.line(f"Factory {factory}: nothing to look after.")
