"""The terminal side of `doctor`: ask the server, diagnose, print."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from ownroot.cli.device_counts import ask_left_handshakes, count_devices, count_held, count_suspected
from ownroot.cli.diagnosis import Facts, diagnose
from ownroot.cli.findings import Finding, Severity
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.cli.pki_view import view_pki
from ownroot.cli.server_health import SLOW_SECONDS, slow_revocations
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.exit_codes import ExitCode
from ownroot.console.output import Output
from ownroot.wire.forecast import MOST_WEEKS

# Last safe days of devices that are seen lie at most 87 days before the end; whatever is due has to be listed by week.
_WEEKS_AHEAD: Final = 14


def examine(target: Target, *, pki_dir: Path | None, within_days: int, as_json: bool) -> ExitCode:
    """Examine a factory; returns the exit code.

    Raises:
        NotFoundError: `pki-directory-incomplete`: the directory named has no root.
        OwnrootError: the server cannot be asked.
    """
    access = target.access()
    directory = None if pki_dir is None else PkiDirectory(pki_dir)
    own_root = None if directory is None else directory.certificate(ROOT_FILE)
    with Api(access) as api:
        answer = api.certs()
        now = utc_now()
        view = view_pki(answer, now)
        devices = count_devices(api, view.device_cas)
        health = api.pki_health()
        held, suspected = count_held(api), count_suspected(api)
        ahead = api.forecast(weeks=min(within_days // 7 + _WEEKS_AHEAD, MOST_WEEKS))
        left = ask_left_handshakes(api)
    facts = Facts(
        factory=access.factory,
        view=view,
        now=now,
        server_time=answer.server_time,
        devices=devices,
        own_root=own_root,
        exposed_keys=() if directory is None else directory.exposed_keys(),
        health=health,
        held=held,
        suspected=suspected,
        forecast=ahead,
        left=left,
    )
    findings = diagnose(facts, within=timedelta(days=within_days))
    _print(facts, findings, Output(as_json=as_json))
    return ExitCode.UNHEALTHY if any(f.severity is Severity.FAULT for f in findings) else ExitCode.OK


def _print(facts: Facts, findings: Sequence[Finding], output: Output) -> None:
    if output.as_json:
        output.document(_document(facts, findings))
        return
    for finding in findings:
        output.line(f"{finding.severity.upper()}: {finding.detail} [{finding.code}]")
        output.line(f"  {finding.next_step}")
    for line in _remarks(facts):
        output.line(line)
    if findings:
        faults = sum(finding.severity is Severity.FAULT for finding in findings)
        output.line(
            f"Factory {facts.factory}: {_counted(faults, 'fault')}, {_counted(len(findings) - faults, 'warning')}."
        )
    else:
        output.line(f"Factory {facts.factory}: nothing to look after.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _remarks(facts: Facts) -> Iterator[str]:
    """What was not looked at, and what was measured."""
    if facts.devices is None:
        yield "Device CAs without devices were not looked for, since this token may not list devices."
    if facts.health is None:
        yield "The server's keys were not tried, since this server does not offer it."
        return
    yield f"The server signed with {len(facts.health.keys)} of its keys to try them."
    if facts.health.gateway is not None:
        total, slow = slow_revocations(facts.health.gateway.time_to_revoke)
        speed = f", {total - slow} of them within {SLOW_SECONDS:g} s" if total else ""
        yield f"Time to revoke: {total or 'no'} changes have cut devices since the gateway started{speed}."


def _document(facts: Facts, findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "factory": facts.factory,
        "findings": [
            {"severity": f.severity, "code": f.code, "detail": f.detail, "next-step": f.next_step} for f in findings
        ],
        "devices-counted": facts.devices is not None,
        "server": None if facts.health is None else msgspec.to_builtins(facts.health),
    }
